"""Releases: one at a time, judged after each bake, ended once."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from steward.contracts.events import ReleaseRequested
from steward.domain.errors import (
    ConflictError,
    DependencyError,
    ReleaseEndedError,
    ReleaseNotAllowedError,
)
from steward.domain.policy.waivers import waiver_digest
from steward.ports import Table
from steward.service.serving.release_end import release_that_ended, retire_previous
from steward.service.serving.start_release import start_release
from support.serving_scene import ERRORS, RELEASE, Scene, container

FIRST, SECOND, THIRD = "00000001-1", "00000002-1", "00000003-1"


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.fixture
def serving(scene: Scene) -> Scene:
    """Version 1 is in production."""
    scene.play(1)
    return scene


# Starting


def test_an_approval_starts_a_release_with_lease_and_event(scene: Scene) -> None:
    scene.approve(1)
    result = scene.start_release(1)
    release, lock = scene.release(FIRST), scene.lock()
    assert result["started"] == release["execution_arn"]
    assert lock is not None
    assert lock["owner"] == FIRST
    assert lock["lease_expires_at"] > scene.clock.now().timestamp() + 300
    (told,) = scene.told("ReleaseStarted")
    assert (told.strategy, told.steps, told.stable_version) == ("all_at_once", [100], None)
    assert told.execution_arn in scene.workflows.executions


def forbid(scene: Scene, *allowed: str) -> None:
    """Pin version 1 to a policy that allows these strategies alone."""
    from steward.domain.policy.in_force import PinnedPolicy
    from steward.domain.policy.requirements import Requirements

    required = {"strategies": list(allowed), "waivers": {"allowed": True}}
    pinned = PinnedPolicy(
        name="clinic", source="organisation", document_digest="d" * 64, digest="e" * 64,
        tier="limited", requirements=Requirements.model_validate(required),
    )  # fmt: skip
    key = {"project": "diabetes", "item": "version#00000001"}
    item = scene.state.get(Table.VERSIONS, key) or {}
    scene.state.put(Table.VERSIONS, {**item, "policy": pinned.model_dump(mode="json")})


def test_a_strategy_that_the_pinned_policy_forbids_starts_nothing(scene: Scene) -> None:
    scene.approve(1)
    forbid(scene, "shadow")
    with pytest.raises(ReleaseNotAllowedError, match="does not allow the strategy") as refused:
        scene.start_release(1)
    assert (refused.value.field, refused.value.allowed) == ("release.strategy", "shadow")
    assert scene.told("ReleaseStarted") == []


def test_a_waiver_of_the_strategy_for_this_version_lets_it_start(scene: Scene) -> None:
    scene.approve(1)
    forbid(scene, "shadow")
    now = scene.clock.now()
    waiver = {
        "project": "diabetes", "item": "waiver#0a1b2c3d4e5f", "waiver_id": "0a1b2c3d4e5f",
        "rule": "strategy", "reason": "the fix must be live tonight", "granted_by": "1/bo",
        "principal_arn": "arn", "granted_at": now.isoformat(), "digest": "d" * 64, "version": 2,
        "expires_at": (now + timedelta(hours=1)).isoformat(),
    }  # fmt: skip
    scene.state.put(Table.VERSIONS, {**waiver, "digest": waiver_digest(waiver)})
    with pytest.raises(ReleaseNotAllowedError):
        scene.start_release(1)
    named = {**waiver, "version": 1}
    scene.state.put(Table.VERSIONS, {**named, "digest": waiver_digest(named)})
    assert scene.start_release(1)["release_id"] == FIRST


def test_the_same_approval_twice_starts_one_release(scene: Scene) -> None:
    scene.approve(1)
    scene.start_release(1)
    assert scene.start_release(1)["suppressed"] == FIRST
    assert len(scene.told("ReleaseStarted")) == 1


def test_a_crash_after_the_transaction_is_healed_by_the_next_delivery(scene: Scene) -> None:
    scene.approve(1)
    scene.workflows.fails = DependencyError("throttled")
    with pytest.raises(DependencyError):
        scene.start_release(1)
    assert scene.workflows.executions == {}
    assert scene.start_release(1)["started"] == scene.release(FIRST)["execution_arn"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"state": "pending"}, "state"),
        ({"state": "rolled_back"}, "state"),
        ({"evidence_digest": "e" * 64}, "evidence_digest"),
        ({"evidence_digest": None}, "evidence_digest"),
        ({"approvals": []}, "approvals"),
        ({"quorum": 2}, "approvals"),
        ({"author": "000000000000/ADA"}, "approvals"),
        ({"author": "unknown"}, "approvals"),
    ],
)
def test_an_event_that_the_record_does_not_bear_out_starts_nothing(
    scene: Scene, changes: dict[str, object], field: str
) -> None:
    scene.approve(1, **changes)
    with pytest.raises(ReleaseNotAllowedError) as refused:
        scene.start_release(1)
    assert refused.value.field == field
    assert scene.lock() is None
    assert scene.workflows.executions == {}


def test_a_second_release_waits_and_a_newer_approval_takes_its_place(serving: Scene) -> None:
    serving.begin(2)
    serving.approve(3)
    serving.approve(4)
    assert serving.start_release(3)["behind"] == SECOND
    serving.start_release(4)
    assert serving.release(THIRD)["status"] == "superseded"
    assert serving.release("00000004-1")["status"] == "waiting"
    queued = serving.told("ReleaseQueued")
    assert [(q.version, q.superseded) for q in queued] == [(3, None), (4, 3)]
    assert len(serving.told("ReleaseStarted")) == 2


def test_the_waiting_release_begins_when_the_lock_is_handed_on(serving: Scene) -> None:
    serving.begin(2)
    serving.approve(3)
    serving.start_release(3)
    serving.conclude(SECOND)
    lock = serving.lock()
    assert lock is not None
    assert lock["owner"] == THIRD
    assert serving.release(THIRD)["status"] == "running"
    assert serving.told("ReleaseStarted")[-1].version == 3
    assert serving.release(THIRD)["execution_arn"] in serving.workflows.executions


def test_a_release_whose_lease_ran_out_is_ended_for_the_next(serving: Scene) -> None:
    serving.begin(2)
    serving.clock.advance(60 * 86_400)
    serving.approve(3)
    assert serving.start_release(3)["release_id"] == THIRD
    assert serving.release(SECOND)["status"] == "failed"
    assert serving.shares() == {1: 100}
    with pytest.raises(ReleaseEndedError):
        serving.complete(SECOND)


def test_a_lost_race_for_the_lock_is_decided_again(serving: Scene) -> None:
    serving.approve(2)
    serving.approve(3)

    def approve_another() -> None:
        serving.start_release(2)

    serving.state.before_commit.append(approve_another)
    assert serving.start_release(3)["behind"] == SECOND


def test_a_failed_release_may_be_tried_again_as_another_attempt(serving: Scene) -> None:
    serving.begin(2)
    serving.conclude(SECOND)
    assert serving.start_release(2)["release_id"] == "00000002-2"


# Planning and moving


def test_a_first_version_goes_live_at_once(scene: Scene) -> None:
    scene.begin(1)
    assert scene.shares() == {1: 100}
    assert scene.judge(FIRST).next == "complete"


def test_a_canary_moves_in_its_steps_and_keeps_the_old_version(serving: Scene) -> None:
    serving.begin(2)
    seen = [serving.shares()]
    for index in (0, 1):
        verdict = serving.judge(SECOND, index)
        assert (verdict.next, verdict.step_index) == ("shift", index + 1)
        serving.shift(SECOND, verdict.step_index)
        seen.append(serving.shares())
    assert seen == [{2: 10, 1: 90}, {2: 50, 1: 50}, {2: 100, 1: 0}]
    assert serving.judge(SECOND, 2).next == "complete"
    done = serving.complete(SECOND)
    route = serving.route()
    assert route is not None
    assert route.previous is not None
    assert serving.shares() == {2: 100}
    assert route.previous.version == done.previous_version == 1
    assert serving.lock() is None
    (_, told) = serving.told("ReleaseCompleted")
    until = datetime.fromisoformat(told.previous_until)
    assert until == serving.clock.now() + timedelta(seconds=86_400)


def test_a_step_is_moved_once(serving: Scene) -> None:
    serving.begin(2)
    assert serving.shift(SECOND, 0) == serving.shift(SECOND, 0)
    assert len(serving.release(SECOND)["shifts"]) == 1


def test_staging_and_what_is_no_longer_kept_are_removed(scene: Scene) -> None:
    scene.endpoints.add("dev-diabetes-v1-staging", b"{}")
    scene.play(1)
    scene.play(2)
    assert scene.endpoints.deleted == ["dev-diabetes-v1-staging"]
    scene.play(3)
    assert scene.endpoints.deleted == ["dev-diabetes-v1-staging", "dev-diabetes-v1-prod"]


def test_a_completion_that_is_repeated_changes_nothing(serving: Scene) -> None:
    serving.complete(FIRST)
    assert len(serving.told("ReleaseCompleted")) == 1


def test_the_plan_verifies_the_approval_again(serving: Scene) -> None:
    serving.approve(2)
    serving.start_release(2)
    serving.approve(2, state="rejected")
    with pytest.raises(ReleaseNotAllowedError):
        serving.plan(SECOND)


def test_a_release_whose_machine_is_overtaken_moves_no_traffic(serving: Scene) -> None:
    serving.begin(2)
    serving.conclude(SECOND)
    for late in (lambda: serving.shift(SECOND, 1), lambda: serving.judge(SECOND)):
        with pytest.raises(ReleaseEndedError):
            late()


def test_a_route_that_somebody_changed_ends_the_release_as_rolled_back(serving: Scene) -> None:
    serving.begin(2)
    route = serving.route()
    assert route is not None
    other = route.model_copy(update={"route_version": 9, "step_id": "by-hand"})
    serving.state.put(Table.ROUTES, other.model_dump(mode="json"))
    with pytest.raises(ReleaseEndedError):
        serving.judge(SECOND)
    with pytest.raises(ReleaseEndedError):
        serving.shift(SECOND, 1)
    with pytest.raises(ReleaseEndedError):
        serving.complete(SECOND)
    assert serving.conclude(SECOND, error="ReleaseEndedError").status == "rolled_back"
    assert serving.route() == other
    assert serving.lock() is None
    assert serving.told("ReleaseFailed") == []


def test_a_race_for_the_route_is_lost_without_a_trace(serving: Scene) -> None:
    serving.begin(2)
    route = serving.route()
    assert route is not None
    moved = route.model_copy(update={"route_version": 9})
    serving.state.before_commit.append(
        lambda: serving.state.put(Table.ROUTES, moved.model_dump(mode="json"))
    )
    with pytest.raises(ConflictError):
        serving.shift(SECOND, 1)
    assert len(serving.told("TrafficShifted")) == 2
    assert len(serving.release(SECOND)["shifts"]) == 1


# Judging


def test_an_alarm_in_alarm_rolls_back(serving: Scene) -> None:
    serving.begin(2)
    serving.alarms.by_name[ERRORS] = "ALARM"
    verdict = serving.judge(SECOND)
    assert verdict.next == "roll_back"
    assert ERRORS in verdict.reason
    assert verdict.rollback.name == "diabetes-00000002-1-rollback-1"
    assert verdict.rollback.input["version"] == 2


def test_an_alarm_that_stood_before_the_release_does_not_block_the_fix(serving: Scene) -> None:
    serving.alarms.by_name[ERRORS] = "ALARM"
    serving.begin(2)
    assert serving.judge(SECOND).next == "shift"
    serving.alarms.by_name[ERRORS] = "OK"
    assert serving.judge(SECOND).next == "shift"
    serving.alarms.by_name[ERRORS] = "ALARM"
    assert serving.judge(SECOND).next == "roll_back"


def test_too_few_requests_hold_to_a_cap_and_then_end_without_promotion(serving: Scene) -> None:
    serving.begin(2)
    serving.count(4)
    holds = 0
    for expected in (1, 2, 3):
        verdict = serving.judge(SECOND, holds=holds)
        assert (verdict.next, verdict.holds, verdict.step_index) == ("hold", expected, 0)
        holds = verdict.holds
    last = serving.judge(SECOND, holds=holds)
    assert (last.next, last.verdict) == ("end", "inconclusive")
    assert "4 of the 10 requests" in last.reason


def test_a_first_version_with_proven_errors_is_withdrawn(scene: Scene) -> None:
    scene.begin(1)
    scene.count(100, errors=40, role="stable")
    assert scene.judge(FIRST).next == "withdraw"
    assert scene.conclude(FIRST, error="ReleaseWithdrawnError").status == "failed"
    assert scene.route() is None
    assert scene.endpoints.deleted == ["dev-diabetes-v1-prod"]


def test_the_counted_time_begins_with_the_traffic_shift(serving: Scene) -> None:
    serving.begin(2)
    shifted = serving.clock.now()
    serving.clock.advance(300)
    serving.judge(SECOND)
    assert serving.metrics.asked[-1] == (shifted, serving.clock.now())


# Ending


def test_a_failure_brings_the_traffic_back_and_removes_the_candidate(serving: Scene) -> None:
    serving.begin(2, step=1)
    assert serving.conclude(SECOND).status == "failed"
    assert serving.shares() == {1: 100}
    assert serving.lock() is None
    assert serving.endpoints.deleted[-1] == "dev-diabetes-v2-prod"
    (told,) = serving.told("ReleaseFailed")
    assert (told.failed_state, told.cause) == ("WarmEndpoint", "it broke")


def test_a_late_repeat_of_an_end_leaves_the_endpoint_of_the_next_attempt(serving: Scene) -> None:
    first = serving.begin(2)
    over = serving.ended(serving.release(first)["execution_arn"])
    command = release_that_ended(over, state=serving.state)
    assert command is not None
    serving.conclude_as(command)
    again = str(serving.start_release(2)["release_id"])
    plan = serving.plan(again)
    serving.endpoints.add(plan.endpoint.endpoint, container(serving.project))
    serving.conclude_as(command)
    assert serving.endpoints.status("dev-diabetes-v2-prod") == "InService"
    serving.shift(again)
    assert serving.shares() == {1: 90, 2: 10}


def test_a_release_is_concluded_once(serving: Scene) -> None:
    serving.begin(2)
    serving.conclude(SECOND)
    serving.conclude(SECOND)
    assert len(serving.told("ReleaseFailed")) == 1


@pytest.mark.parametrize("status", ["TIMED_OUT", "ABORTED", "FAILED"])
def test_a_machine_that_ended_by_itself_is_concluded_from_its_event(
    serving: Scene, status: str
) -> None:
    serving.begin(2)
    received = serving.ended(serving.release(SECOND)["execution_arn"], status)
    command = release_that_ended(received, state=serving.state)
    assert command is not None
    serving.conclude_as(command)
    assert serving.release(SECOND)["status"] == "failed"
    assert serving.shares() == {1: 100}


def test_the_event_of_a_release_that_completed_changes_nothing(serving: Scene) -> None:
    received = serving.ended(serving.release(FIRST)["execution_arn"], "FAILED")
    command = release_that_ended(received, state=serving.state)
    assert command is not None
    assert serving.conclude_as(command).status == "completed"
    assert serving.shares() == {1: 100}


def test_a_previous_version_is_retired_only_after_its_retention(serving: Scene) -> None:
    serving.play(2)

    def sweep() -> object:
        return retire_previous(
            state=serving.state, endpoints=serving.endpoints, clock=serving.clock
        )["retired"]

    assert sweep() == []
    serving.clock.advance(86_401)
    assert sweep() == ["dev-diabetes-v1-prod"]
    route = serving.route()
    assert route is not None
    assert route.previous is None
    assert serving.endpoints.status("dev-diabetes-v2-prod") == "InService"


def test_a_previous_version_is_retired_also_after_a_candidate_was_rolled_back(
    serving: Scene,
) -> None:
    serving.play(2)
    serving.begin(3)
    started = serving.start_rollback(serving.alarm())
    command = serving.rollback_command(started)
    serving.conclude_rollback(command, str(started["started"]), serving.restore(command))
    assert serving.shares() == {2: 100}
    serving.clock.advance(86_401)
    retired = retire_previous(state=serving.state, endpoints=serving.endpoints, clock=serving.clock)
    assert retired == {"retired": ["dev-diabetes-v1-prod"]}


# A pipeline asks too


def ask(scene: Scene, version: int, only: str | None) -> dict[str, Any]:
    request = ReleaseRequested(version=version, reason="pipeline", release_id=only)
    return start_release(
        scene.received(request), state=scene.state, workflows=scene.workflows, clock=scene.clock,
        ids=scene.ids, machine=RELEASE,
    )  # fmt: skip


@pytest.mark.parametrize("first", ["approval", "pipeline"])
def test_whoever_comes_first_begins_the_one_release(scene: Scene, first: str) -> None:
    scene.approve(1)
    asked = [lambda: scene.start_release(1), lambda: ask(scene, 1, FIRST)]
    begun, late = [one() for one in (asked if first == "approval" else reversed(asked))]
    assert begun["release_id"] == late["suppressed"] == FIRST
    assert len(scene.workflows.executions) == 1


def test_a_pipeline_begins_no_second_attempt_and_a_person_does(scene: Scene) -> None:
    scene.approve(1)
    scene.start_release(1)
    scene.conclude(FIRST)
    assert scene.release(FIRST)["status"] == "failed"
    assert ask(scene, 1, FIRST)["reason"] == f"only {FIRST} was asked for"
    assert ask(scene, 1, None)["release_id"] == "00000001-2"
