"""Registry states follow the releases."""

from __future__ import annotations

import itertools

import pytest

from steward.contracts.events import (
    ReleaseCompleted,
    ReleaseFailed,
    ReleaseRolledBack,
    ReleaseStarted,
)
from steward.domain.errors import ConflictError, IllegalTransitionError
from steward.ports import Table
from steward.service.registry.promotion import Promoted, ReleaseEvent, promote_version
from support.fakes import FakeClock, FakeIds, FakeState

PROJECT = "diabetes"


class Releases:
    """Versions and releases of one project."""

    def __init__(self, *states: str) -> None:
        self.state = FakeState()
        for number, state in enumerate(states, start=1):
            self.set_version(number, state)

    def set_version(self, number: int, state: str) -> None:
        key = {"project": PROJECT, "item": f"version#{number:08d}"}
        self.state.put(Table.VERSIONS, {**key, "version": number, "state": state})

    def record(self, version: int, status: str, minute: int, attempt: int = 1) -> str:
        """Write a release record as the serving domain does."""
        release = f"{version:08d}-{attempt}"
        self.state.put(
            Table.RELEASES,
            {
                "project": PROJECT, "release_id": release, "version": version, "status": status,
                "started_at": f"2026-01-05T09:{minute:02d}:00+00:00",
            },
        )  # fmt: skip
        return release

    def tell(self, told: ReleaseEvent) -> Promoted:
        return promote_version(
            PROJECT, told, causation_id="e1", correlation_id="c1", state=self.state,
            clock=FakeClock(), ids=FakeIds(),
        )  # fmt: skip

    @property
    def states(self) -> list[str]:
        items = self.state.query(Table.VERSIONS, PROJECT, prefix="version#")
        return [str(item["state"]) for item in items]

    @property
    def champion(self) -> int | None:
        item = self.state.get(Table.VERSIONS, {"project": PROJECT, "item": "alias#champion"})
        return int(item["version"]) if item else None

    @property
    def promoted(self) -> list[tuple[int, int | None]]:
        told = [event.data.model_dump() for event in self.state.named("VersionPromoted")]
        return [(data["version"], data["previous"]) for data in told]


def started(version: int, attempt: int = 1) -> ReleaseStarted:
    return ReleaseStarted(
        release_id=f"{version:08d}-{attempt}", version=version, strategy="canary",
        steps=[10, 100], execution_arn="arn",
    )  # fmt: skip


def completed(version: int, attempt: int = 1) -> ReleaseCompleted:
    return ReleaseCompleted(release_id=f"{version:08d}-{attempt}", version=version)


def rolled_back(version: int, stable: int) -> ReleaseRolledBack:
    return ReleaseRolledBack(
        release_id=f"{version:08d}-1", version=version, stable_version=stable, cause="alarm",
        triggered_at="t", restored_at="t",
    )  # fmt: skip


def failed(version: int) -> ReleaseFailed:
    return ReleaseFailed(
        release_id=f"{version:08d}-1", version=version, failed_state="s", error="e", cause="c",
        execution_arn="arn",
    )  # fmt: skip


def two_in_turn() -> Releases:
    """Version 1 retained, version 2 in production, version 3 approved."""
    releases = Releases("approved", "approved", "approved")
    for number in (1, 2):
        releases.record(number, "completed", number)
        releases.tell(completed(number))
    assert releases.states == ["retained", "production", "approved"]
    return releases


def test_a_release_goes_through_its_states() -> None:
    releases = Releases("approved")
    releases.record(1, "running", 1)
    releases.tell(started(1))
    assert (releases.states, releases.champion) == (["releasing"], None)
    releases.record(1, "completed", 1)
    releases.tell(completed(1))
    assert (releases.states, releases.champion) == (["production"], 1)
    assert releases.promoted == [(1, None)]


def test_the_one_before_is_retained() -> None:
    releases = two_in_turn()
    assert releases.champion == 2
    assert releases.promoted == [(1, None), (2, 1)]


