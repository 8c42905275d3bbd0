"""Ticks of an experiment: one at a time, whatever crashes, races, jumps or is deleted."""

from __future__ import annotations

import pytest

from steward.contracts.events import ReleaseCompleted
from steward.domain.errors import (
    AccessDeniedError,
    ConflictError,
    DependencyError,
    EvidenceIncompleteError,
    ReleaseEndedError,
    ThrottledError,
)
from steward.domain.experiments.ticks import (
    LEASE_S,
    LeaveTick,
    StartAgain,
    TakeTick,
    Tick,
    next_tick,
    tick_of_execution,
)
from steward.domain.releases import release_of_execution
from steward.ports import Table
from steward.service.serving.ticking import MOST_FAILED_TICKS, tick_that_ended
from support.builders import event_of
from support.serving_scene import PROJECT, container
from support.ticking_scene import SCHEDULE, SECOND, TICK, Experiment


@pytest.fixture
def scene() -> Experiment:
    """Version 1 serves; version 2 is under test."""
    scene = Experiment()
    scene.play(1)
    scene.under_test()
    scene.state.events.clear()
    return scene


def execution(number: int) -> str:
    return TICK.replace(":stateMachine:", ":execution:") + f":{SCHEDULE}-tick-{number}"


# What a firing leads to


@pytest.mark.parametrize(
    ("head", "status", "expected"),
    [
        ({"tick": 0}, None, TakeTick(1)),
        ({"tick": 4}, "SUCCEEDED", TakeTick(5)),
        ({"tick": 4, "tick_lease_until": 1100}, "RUNNING", LeaveTick("tick 4 is running")),
        ({"tick": 4, "tick_lease_until": 900}, "RUNNING", LeaveTick("tick 4 is running")),
        ({"tick": 4, "tick_lease_until": 1100}, "ABORTED", TakeTick(5)),
        ({"tick": 4, "tick_lease_until": 900}, "TIMED_OUT", TakeTick(5)),
        ({"tick": 4, "tick_lease_until": 1100}, None, StartAgain(4)),
        ({"tick": 4, "tick_lease_until": 1000}, None, StartAgain(4)),
        ({"tick": 4, "tick_lease_until": 999}, None, TakeTick(5)),
    ],
)
def test_a_firing_takes_a_tick_unless_one_is_played(
    head: dict[str, int], status: str | None, expected: object
) -> None:
    assert next_tick(head, 1000.0, status) == expected


def test_an_execution_names_its_tick_and_no_release_machine_takes_it_for_its_own() -> None:
    tick = Tick("ward-7", "00000002-1", 12)
    assert tick_of_execution(tick.execution_name) == tick
    assert release_of_execution(tick.execution_name) is None
    assert tick_of_execution("ward-7-00000002-1") is None
    assert tick_of_execution("ward-7-00000002-1-rollback-1") is None
    longest = Tick("a" * 20, f"{99_999_999}-99", 1_000_000)
    assert len(longest.execution_name) <= 80


# Handing over to the scheduler


def test_a_release_is_handed_to_the_scheduler_with_its_interval_and_keeps_its_lock() -> None:
    scene = Experiment()
    scene.play(1)
    scene.begin(2)
    scheduled = scene.schedule()
    assert (scheduled.schedule, scheduled.tick_s) == (SCHEDULE, 3600)
    assert scene.schedules.by_name[SCHEDULE].every_s == 3600
    assert scene.schedules.by_name[SCHEDULE].payload["detail"] == {
        "project": PROJECT, "release_id": SECOND,
    }  # fmt: skip
    assert scene.head(SECOND)["schedule"] == SCHEDULE
    assert scene.release(SECOND)["schedule"] == SCHEDULE
    assert scene.lock() is not None


