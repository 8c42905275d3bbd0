"""Who answered at any time, from the records that releases leave behind."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steward.contracts.events import RollbackRequested
from steward.domain.serving_history import (
    Change,
    answering_since,
    approved_by,
    brought_by,
    changes_of,
    serving_at,
    share_since,
    until,
)
from steward.ports import Table
from steward.service.serving.release_end import retire_previous
from support.serving_scene import PROJECT, Scene

T0 = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def shift(seconds: float, step: str, route: int = 1, **shares: float) -> dict[str, Any]:
    return {
        "at": at(seconds).isoformat(timespec="milliseconds"),
        "step_id": step,
        "route_version": route,
        "shares": {name.removeprefix("v"): share for name, share in shares.items()},
    }


def release(version: int, *shifts: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "project": PROJECT, "release_id": f"{version:08d}-1", "version": version,
        "status": "running", "stable_version": version - 1 or None, "shifts": list(shifts),
        **fields,
    }  # fmt: skip


FIRST = release(
    1, shift(0, "all_at_once-1-100", v1=100), status="completed",
    ended_at=at(300).isoformat(),
)  # fmt: skip


# Against the last shift before a moment

moments = st.integers(0, 500)
histories = st.lists(
    st.lists(
        st.tuples(moments, st.dictionaries(st.integers(1, 4), st.floats(0.5, 100), max_size=3)),
        max_size=6,
    ),
    max_size=5,
)


@given(histories, st.lists(st.floats(-10, 510), min_size=1, max_size=8))
def test_the_shares_at_any_time_are_those_of_the_last_shift_before_it(
    drawn: list[list[tuple[int, dict[int, float]]]], asked: list[float]
) -> None:
    records, told, route = [], [], 0
    for version, moves in enumerate(drawn, start=1):
        shifts = []
        for moved_at, shares in moves:
            route += 1
            shifts.append(
                shift(moved_at, f"s-{route}", route, **{f"v{v}": s for v, s in shares.items()})
            )
            told.append((at(moved_at), route, shares))
        records.append(release(version, *shifts))
    changes = changes_of(reversed(records))

    for seconds in asked:
        before = [entry for entry in told if entry[0] <= at(seconds)]
        found = serving_at(changes, at(seconds))
        if not before:
            assert found is None
        else:
            assert found is not None
            assert found.shares == max(before, key=lambda entry: entry[:2])[2]


@given(histories, st.floats(0, 500))
def test_since_is_the_beginning_of_an_unbroken_span_and_until_its_end(
    drawn: list[list[tuple[int, dict[int, float]]]], seconds: float
) -> None:
    records = [
        release(v, *(shift(s, "x", n, **{f"v{k}": w for k, w in shares.items()})
                     for n, (s, shares) in enumerate(moves)))
        for v, moves in enumerate(drawn, 1)
    ]  # fmt: skip
    changes = changes_of(records)
    now = serving_at(changes, at(seconds))
    for version, share in (now.shares if now else {}).items():
        since = share_since(changes, at(seconds), version)
        answering = answering_since(changes, at(seconds), version)
        assert since is not None
        assert answering is not None
        assert answering <= since <= at(seconds)
        assert all(c.shares.get(version) == share for c in changes if since < c.at <= at(seconds))
        assert all(version in c.shares for c in changes if answering < c.at <= at(seconds))
    end = until(changes, at(seconds))
    assert end is None or end > at(seconds)


# Against the routes that the real use cases write

OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["complete", "fail", "alarm", "taken_by_others", "asked", "retire"]),
        st.integers(0, 2),
        st.integers(1, 500),
    ),
    max_size=7,
)


def play(scene: Scene, operation: str, step: int, version: int) -> None:
    """Do one thing as its machine would."""
    if operation == "complete":
        scene.play(version)
        return
    if operation == "asked":
        route = scene.route()
        if route is None or route.previous is None or route.candidate is not None:
            return
        started = scene.start_rollback(scene.received(RollbackRequested(reason="it looks wrong")))
        end_rollback(scene, started)
        return
    if operation == "retire":
        scene.clock.advance(2 * 86_400)
        retire_previous(state=scene.state, endpoints=scene.endpoints, clock=scene.clock)
        return
    first = scene.route() is None
    release_id = scene.begin(version, 0 if first else step)
    scene.clock.advance(30)
    if operation == "alarm" and not first:
        end_rollback(scene, scene.start_rollback(scene.alarm()))
    elif operation == "taken_by_others" and not first:
        scene.conclude(release_id, "ReleaseEndedError")
    else:
        scene.conclude(release_id)
    scene.workflows.end(scene.release(release_id)["execution_arn"])


def end_rollback(scene: Scene, started: dict[str, Any]) -> None:
    if "started" not in started:
        return
    command = scene.rollback_command(started)
    result = scene.restore(command)
    scene.clock.advance(7)
    scene.conclude_rollback(command, str(started["started"]), result)


@settings(max_examples=60, deadline=None)
@given(OPERATIONS)
def test_the_history_tells_the_shares_of_the_route_whatever_happened(
    operations: list[tuple[str, int, int]],
) -> None:
    scene, seen = Scene(), []
    for version, (operation, step, pause) in enumerate(operations, start=1):
        play(scene, operation, step, version)
        seen.append((scene.clock.now(), {v: s for v, s in scene.shares().items() if s}))
        scene.clock.advance(pause)
    changes = changes_of(scene.state.query(Table.RELEASES, PROJECT))

    for moment, shares in seen:
        found = serving_at(changes, moment)
        assert dict(found.shares if found else {}) == shares


# What is said of a change


def test_a_rollback_is_named_with_its_cause() -> None:
    scene = Scene()
    scene.play(1)
    scene.begin(2)
    scene.clock.advance(5)
    end_rollback(scene, scene.start_rollback(scene.alarm()))
    last = changes_of(scene.state.query(Table.RELEASES, PROJECT))[-1]

    assert (last.kind, last.release_id, dict(last.shares)) == (
        "rolled_back",
        "00000002-1",
        {1: 100},
    )
    assert "alarm" in str(last.cause)
    assert last.noted


def test_a_completion_is_noted_so_that_a_later_rollback_leaves_it_in_the_history() -> None:
    scene = Scene()
    scene.play(1)
    scene.play(2)
    scene.clock.advance(60)
    end_rollback(scene, scene.start_rollback(scene.received(RollbackRequested(reason="wrong"))))
    changes = changes_of(scene.state.query(Table.RELEASES, PROJECT))

    assert [c.kind for c in changes[-2:]] == ["completed", "rolled_back"]
    assert all(change.noted for change in changes)


def told_as_noted(scene: Scene) -> None:
    """Assert that each release notes what was told of it, in order and once."""
    told = [(t.release_id, t.route_version, t.shares) for t in scene.told("TrafficShifted")]
    noted = [
        (release["release_id"], shift["route_version"], shift["shares"])
        for release in scene.state.query(Table.RELEASES, PROJECT)
        for shift in release["shifts"]
    ]
    assert sorted(told, key=lambda shift: shift[1]) == sorted(noted, key=lambda shift: shift[1])
    assert len({number for _, number, _ in told}) == len(told)


@settings(max_examples=60, deadline=None)
@given(OPERATIONS)
def test_every_shift_is_noted_and_told_once_under_a_number_of_its_own(
    operations: list[tuple[str, int, int]],
) -> None:
    scene = Scene()
    for version, (operation, step, pause) in enumerate(operations, start=1):
        play(scene, operation, step, version)
        scene.clock.advance(pause)
    told_as_noted(scene)
    assert all(change.noted for change in changes_of(scene.state.query(Table.RELEASES, PROJECT)))


def test_an_end_without_promotion_is_a_shift_like_any_other() -> None:
    scene = Scene()
    scene.play(1)
    release_id = scene.begin(2)
    scene.clock.advance(5)
    scene.not_promoted(release_id)
    scene.not_promoted(release_id)
    told_as_noted(scene)
    last = scene.told("TrafficShifted")[-1]
    assert (last.step_id, last.shares) == (f"{release_id}-taken-back", {"1": 100})
    change = changes_of(scene.state.query(Table.RELEASES, PROJECT))[-1]
    assert (change.kind, change.noted) == ("taken_back", True)


def test_a_route_that_is_made_anew_goes_on_counting() -> None:
    scene = Scene()
    scene.conclude(scene.begin(1))
    assert scene.route() is None
    assert scene.told("TrafficShifted")[-1].shares == {}
    scene.workflows.end(scene.release("00000001-1")["execution_arn"])
    scene.play(2)
    numbers = [told.route_version for told in scene.told("TrafficShifted")]
    assert numbers == [1, 2, 3]
    told_as_noted(scene)


def test_a_completion_at_half_of_the_traffic_follows_from_the_end_of_the_release() -> None:
    tested = release(
        2, shift(400, "ab_test-1-50", 2, v1=50, v2=50), status="completed",
        ended_at=at(900).isoformat(), step_id="ab_test-1-50",
    )  # fmt: skip
    changes = changes_of([tested, FIRST])

    assert [dict(c.shares) for c in changes] == [{1: 100}, {1: 50, 2: 50}, {2: 100}]
    assert (changes[-1].kind, changes[-1].noted, changes[-1].at) == ("completed", False, at(900))


@pytest.mark.parametrize(
    ("status", "stable", "wanted", "kind"),
    [
        ("failed", 1, {1: 100}, "taken_back"),
        ("not_promoted", 1, {1: 100}, "taken_back"),
        ("failed", None, {}, "removed"),
    ],
)
def test_an_end_without_promotion_gives_the_traffic_back(
    status: str, stable: int | None, wanted: dict[int, float], kind: str
) -> None:
    ended = release(
        2, shift(400, "ab_test-1-50", 2, v2=50), status=status, stable_version=stable,
        ended_at=at(900).isoformat(), cause="it broke",
    )  # fmt: skip
    last = changes_of([ended])[-1]

    assert (dict(last.shares), last.kind, last.cause) == (wanted, kind, "it broke")


def test_a_release_that_lost_its_route_moves_nothing_when_it_ends() -> None:
    overtaken = release(
        2, shift(400, "canary-1-10", 2, v1=90, v2=10), status="failed", ended_at=at(900).isoformat()
    )
    other = release(3, shift(500, "canary-1-10", 3, v1=80, v3=20), stable_version=1)
    changes = changes_of([FIRST, overtaken, other])

    assert dict(changes[-1].shares) == {1: 80, 3: 20}


def test_a_version_was_brought_by_its_own_release_though_another_moved_the_route_last() -> None:
    changes = changes_of([FIRST, release(2, shift(400, "canary-1-10", 2, v1=90, v2=10))])

    assert brought_by(changes, at(500), 1) == "00000001-1"
    assert brought_by(changes, at(500), 2) == "00000002-1"
    assert answering_since(changes, at(500), 1) == T0
    assert share_since(changes, at(500), 1) == at(400)
    assert share_since(changes, at(300), 2) is None


def test_writes_of_one_millisecond_are_in_the_order_of_the_route() -> None:
    moved = release(2, shift(5, "b", 3, v2=100), shift(5, "a", 2, v1=50, v2=50))
    found = serving_at(changes_of([moved]), at(5))

    assert isinstance(found, Change)
    assert found.step_id == "b"


# By whose approval


def vote(who: str, decision: str, seconds: float) -> dict[str, str]:
    return {"identity": who, "decision": decision, "at": at(seconds).isoformat(), "comment": "ok"}


def test_approvers_are_those_whose_last_decision_by_then_was_yes() -> None:
    version = {
        "approvals": [
            vote("1/ada", "approve", 0),
            vote("1/bob", "approve", 10),
            vote("1/ADA", "reject", 20),
            vote("1/cyd", "approve", 30),
        ]
    }

    def names(seconds: float) -> list[str]:
        return [found["identity"] for found in approved_by(version, at(seconds))]

    assert names(-1) == []
    assert names(10) == ["1/ada", "1/bob"]
    assert names(25) == ["1/bob"]
    assert names(99) == ["1/bob", "1/cyd"]