def test_a_canary_that_was_rolled_back_leaves_the_champion() -> None:
    releases = two_in_turn()
    releases.record(3, "rolled_back", 3)
    releases.tell(rolled_back(3, 2))
    assert releases.states == ["retained", "production", "rolled_back"]
    assert releases.champion == 2
    assert len(releases.promoted) == 2


def test_a_person_who_rolls_production_back_restores_the_one_before() -> None:
    releases = two_in_turn()
    releases.record(2, "rolled_back", 2)
    releases.tell(rolled_back(2, 1))
    assert releases.states == ["production", "rolled_back", "approved"]
    assert releases.champion == 1
    assert releases.promoted[-1] == (1, 2)


def test_a_failed_release_leaves_its_version_approved() -> None:
    releases = two_in_turn()
    releases.record(3, "running", 3)
    releases.tell(started(3))
    assert releases.states[2] == "releasing"
    releases.record(3, "failed", 3)
    releases.tell(failed(3))
    assert releases.states == ["retained", "production", "approved"]


def test_a_second_attempt_counts_like_the_first() -> None:
    releases = two_in_turn()
    releases.record(3, "failed", 3)
    releases.record(3, "completed", 4, attempt=2)
    releases.tell(completed(3, attempt=2))
    assert releases.states == ["retained", "retained", "production"]


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
@pytest.mark.parametrize("written", [True, False])
def test_any_order_of_events_ends_in_the_same_states(order: tuple[int, ...], written: bool) -> None:
    told: list[ReleaseEvent] = [started(3), rolled_back(3, 2), started(3), rolled_back(3, 2)]
    releases = two_in_turn()
    if written:
        releases.record(3, "rolled_back", 3)
    else:
        releases.record(3, "running", 3)
    for index in order:
        releases.tell(told[index])
    if not written:
        releases.record(3, "rolled_back", 3)
        releases.tell(told[order[0]])
    assert releases.states == ["retained", "production", "rolled_back"]
    assert releases.champion == 2


def test_the_event_is_believed_where_the_record_lags() -> None:
    releases = Releases("approved")
    releases.record(1, "running", 1)
    releases.tell(completed(1))
    assert (releases.states, releases.champion) == (["production"], 1)


def test_an_event_whose_release_is_unknown_still_counts() -> None:
    releases = two_in_turn()
    releases.tell(completed(3))
    assert releases.states == ["retained", "retained", "production"]


def test_a_duplicate_writes_nothing() -> None:
    releases = two_in_turn()
    commits = releases.state.commits
    assert releases.tell(completed(2)).states == {}
    assert releases.state.commits == commits


def test_a_lost_race_is_tried_again() -> None:
    releases = two_in_turn()
    releases.record(3, "completed", 3)
    releases.state.before_commit = [lambda: releases.set_version(3, "releasing")]
    releases.tell(completed(3))
    assert releases.states == ["retained", "retained", "production"]
    assert releases.promoted[-1] == (3, 2)


def test_a_race_that_is_lost_again_and_again_is_a_conflict() -> None:
    releases = Releases("approved")
    releases.record(1, "completed", 1)

    def other(state: str) -> None:
        releases.set_version(1, state)

    turns = itertools.cycle(["releasing", "approved"])
    releases.state.before_commit = [lambda: other(next(turns)) for _ in range(5)]
    with pytest.raises(ConflictError, match="meanwhile"):
        releases.tell(completed(1))


def test_a_release_of_what_was_never_approved_is_reported_and_stops_no_other() -> None:
    releases = two_in_turn()
    releases.set_version(3, "rejected")
    releases.record(3, "completed", 3)
    with pytest.raises(IllegalTransitionError, match="released all the same"):
        releases.tell(completed(3))
    assert releases.states == ["retained", "retained", "rejected"]
    assert releases.champion == 3


def test_what_waits_or_was_superseded_stays_as_people_left_it() -> None:
    releases = two_in_turn()
    releases.set_version(3, "rejected")
    releases.record(3, "waiting", 3)
    assert releases.tell(completed(2)).states == {}