def test_a_repeated_call_makes_a_missing_schedule_and_changes_nothing_else(
    scene: Experiment,
) -> None:
    scene.fire()
    scene.schedules.by_name.clear()
    scene.schedule()
    assert scene.head(SECOND)["tick"] == 1
    assert list(scene.schedules.by_name) == [SCHEDULE]


@pytest.mark.parametrize("error", [ThrottledError("slow down"), AccessDeniedError("no PassRole")])
def test_a_scheduler_that_refuses_fails_the_task_and_the_next_attempt_goes_on(
    error: Exception,
) -> None:
    scene = Experiment()
    scene.play(1)
    scene.begin(2)
    scene.schedules.fails.append(error)
    with pytest.raises(type(error)):
        scene.schedule()
    scene.schedule()
    assert list(scene.schedules.by_name) == [SCHEDULE]


def test_a_release_that_was_ended_is_not_scheduled() -> None:
    scene = Experiment()
    scene.play(1)
    scene.begin(2)
    scene.conclude(SECOND)
    with pytest.raises(ReleaseEndedError):
        scene.schedule()
    assert scene.schedules.by_name == {}


def test_a_release_that_ends_while_it_is_scheduled_gets_no_schedule() -> None:
    scene = Experiment()
    scene.play(1)
    scene.begin(2)

    def concluded() -> None:
        scene.conclude(SECOND)

    scene.state.before_commit.append(concluded)
    with pytest.raises(ReleaseEndedError):
        scene.schedule()
    assert scene.schedules.by_name == {}


def test_a_first_version_has_nothing_to_be_compared_with() -> None:
    scene = Experiment()
    scene.begin(1)
    with pytest.raises(EvidenceIncompleteError, match="no stable version"):
        scene.schedule("00000001-1")


# Ticking


def test_a_tick_starts_its_execution_by_name_with_where_the_release_is(scene: Experiment) -> None:
    assert scene.played() == {
        "project": PROJECT, "version": 2, "release_id": SECOND, "tick": 1,
        "correlation_id": scene.release(SECOND)["correlation_id"],
    }  # fmt: skip
    assert scene.head(SECOND)["tick_execution"] == execution(1)
    assert scene.head(SECOND)["tick_lease_until"] == scene.clock.now().timestamp() + LEASE_S


def test_ticks_follow_each_other_once_concluded(scene: Experiment) -> None:
    for number in (1, 2, 3):
        assert scene.played()["tick"] == number
        scene.workflows.end(execution(number))
        assert scene.conclude_tick(number).concluded
    assert scene.head(SECOND)["tick"] == 3
    assert "tick_lease_until" not in scene.head(SECOND)


def test_of_two_firings_at_once_one_wins(scene: Experiment) -> None:
    answers = []
    scene.state.before_commit.append(lambda: answers.append(scene.fire()))
    answers.append(scene.fire())
    assert [next(iter(answer)) for answer in answers] == ["started", "left"]
    assert [arn for arn in scene.workflows.executions if "tick" in arn] == [execution(1)]


def test_a_firing_that_is_delivered_twice_counts_once(scene: Experiment) -> None:
    at = "2026-01-05T10:00:00Z"
    scene.fire(time=at)
    scene.workflows.end(execution(1))
    scene.conclude_tick(1)
    assert scene.fire(time=at) == {"left": f"the firing of {at} was taken"}
    assert scene.head(SECOND)["tick"] == 1
    assert "started" in scene.fire(time="2026-01-05T11:00:00Z")


def test_a_delivery_that_is_tried_again_after_a_crash_starts_its_tick(scene: Experiment) -> None:
    at = "2026-01-05T10:00:00Z"
    scene.workflows.fails = ThrottledError("too many")
    with pytest.raises(ThrottledError):
        scene.fire(time=at)
    assert scene.fire(time=at)["started"] == execution(1)


def test_each_tick_prolongs_the_lock_of_the_release(scene: Experiment) -> None:
    scene.clock.advance(7 * 86_400)
    scene.fire()
    lock, lease_s = scene.lock(), scene.release(SECOND)["lease_s"]
    assert lock is not None
    assert lock["owner"] == SECOND
    assert lock["lease_expires_at"] == scene.clock.now().timestamp() + lease_s


