"""A watch, branch by branch, with the real use cases on fakes."""

from __future__ import annotations

import json
import tempfile
from typing import Any

from steward.contracts.incoming import ExecutionStatusChange, Received
from steward.contracts.steps.monitoring import (
    ConcludeWatch,
    JudgeWindow,
    PlanWindow,
    ProfileChunk,
)
from steward.domain.errors import DependencyError, RejectedError
from steward.domain.monitoring.records import ALL, HEAD, run_item
from steward.ports import Table
from steward.service.monitoring.judging import judge_windows
from steward.service.monitoring.planning import plan_window
from steward.service.monitoring.profiling import profile_objects
from steward.service.monitoring.watching import conclude_watch, start_watch, watch_that_ended
from support.fakes import FakeWorkflows
from support.machine_player import Played, Task, TaskError, machine, play
from support.monitoring_scene import ARTIFACTS, CAPTURE, MonitoringScene, people
from support.serving_machines import step

WATCH = machine("monitoring/watch_models")
MACHINE = "arn:aws:states:us-east-1:000000000000:stateMachine:steward-watch-models"


class Watched:
    """A scene whose watches are started by the schedule and played by the machine."""

    def __init__(self) -> None:
        self.scene = MonitoringScene({"unit": "event"})
        self.workflows = FakeWorkflows()

    def fire(self, hour: float) -> dict[str, Any]:
        """Let the schedule fire."""
        scheduled = Received(
            id=f"firing-{hour}", time=self.scene.due(hour), source="aws.events",
            detail_type="Scheduled Event", resources=[], replayed=False, meta=None, detail=None,
        )  # fmt: skip
        return start_watch(
            scheduled, state=self.scene.state, workflows=self.workflows, clock=self.scene.clock,
            machine=MACHINE,
        )  # fmt: skip

    def play(self, hour: float, **scripted: Task) -> Played:
        """Play the watch that the schedule started."""
        started = self.fire(hour)["started"]
        execution = self.workflows.executions[started]
        played = play(
            WATCH, {**self.tasks(), **scripted}, execution.payload, execution_arn=started,
            manifest=lambda place: json.loads(
                self.scene.objects.read(f"s3://{place['Bucket']}/{place['Key']}")
            ),
        )  # fmt: skip
        self.workflows.end(started, played.status)
        return played

    def tasks(self) -> dict[str, Task]:
        """The functions, on fakes."""
        scene = self.scene

        def plan(command: PlanWindow) -> Any:
            return plan_window(
                command, state=scene.state, objects=scene.objects, capture_bucket=CAPTURE,
                artifacts_bucket=ARTIFACTS,
            )  # fmt: skip

        def profile(command: ProfileChunk) -> Any:
            with tempfile.TemporaryDirectory() as folder:
                return profile_objects(command, scene.bench(folder))

        def judge(command: JudgeWindow) -> Any:
            with tempfile.TemporaryDirectory() as folder:
                return judge_windows(command, scene.bench(folder), scene.ids)

        def conclude(command: ConcludeWatch) -> Any:
            return conclude_watch(command, state=scene.state, clock=scene.clock, ids=scene.ids)

        return {
            "PlanWindow": step(PlanWindow, plan),
            "ProfileChunk": step(ProfileChunk, profile),
            "JudgeWindow": step(JudgeWindow, judge),
            "ConcludeWatch": step(ConcludeWatch, conclude),
            "RecordFailure": step(ConcludeWatch, conclude),
        }

    def status(self, run: str) -> str:
        """How a watch ended."""
        found = self.scene.state.get(Table.MONITORING, {"project": ALL, "item": run_item(run)})
        assert found is not None
        return str(found["status"])


def raising(error: Exception) -> Task:
    def task(_payload: Any) -> Any:
        raise TaskError(type(error).__name__, str(error))

    return task


def test_a_watch_profiles_what_was_captured_and_looks_at_it() -> None:
    watched = Watched()
    watched.scene.traffic(people(11, 200), 0)
    played = watched.play(1)
    assert played.output == {"objects": 1, "projects": 1, "failed": 0}
    assert played.path == [
        "PlanWindow", "IsAnythingNew", "ProfileChunks", "ProfileChunk", "JudgeProjects",
        "JudgeWindow", "HasMore", "NoteSuccess", "ConcludeWatch", "EndWatched",
    ]  # fmt: skip
    assert watched.scene.look(0).captured.rows == 200
    assert watched.status("20260105T0105Z") == "succeeded"


