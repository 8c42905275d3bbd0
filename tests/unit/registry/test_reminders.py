"""Reminders of an approval: each at its moment, once, and none when it would be of no use."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from steward.contracts.incoming import ReminderDue
from steward.domain.approvals import reminder_moments
from steward.domain.errors import AccessDeniedError, InvalidProjectError, ThrottledError
from steward.domain.project import parse_project
from steward.ports import Table
from steward.service.registry.reminders import (
    end_reminders,
    remind,
    reminder_name,
    repair_reminders,
    schedule_reminders,
)
from support.fakes import FakeSchedules
from support.registry_scene import CONFIG, PROJECT, Scene, user

FIRST = reminder_name(PROJECT, 1, 1)
HALF_S = 43_200


class Ward:
    """A pending request with its reminders."""

    def __init__(self, **about: Any) -> None:
        self.scene = Scene()
        self.request = self.scene.pending(**about)
        self.schedules = FakeSchedules()

    def schedule(self, version: int = 1) -> dict[str, int]:
        scene = self.scene
        return schedule_reminders(
            PROJECT, version, "event", state=scene.state, schedules=self.schedules,
            clock=scene.clock, ids=scene.ids,
        )  # fmt: skip

    def repair(self) -> dict[str, int]:
        scene = self.scene
        return repair_reminders(
            "event", state=scene.state, schedules=self.schedules, clock=scene.clock, ids=scene.ids
        )

    def end(self) -> dict[str, int]:
        return end_reminders(PROJECT, 1, state=self.scene.state, schedules=self.schedules)

    def fire(self, name: str = FIRST) -> str:
        """Play Scheduler: the payload reaches the function, and the schedule is gone."""
        due = ReminderDue.model_validate(self.schedules.by_name.pop(name).payload["detail"])
        return self.deliver(due)

    def deliver(self, due: ReminderDue) -> str:
        scene = self.scene
        return remind(due, "firing", state=scene.state, clock=scene.clock, ids=scene.ids)

    @property
    def told(self) -> list[dict[str, object]]:
        return [e.data.model_dump() for e in self.scene.state.named("ApprovalReminder")]


@pytest.fixture
def declared(monkeypatch: pytest.MonkeyPatch) -> None:
    approval = {"lifetime_s": 86_400, "reminders": [0.25, 0.9]}
    monkeypatch.setitem(CONFIG, "approval", approval)


def test_a_pending_request_has_one_schedule_at_half_of_its_time_and_reminds_once() -> None:
    ward = Ward(risk_tier="high")
    ward.scene.decide(user("ana"), ward.request.evidence_digest)
    asked_at = ward.scene.clock.now()
    assert ward.schedule() == {"scheduled": 1, "reminded": 0}
    kept = ward.schedules.by_name[FIRST]
    assert kept.at == asked_at + timedelta(seconds=HALF_S)
    ward.scene.clock.advance(HALF_S)
    assert ward.fire() == "reminded"
    assert ward.told == [
        {"version": 1, "evidence_digest": ward.request.evidence_digest, "missing": 1,
         "expires_at": "2026-01-06T09:00:00+00:00"}
    ]  # fmt: skip


@pytest.mark.usefixtures("declared")
def test_a_project_declares_further_moments_as_shares_of_the_lifetime() -> None:
    ward = Ward()
    asked_at = ward.scene.clock.now()
    ward.schedule()
    after = [
        (one.at - asked_at).total_seconds() for one in ward.schedules.by_name.values() if one.at
    ]
    assert after == [21_600, HALF_S, 77_760]
    for number, seconds in enumerate((21_600, 21_600, 34_560), start=1):
        ward.scene.clock.advance(seconds)
        assert ward.fire(reminder_name(PROJECT, 1, number)) == "reminded"
    assert len(ward.told) == 3


def test_twice_the_same_event_and_twice_the_same_firing_are_one_reminder() -> None:
    ward = Ward()
    ward.schedule()
    assert ward.schedule() == {"scheduled": 0, "reminded": 0}
    ward.scene.clock.advance(HALF_S)
    due = ReminderDue.model_validate(ward.schedules.by_name[FIRST].payload["detail"])
    assert [ward.deliver(due), ward.deliver(due)] == ["reminded", "reminded already, or decided"]
    assert ward.repair() == {"scheduled": 0, "reminded": 0}
    assert len(ward.told) == 1


@pytest.mark.usefixtures("declared")
def test_a_firing_that_an_overtaking_one_made_stale_sends_nothing() -> None:
    ward = Ward()
    ward.schedule()
    ward.scene.clock.advance(80_000)
    assert ward.fire(reminder_name(PROJECT, 1, 3)) == "reminded"
    assert ward.fire(reminder_name(PROJECT, 1, 1)) == "reminded already, or decided"


@pytest.mark.parametrize("decision", ["approve", "reject"])
def test_a_decision_takes_the_schedule_away_and_a_firing_that_is_under_way_sends_nothing(
    decision: str,
) -> None:
    ward = Ward()
    ward.schedule()
    due = ReminderDue.model_validate(ward.schedules.by_name[FIRST].payload["detail"])
    assert ward.end() == {"deleted": 0}  # pending still: an event of something else
    ward.scene.decide(user("ana"), ward.request.evidence_digest, decision)  # type: ignore[arg-type]
    assert [ward.end(), ward.end()] == [{"deleted": 1}, {"deleted": 1}]
    assert ward.schedules.by_name == {}
    assert "version 1 is" in ward.deliver(due)
    assert ward.told == []


def test_who_approves_while_the_reminder_is_written_is_not_reminded() -> None:
    ward = Ward()
    ward.schedule()
    ward.scene.clock.advance(HALF_S)

    def approve() -> None:
        ward.scene.decide(user("ana"), ward.request.evidence_digest)

    ward.scene.state.before_commit = [approve]
    assert ward.fire() == "reminded already, or decided"
    assert ward.told == []


def test_an_event_that_comes_after_the_decision_schedules_nothing() -> None:
    ward = Ward()
    ward.scene.decide(user("ana"), ward.request.evidence_digest)
    assert ward.schedule() == {"scheduled": 0, "reminded": 0}
    assert ward.schedules.by_name == {}


@pytest.mark.usefixtures("declared")
def test_an_event_that_comes_late_makes_up_for_what_it_missed_with_one_reminder() -> None:
    ward = Ward()
    ward.scene.clock.advance(50_000)
    assert ward.schedule() == {"scheduled": 1, "reminded": 1}
    assert list(ward.schedules.by_name) == [reminder_name(PROJECT, 1, 3)]
    assert ward.schedule() == {"scheduled": 0, "reminded": 0}


def test_a_request_whose_time_is_up_is_not_reminded_of() -> None:
    ward = Ward()
    ward.schedule()
    ward.scene.clock.advance(86_400)
    assert ward.schedule() == {"scheduled": 0, "reminded": 0}
    assert ward.fire() == "the request's time is up"


def test_a_request_that_a_newer_approval_made_void_is_not_reminded_of() -> None:
    ward = Ward()
    ward.schedule()
    second = ward.scene.pending("bbbbbbbbbbbb-1").evidence_digest
    ward.scene.decide(user("ana"), second, version=2)
    assert ward.fire() == "a newer version was approved"


def test_a_schedule_of_other_evidence_sends_nothing() -> None:
    ward = Ward()
    ward.schedule()
    ward.schedules.by_name[FIRST].payload["detail"]["evidence_digest"] = "0" * 64
    assert ward.fire() == "the request is of other evidence"


@pytest.mark.parametrize("refusal", [AccessDeniedError("no"), ThrottledError("later")])
def test_a_schedule_that_is_denied_or_throttled_is_made_by_the_next_try(
    refusal: Exception,
) -> None:
    ward = Ward()
    ward.schedules.fails = [refusal]
    with pytest.raises(type(refusal)):
        ward.schedule()
    assert ward.repair() == {"scheduled": 1, "reminded": 0}


def test_the_hour_mends_what_was_deleted_and_leaves_what_was_disabled() -> None:
    ward = Ward()
    ward.schedule()
    ward.schedules.delete(FIRST)
    assert ward.repair() == {"scheduled": 1, "reminded": 0}
    ward.schedules.by_name[FIRST].enabled = False
    assert ward.repair() == {"scheduled": 0, "reminded": 0}
    ward.scene.clock.advance(HALF_S)
    assert ward.repair() == {"scheduled": 0, "reminded": 1}


def test_a_version_that_was_pending_before_reminders_were_scheduled_has_none() -> None:
    ward = Ward()
    kept = {k: v for k, v in ward.scene.item().items() if k != "reminders"}
    ward.scene.state.put(Table.VERSIONS, kept)
    assert ward.schedule() == {"scheduled": 0, "reminded": 0}


@pytest.mark.parametrize(
    ("lifetime_s", "fractions", "before", "after"),
    [
        (100, [], None, [50]),
        (100, [], 20, [80]),
        (100, [], 90, [50]),
        (100, [0.5, 0.9], None, [50, 90]),
        (100, [0.25], 10, [25, 90]),
        (100, [0.9], 10, [90]),
    ],
)
def test_moments_follow_from_project_and_policy(
    lifetime_s: int, fractions: list[float], before: int | None, after: list[int]
) -> None:
    asked = datetime.fromisoformat("2026-01-05T09:00:00+00:00")
    found = reminder_moments(asked, lifetime_s, fractions, before)
    assert [(at - asked).total_seconds() for at in found] == after


@pytest.mark.parametrize("shares", [[0.5, 0.5], [0.9, 0.1], [0], [1], [1.5], ["x"], [0.1] * 6])
def test_moments_that_are_none_are_refused_at_the_push(shares: list[object]) -> None:
    with pytest.raises(InvalidProjectError, match=r"approval\.reminders"):
        parse_project({**CONFIG, "approval": {"reminders": shares}})