def test_a_release_without_its_lock_is_not_ticked(scene: Experiment) -> None:
    lock = scene.lock()
    assert lock is not None
    scene.state.put(Table.LOCKS, {**lock, "owner": "00000003-1"})
    assert "left" in scene.fire()
    assert scene.head(SECOND)["tick"] == 0


def test_a_tick_that_runs_is_waited_for(scene: Experiment) -> None:
    scene.fire()
    scene.clock.advance(3600)
    assert scene.fire() == {"left": "tick 1 is running"}
    assert scene.head(SECOND)["tick"] == 1


@pytest.mark.parametrize("seconds", [10 * 86_400, -10 * 86_400])
def test_a_clock_that_jumps_starts_no_second_tick_and_stops_none(
    scene: Experiment, seconds: int
) -> None:
    scene.fire()
    scene.clock.advance(seconds)
    assert scene.fire() == {"left": "tick 1 is running"}
    scene.workflows.end(execution(1), "FAILED")
    assert scene.played()["tick"] == 2
    scene.clock.advance(-2 * seconds)
    scene.conclude_tick(2)
    scene.workflows.end(execution(2))
    assert scene.played()["tick"] == 3


def test_a_crash_before_the_start_is_healed_by_the_next_firing(scene: Experiment) -> None:
    scene.workflows.fails = ThrottledError("too many")
    with pytest.raises(ThrottledError):
        scene.fire()
    assert scene.head(SECOND)["tick"] == 1
    assert scene.played()["tick"] == 1
    assert [arn for arn in scene.workflows.executions if "tick" in arn] == [execution(1)]


def test_a_crashed_tick_whose_end_nobody_told_is_followed_by_the_next(scene: Experiment) -> None:
    scene.fire()
    scene.workflows.end(execution(1), "ABORTED")
    assert scene.played()["tick"] == 2
    assert not scene.conclude_tick(1).concluded
    assert scene.head(SECOND)["tick_lease_until"]


def test_a_lease_without_execution_runs_out(scene: Experiment) -> None:
    scene.workflows.fails = DependencyError("down")
    with pytest.raises(DependencyError):
        scene.fire()
    scene.clock.advance(LEASE_S + 1)
    assert scene.played()["tick"] == 2