def test_nothing_new_is_fine_and_still_looked_at() -> None:
    watched = Watched()
    played = watched.play(1)
    assert "ProfileChunks" not in played.path
    assert played.status == "SUCCEEDED"
    assert watched.scene.look(0).no_data.state == "no_data"


def test_a_firing_that_comes_twice_or_while_a_watch_runs_starts_nothing_more() -> None:
    watched = Watched()
    started = watched.fire(1)["started"]
    assert watched.fire(1) == {"started": started}
    assert list(watched.workflows.executions) == [started]
    assert watched.fire(2) == {"suppressed": "watch 20260105T0105Z is running"}
    watched.workflows.end(started, "ABORTED")
    assert watched.fire(1) == {"suppressed": "watch 20260105T0105Z was started before"}
    assert "started" in watched.fire(3)


def test_a_project_whose_judge_fails_does_not_stop_others_and_is_told() -> None:
    watched = Watched()
    other = MonitoringScene(
        {"unit": "event"}, state=watched.scene.state, objects=watched.scene.objects,
        clock=watched.scene.clock, project="other",
    )  # fmt: skip
    for scene in (watched.scene, other):
        scene.traffic(people(11, 200), 0)
    real = watched.tasks()["JudgeWindow"]

    def failing(payload: Any) -> Any:
        if payload["project"] == "diabetes":
            raise TaskError("RejectedError", "a baseline that cannot be read")
        return real(payload)

    played = watched.play(1, JudgeWindow=failing)
    assert played.output["failed"] == 1
    assert other.look(0).captured.rows == 200
    [told] = watched.scene.told("WatchFailed")
    assert (told.error, told.cause) == ("RejectedError", "a baseline that cannot be read")
    assert watched.status("20260105T0105Z") == "partly failed"
    assert watched.play(2).output["failed"] == 0
    assert watched.scene.look(0).captured.rows == 200


def test_objects_that_cannot_be_profiled_are_told_and_tried_again() -> None:
    watched = Watched()
    watched.scene.traffic(people(11, 200), 0)
    played = watched.play(1, ProfileChunk=raising(RejectedError("no memory left")))
    assert played.status == "SUCCEEDED"
    [told] = watched.scene.told("WatchFailed")
    assert "1 groups of captured objects" in told.cause
    watched.play(2)
    assert watched.scene.look(0).captured.rows == 200


def test_a_throttled_task_is_tried_again() -> None:
    watched = Watched()
    watched.scene.traffic(people(11, 200), 0)
    real, tries = watched.tasks()["ProfileChunk"], iter([True, True, False])

    def throttled(payload: Any) -> Any:
        if next(tries):
            raise TaskError("ThrottledError", "slow down")
        return real(payload)

    assert watched.play(1, ProfileChunk=throttled).output["failed"] == 0
    assert watched.scene.told("WatchFailed") == []


def test_a_watch_that_cannot_plan_fails_and_frees_its_place() -> None:
    watched = Watched()
    played = watched.play(1, PlanWindow=raising(DependencyError("S3 is away")))
    assert (played.status, played.error) == ("FAILED", "DependencyError")
    [told] = watched.scene.told("WatchFailed")
    assert told.cause == "PlanWindow: S3 is away"
    assert "started" in watched.fire(2)


def test_a_watch_that_timed_out_is_concluded_by_its_status_event() -> None:
    watched = Watched()
    started = watched.fire(1)["started"]
    change = ExecutionStatusChange(
        execution_arn=started, state_machine_arn=MACHINE, name="watch-20260105T0105Z",
        status="TIMED_OUT", error="States.Timeout",
    )  # fmt: skip
    event = Received(
        id="e", time="2026-01-05T02:05:00Z", source="aws.states",
        detail_type="Step Functions Execution Status Change", resources=[], replayed=False,
        meta=None, detail=change,
    )  # fmt: skip
    state = watched.scene.state
    command = watch_that_ended(event, state=state)
    assert command is not None
    conclude_watch(command, state=state, clock=watched.scene.clock, ids=watched.scene.ids)
    assert watched.status("20260105T0105Z") == "failed"
    head = state.get(Table.MONITORING, {"project": ALL, "item": HEAD})
    assert head is not None
    assert "running" not in head
    assert len(watched.scene.told("WatchFailed")) == 1
    assert watch_that_ended(event, state=state) is None
