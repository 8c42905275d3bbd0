"""What follows alarms and schedules, with every brake."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from steward.contracts import events as e
from steward.contracts.incoming import Received, Scheduled
from steward.domain.monitoring.records import RETRAINING
from steward.ports import Item, Table
from steward.service.monitoring.deciding import decide_retraining, labelled_rows
from support.fake_state import FakeState
from support.fakes import FakeClock, FakeIds

PROJECT = "diabetes"
SCHEDULE = Scheduled()


@dataclass
class Decisions:
    """A project that retrains by alarm; each event goes through the use case."""

    retraining: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    state: FakeState = field(default_factory=FakeState)
    clock: FakeClock = field(default_factory=FakeClock)
    ids: FakeIds = field(default_factory=FakeIds)

    def __post_init__(self) -> None:
        config = {"monitoring": {"retraining": self.retraining}, "training": self.training}
        self.state.put(Table.PROJECTS, {"project": PROJECT, "config": config})
        self.deliver("first", 200)

    def deliver(self, name: str, rows: int, status: str = "accepted") -> None:
        self.state.put(
            Table.DELIVERIES,
            {
                "project": PROJECT, "delivery_id": name, "status": status, "size": rows * 50,
                **({"rows": rows} if status == "accepted" else {}),
            },
        )  # fmt: skip

    def tell(self, detail: Any, run: str = "run", number: int = 0) -> list[str]:
        """Let an event come; return what was said."""
        own = isinstance(detail, e.Payload)
        name = type(detail).__name__ if own else "Scheduled Event"
        meta = e.Meta(correlation_id=run, causation_id="c", project=PROJECT, actor="steward")
        received = Received(
            id=f"{name}-{number}", time=self.clock.now().isoformat(), source="any",
            detail_type=name, resources=[], replayed=False, meta=meta if own else None,
            detail=detail,
        )  # fmt: skip
        found = decide_retraining(received, state=self.state, clock=self.clock, ids=self.ids)
        said: list[str] = found.get(PROJECT, [])
        return said

    def drift(self, since: str = "2026-01-05T06:00:00Z", action: str = "retrain") -> list[str]:
        return self.tell(
            e.DriftDetected(
                version=2, window="2026-01-05T08:00:00Z", since=since, columns=["age"], p=1e-9,
                effect=0.2, horizon=2, rows=400, odds="0.05 in 336 looks", sentence="age moved",
                action=action, digest="d", uri="u", execution_arn="a",
            )
        )  # fmt: skip

    def run_begins(self, run: str) -> None:
        """Let the asked-for run start, as training says."""
        attempt = self.told("RetrainingRequested")[-1].attempt
        self.state.put(
            Table.RUNS,
            {
                "project": PROJECT, "run_id": run, "status": "running",
                "trigger": {"kind": "drift", "attempt": attempt},
            },
        )  # fmt: skip
        self.tell(
            e.TrainingStarted(run_id=run, run_key="k", trigger="drift", execution_arn="a"), run
        )

    def told(self, name: str) -> list[Any]:
        return [event.data for event in self.state.events if event.detail_type == name]

    def item(self) -> Item:
        found = self.state.get(Table.MONITORING, {"project": PROJECT, "item": RETRAINING})
        assert found is not None
        return found

    def later(self, **time: float) -> None:
        self.clock.advance(timedelta(**time).total_seconds())


def test_drift_asks_for_a_run_once() -> None:
    scene = Decisions()
    assert scene.drift() == ["RetrainingRequested"]
    assert scene.drift() == []
    [asked] = scene.told("RetrainingRequested")
    assert (asked.kind, asked.attempt) == ("drift", "retrain-1")
    assert asked.cause == "drift of version 2 since 2026-01-05T06:00:00Z"


def test_an_alarm_that_only_notifies_asks_for_nothing() -> None:
    assert Decisions().drift(action="notify") == []


def test_roll_back_asks_for_a_rollback() -> None:
    scene = Decisions()
    assert scene.drift(action="roll_back") == ["RollbackRequested"]
    [asked] = scene.told("RollbackRequested")
    assert (asked.version, asked.reason) == (2, "drift of version 2: age moved")


def test_what_start_on_does_not_name_is_told_and_not_started() -> None:
    scene = Decisions(training={"start_on": ["delivery"]})
    assert scene.drift() == ["RetrainingSuppressed"]
    [told] = scene.told("RetrainingSuppressed")
    assert (told.code, told.waits) == ("start_on", False)


def test_without_new_rows_it_waits_and_a_delivery_starts_it() -> None:
    scene = Decisions({"minimum_new_rows": 100, "cooldown_s": 0})
    scene.drift()
    scene.run_begins("run-1")
    scene.tell(e.CandidateHeld(run_id="run-1", verdict="inconclusive", reasons=[]), "run-1")
    assert scene.drift(since="2026-01-05T07:00:00Z") == ["RetrainingSuppressed"]
    [told] = scene.told("RetrainingSuppressed")
    assert (told.code, told.waits) == ("data", True)
    assert scene.tell(SCHEDULE) == []
    scene.deliver("second", 150, status="received")
    received = e.DeliveryReceived(delivery_id="second", bucket="b", key="k", version_id=None)
    assert scene.tell(received) == ["RetrainingRequested"]


def test_one_attempt_is_in_flight_and_the_next_waits_for_its_end() -> None:
    scene = Decisions({"minimum_new_rows": 0, "cooldown_s": 0})
    scene.drift()
    scene.run_begins("run-1")
    assert scene.drift(since="2026-01-05T07:00:00Z") == ["RetrainingSuppressed"]
    assert scene.told("RetrainingSuppressed")[0].code == "in_flight"
    scene.tell(e.ReleaseCompleted(release_id="r", version=3), "run-1")
    assert scene.tell(SCHEDULE) == ["RetrainingRequested"]


def test_it_rests_after_an_attempt() -> None:
    scene = Decisions({"minimum_new_rows": 0, "cooldown_s": 7200})
    scene.drift()
    scene.run_begins("run-1")
    scene.tell(e.ReleaseNotPromoted(
        release_id="r", version=3, stable_version=2, verdict="inconclusive", reason="none"
    ), "run-1")  # fmt: skip
    scene.drift(since="2026-01-05T07:00:00Z")
    [told] = scene.told("RetrainingSuppressed")
    assert (told.code, told.not_before) == ("cool_down", "2026-01-05T11:00:00+00:00")
    scene.later(hours=1)
    assert scene.tell(SCHEDULE) == []
    scene.later(hours=1, seconds=1)
    assert scene.tell(SCHEDULE) == ["RetrainingRequested"]


def test_the_breaker_stops_after_two_attempts_in_vain() -> None:
    scene = Decisions({"minimum_new_rows": 0, "cooldown_s": 0})
    for number in (1, 2):
        scene.drift(since=f"2026-01-05T0{number}:00:00Z")
        scene.run_begins(f"run-{number}")
        held = e.CandidateHeld(run_id=f"run-{number}", verdict="worse", reasons=[])
        scene.tell(held, f"run-{number}")
        scene.tell(held, f"run-{number}")
    assert scene.drift(since="2026-01-05T07:00:00Z") == ["RetrainingSuppressed"]
    [told] = scene.told("RetrainingSuppressed")
    assert (told.code, told.waits) == ("breaker_open", False)
    assert scene.item()["state"]["in_vain"] == 2


def test_a_day_has_a_number_of_starts_and_a_budget() -> None:
    scene = Decisions({"minimum_new_rows": 0, "cooldown_s": 0, "per_day": 1})
    scene.drift()
    scene.run_begins("run-1")
    scene.tell(e.ReleaseCompleted(release_id="r", version=3), "run-1")
    scene.drift(since="2026-01-05T07:00:00Z")
    assert scene.told("RetrainingSuppressed")[0].code == "starts_per_day"
    costly = Decisions({"minimum_new_rows": 0, "budget_usd_per_day": 1.0})
    costly.state.put(
        Table.COSTS,
        {"project": PROJECT, "entry": "job#x", "run_id": "r", "dollars": 3.0, "at": "2026"},
    )
    costly.drift()
    assert costly.told("RetrainingSuppressed")[0].code == "budget"


def test_the_outcome_of_another_run_says_nothing_of_the_attempt() -> None:
    scene = Decisions({"minimum_new_rows": 0, "cooldown_s": 0})
    scene.drift()
    scene.run_begins("run-1")
    scene.tell(e.TrainingFailed(
        run_id="other", failed_state="s", error="e", cause="c", execution_arn="a"
    ), "other")  # fmt: skip
    assert scene.item()["state"]["flight"] is not None


def test_a_run_that_another_took_the_place_of_is_followed() -> None:
    scene = Decisions({"minimum_new_rows": 0, "cooldown_s": 0})
    scene.drift()
    scene.run_begins("run-1")
    run = {"project": PROJECT, "run_id": "run-1", "status": "superseded", "superseded_by": "run-2"}
    scene.state.put(Table.RUNS, run)
    scene.tell(SCHEDULE)
    scene.tell(e.ReleaseCompleted(release_id="r", version=3), "run-2")
    assert scene.item()["state"]["flight"] is None
    assert scene.item()["state"]["in_vain"] == 0


def test_an_ordinary_schedule_asks_as_often_as_declared() -> None:
    scene = Decisions({"minimum_new_rows": 0, "cooldown_s": 0, "every_s": 86_400, "per_day": 5})
    assert scene.tell(SCHEDULE) == []
    scene.later(hours=23)
    assert scene.tell(SCHEDULE) == []
    scene.later(hours=2)
    assert scene.tell(SCHEDULE) == ["RetrainingRequested"]
    assert scene.told("RetrainingRequested")[0].kind == "schedule"
    assert scene.tell(SCHEDULE) == []


def test_an_alarm_that_is_over_stops_what_waits() -> None:
    scene = Decisions({"minimum_new_rows": 500})
    scene.drift()
    assert scene.item()["waiting"]
    scene.tell(e.AlarmCleared(
        kind="drift", version=2, window="2026-01-05T09:00:00Z", since="2026-01-05T06:00:00Z",
        sentence="quiet", digest="d", uri="u",
    ))  # fmt: skip
    assert scene.item()["waiting"] == {}


def test_a_lost_race_is_decided_again() -> None:
    scene = Decisions()
    scene.state.before_commit.append(
        lambda: scene.state.put(
            Table.MONITORING,
            {"project": PROJECT, "item": RETRAINING, "state": {}, "number": 7},
        )
    )
    assert scene.drift() == ["RetrainingRequested"]
    assert scene.item()["number"] == 8


def test_rows_that_wait_for_a_run_are_estimated_by_their_size() -> None:
    scene = Decisions()
    scene.deliver("second", 100, status="received")
    assert labelled_rows(scene.state, PROJECT) == 300