def test_a_status_that_cannot_be_read_is_no_leave_to_go_on(
    scene: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.fire()

    def denied(_arn: str) -> str:
        raise AccessDeniedError("no DescribeExecution")

    monkeypatch.setattr(scene.workflows, "status", denied)
    with pytest.raises(AccessDeniedError):
        scene.fire()
    assert scene.head(SECOND)["tick"] == 1


# Failing


def test_a_failed_tick_is_told_and_the_next_one_goes_on(scene: Experiment) -> None:
    scene.fire()
    concluded = scene.conclude_tick(1, failed=True)
    scene.workflows.end(execution(1), "FAILED")
    assert (concluded.status, concluded.failed_in_a_row) == ("running", 1)
    [told] = scene.told("TickFailed")
    assert (told.tick, told.in_a_row, told.failed_state) == (1, 1, "JudgeStep")
    assert scene.played()["tick"] == 2


def test_a_tick_is_concluded_once(scene: Experiment) -> None:
    scene.fire()
    scene.conclude_tick(1, failed=True)
    assert not scene.conclude_tick(1, failed=True).concluded
    assert len(scene.told("TickFailed")) == 1


def test_a_tick_that_was_cut_off_is_concluded_from_its_status_event(scene: Experiment) -> None:
    scene.fire()
    command = tick_that_ended(scene.ended(execution(1)), state=scene.state)
    assert command is not None
    assert scene.conclude_tick_as(command).concluded
    assert scene.told("TickFailed")[0].error == "States.TimedOut"


@pytest.mark.parametrize("name", [f"{SCHEDULE}-tick-9", f"{SCHEDULE}", "by-hand"])
def test_the_end_of_another_execution_concludes_nothing(scene: Experiment, name: str) -> None:
    scene.fire()
    arn = TICK.replace(":stateMachine:", ":execution:") + f":{name}"
    assert tick_that_ended(scene.ended(arn), state=scene.state) is None


def test_a_success_starts_the_count_of_failures_anew(scene: Experiment) -> None:
    for number, failed in ((1, True), (2, False), (3, True)):
        scene.fire()
        scene.workflows.end(execution(number))
        row = scene.conclude_tick(number, failed=failed).failed_in_a_row
        assert row == int(failed)


def test_after_so_many_failed_ticks_the_release_ends_and_traffic_is_back(
    scene: Experiment,
) -> None:
    scene.approve(3)
    scene.start_release(3)
    for number in range(1, MOST_FAILED_TICKS + 1):
        scene.fire()
        scene.workflows.end(execution(number), "FAILED")
        concluded = scene.conclude_tick(number, failed=True)
        assert concluded.status == ("failed" if number == MOST_FAILED_TICKS else "running")
    assert scene.shares() == {1: 100}
    [told] = scene.told("ReleaseFailed")
    assert "6 ticks failed in a row" in told.cause
    assert scene.release("00000003-1")["status"] == "running"
    assert scene.told_end("ReleaseFailed") == {"ended": SCHEDULE}
    assert scene.schedules.by_name == {}


# Ends


def test_a_release_that_ended_meanwhile_ends_its_schedule_at_the_next_firing(
    scene: Experiment,
) -> None:
    scene.conclude(SECOND)
    assert scene.fire() == {"ended": SECOND}
    assert scene.schedules.by_name == {}
    assert scene.head(SECOND)["status"] == "ended"
    [told] = scene.told("ExperimentEnded")
    assert told.outcome == "failed"


def test_a_firing_without_a_record_removes_its_schedule(scene: Experiment) -> None:
    scene.schedules.create(f"{PROJECT}-00000009-1", every_s=60, payload={})
    assert scene.fire("00000009-1") == {"ended": "00000009-1"}
    assert list(scene.schedules.by_name) == [SCHEDULE]


def test_during_a_rollback_no_tick_is_played(scene: Experiment) -> None:
    scene.restore(scene.rollback_command(scene.start_rollback(scene.alarm())))
    assert "rolled back" in scene.fire()["left"]
    assert list(scene.schedules.by_name) == [SCHEDULE]


def test_a_rollback_ends_the_schedule(scene: Experiment) -> None:
    started = scene.start_rollback(scene.alarm())
    command = scene.rollback_command(started)
    scene.conclude_rollback(command, started["started"], scene.restore(command))
    assert scene.told_end("ReleaseRolledBack") == {"ended": SCHEDULE}
    assert scene.schedules.by_name == {}
    assert scene.told("ExperimentEnded")[0].outcome == "rolled_back"


def test_a_completed_release_ends_the_schedule(scene: Experiment) -> None:
    scene.complete(SECOND)
    scene.told_end("ReleaseCompleted")
    assert scene.schedules.by_name == {}
    assert scene.head(SECOND)["outcome"] == "completed"


def test_an_end_without_promotion_ends_the_schedule(scene: Experiment) -> None:
    scene.not_promoted(SECOND)
    scene.told_end("ReleaseNotPromoted")
    assert scene.schedules.by_name == {}
    assert scene.shares() == {1: 100}


def test_an_end_that_is_told_twice_does_no_harm(scene: Experiment) -> None:
    scene.complete(SECOND)
    assert scene.told_end("ReleaseCompleted") == scene.told_end("ReleaseCompleted")
    assert len(scene.told("ExperimentEnded")) == 1


def test_a_schedule_that_could_not_be_deleted_is_deleted_by_the_next_firing(
    scene: Experiment,
) -> None:
    scene.complete(SECOND)
    scene.schedules.fails.append(ThrottledError("slow down"))
    with pytest.raises(ThrottledError):
        scene.told_end("ReleaseCompleted")
    assert list(scene.schedules.by_name) == [SCHEDULE]
    assert scene.fire() == {"ended": SECOND}
    assert scene.schedules.by_name == {}


def test_an_end_that_is_not_on_record_is_tried_again(scene: Experiment) -> None:
    early = event_of(ReleaseCompleted(release_id=SECOND, version=2), project=PROJECT)
    scene.state.events.append(early)
    with pytest.raises(ConflictError, match="is running"):
        scene.told_end("ReleaseCompleted")
    assert list(scene.schedules.by_name) == [SCHEDULE]


def test_a_plain_ramp_has_no_schedule_to_end() -> None:
    scene = Experiment()
    scene.declare(strategy="canary")
    scene.play(1)
    scene.play(2)
    assert scene.told_end("ReleaseCompleted") == {"ended": None}


# Once more


def test_a_version_that_was_not_promoted_is_released_again_by_request_alone(
    scene: Experiment,
) -> None:
    scene.not_promoted(SECOND)
    scene.workflows.end(scene.release(SECOND)["execution_arn"])
    assert "suppressed" in scene.start_release(2)
    assert scene.request()["release_id"] == "00000002-2"


def test_a_repeated_end_leaves_the_endpoint_of_the_release_that_was_asked_for(
    scene: Experiment,
) -> None:
    scene.not_promoted(SECOND)
    scene.workflows.end(scene.release(SECOND)["execution_arn"])
    again = str(scene.request()["release_id"])
    scene.endpoints.add(scene.plan(again).endpoint.endpoint, container(scene.project))
    scene.not_promoted(SECOND)
    assert scene.endpoints.status("dev-diabetes-v2-prod") == "InService"


def test_the_same_request_begins_one_release(scene: Experiment) -> None:
    scene.not_promoted(SECOND)
    assert scene.request(event_id="asked")["release_id"] == "00000002-2"
    scene.conclude("00000002-2")
    assert scene.request(event_id="asked")["suppressed"] == "00000002-2"
    assert scene.request(event_id="asked again")["release_id"] == "00000002-3"


def test_what_runs_is_not_begun_again_by_request(scene: Experiment) -> None:
    assert "suppressed" in scene.request()


# Schedules that somebody touched


def test_a_schedule_that_somebody_deleted_is_made_anew_and_told(scene: Experiment) -> None:
    scene.fire()
    scene.schedules.delete(SCHEDULE)
    assert scene.sweep() == {"repaired": [SCHEDULE]}
    assert scene.schedules.by_name[SCHEDULE].every_s == 3600
    [told] = scene.told("ScheduleRepaired")
    assert (told.schedule, told.ticks) == (SCHEDULE, 1)
    assert scene.sweep() == {"repaired": []}


def test_a_schedule_that_somebody_disabled_is_left_paused(scene: Experiment) -> None:
    scene.schedules.by_name[SCHEDULE].enabled = False
    assert scene.sweep() == {"repaired": []}
    assert scene.schedules.by_name[SCHEDULE].enabled is False


def test_the_sweep_leaves_ended_experiments_and_plain_releases_alone(scene: Experiment) -> None:
    scene.not_promoted(SECOND)
    scene.told_end("ReleaseNotPromoted")
    scene.declare(strategy="canary", metrics=[])
    scene.begin(3)
    assert scene.sweep() == {"repaired": []}
    assert scene.schedules.by_name == {}


def test_the_lock_of_training_is_no_release(scene: Experiment) -> None:
    scene.state.put(Table.LOCKS, {"lock": f"{PROJECT}/training", "owner": "r1"})
    assert scene.sweep() == {"repaired": []}
