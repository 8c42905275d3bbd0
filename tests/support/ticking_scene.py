"""A release that is judged by ticks, on fakes: its schedule, its leases and its ends."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from steward.contracts.events import ReleaseRequested
from steward.contracts.incoming import Received, TickDue
from steward.contracts.steps.serving import (
    ConcludeTick,
    Failure,
    ScheduleTicks,
    ShiftTraffic,
    TickConclusion,
    TicksScheduled,
    TrafficShift,
)
from steward.service.serving import release_steps, scheduling, ticking
from steward.service.serving.start_release import start_release
from support.fakes import FakeSchedules
from support.serving_scene import PROJECT, RELEASE, Scene

TICK = RELEASE.replace("release-version", "tick-experiment")
SECOND = "00000002-1"
SCHEDULE = f"{PROJECT}-{SECOND}"
GOAL = {
    "name": "recovered", "kind": "binary", "value": "outcome", "window_s": 60, "expected": 0.3,
    "goal": {},
}  # fmt: skip


@dataclass
class Experiment(Scene):
    """Version 1 serves; version 2 may be tried beside it over time."""

    schedules: FakeSchedules = field(default_factory=FakeSchedules)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.declare(strategy="ab_test", metrics=[GOAL])

    def under_test(self, release_id: str = SECOND) -> str:
        """Begin the release of a version and hand it to the scheduler; return its id."""
        self.begin(int(release_id[:8]))
        self.schedule(release_id)
        self.workflows.end(self.release(release_id)["execution_arn"])
        return release_id

    def schedule(self, release_id: str = SECOND) -> TicksScheduled:
        command = ScheduleTicks(**self.about(release_id), causation_id="x")
        return scheduling.schedule_ticks(command, state=self.state, schedules=self.schedules)

    def due(self, release_id: str = SECOND, time: str | None = None) -> Received:
        number = next(self.numbers)
        return Received(
            id=f"event-{number}", time=time or f"firing {number}", source="aws.scheduler",
            detail_type="Scheduled Event", resources=[], replayed=False, meta=None,
            detail=TickDue(project=PROJECT, release_id=release_id),
        )  # fmt: skip

    def fire(self, release_id: str = SECOND, time: str | None = None) -> dict[str, Any]:
        """Let the schedule fire once, by default at a time of its own."""
        return ticking.start_tick(
            self.due(release_id, time), state=self.state, workflows=self.workflows,
            schedules=self.schedules, clock=self.clock, machine=TICK,
        )  # fmt: skip

    def played(self, release_id: str = SECOND) -> dict[str, Any]:
        """Let the schedule fire; return the input of the execution that it started."""
        return dict(self.workflows.executions[self.fire(release_id)["started"]].payload)

    def shift_at(self, command: ShiftTraffic) -> TrafficShift:
        return release_steps.shift_traffic(
            command, state=self.state, clock=self.clock, ids=self.ids
        )

    def conclude_tick(self, number: int, *, failed: bool = False) -> TickConclusion:
        name = f"{PROJECT}-{SECOND}-tick-{number}"
        failure = Failure(state="JudgeStep", error="DependencyError", cause="it broke")
        return self.conclude_tick_as(
            ConcludeTick(
                **self.about(SECOND), causation_id="x", tick=number,
                execution_arn=TICK.replace(":stateMachine:", ":execution:") + f":{name}",
                failure=failure if failed else None,
            )
        )  # fmt: skip

    def conclude_tick_as(self, command: ConcludeTick) -> TickConclusion:
        return ticking.conclude_tick(
            command, state=self.state, workflows=self.workflows, clock=self.clock, ids=self.ids,
            release_machine=RELEASE,
        )  # fmt: skip

    def told_end(self, detail_type: str) -> dict[str, Any]:
        """Let the last event that a release ended with reach the schedule."""
        return scheduling.end_ticks(
            self.received(self.told(detail_type)[-1]), state=self.state, schedules=self.schedules
        )

    def sweep(self) -> dict[str, Any]:
        return scheduling.repair_schedules(
            self.due(), state=self.state, schedules=self.schedules, clock=self.clock, ids=self.ids
        )

    def request(self, version: int = 2, event_id: str | None = None) -> dict[str, Any]:
        """Ask for a version in the name of a person."""
        received = self.received(ReleaseRequested(version=version))
        if event_id is not None:
            received = received.model_copy(update={"id": event_id})
        return start_release(
            received, state=self.state, workflows=self.workflows, clock=self.clock, ids=self.ids,
            machine=RELEASE,
        )  # fmt: skip
