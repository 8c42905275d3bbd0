"""The ticks of an experiment, branch by branch, with the real use cases on fakes."""

from __future__ import annotations

from typing import Any

import pytest

from steward.contracts.steps.serving import JudgeStep, ScheduleTicks, StepVerdict
from steward.domain.experiments.ticks import LEASE_S
from support.machine_player import Played, TaskError
from support.serving_machines import TICK_EXPERIMENT, release, roll_back, step, tick
from support.serving_scene import ERRORS
from support.ticking_scene import GOAL, SCHEDULE, SECOND, Experiment

SHADOW = {"duration_s": 3600}


@pytest.fixture
def scene() -> Experiment:
    """Version 1 serves; version 2 is under test, after shadow traffic that it is at now."""
    scene = Experiment()
    scene.declare(strategy="ab_test", metrics=[GOAL], shadow_first=True, shadow=SHADOW, cohort_s=60)
    scene.play(1)
    scene.under_test()
    scene.state.events.clear()
    return scene


def raising(error: str) -> Any:
    def task(_arguments: Any) -> Any:
        raise TaskError(error, "it broke")

    return task


def judging(scene: Experiment, **verdict: Any) -> Any:
    """A judge that says this, whatever the real one would."""

    def judge(command: JudgeStep) -> StepVerdict:
        return scene.judge(command.release_id).model_copy(update=verdict)

    return step(JudgeStep, judge)


def test_an_experiment_is_handed_to_the_scheduler_and_keeps_its_lock() -> None:
    scene = Experiment()
    scene.play(1)
    played = release(
        scene, 2, ScheduleTicks=step(ScheduleTicks, lambda c: scene.schedule(c.release_id))
    )
    assert played.output == {"status": "scheduled", "release_id": SECOND}
    assert played.path[-5:] == [
        "ShiftTraffic", "IsRouteFollowed", "IsJudgedOverTime", "ScheduleTicks", "EndScheduled"
    ]  # fmt: skip
    assert "Bake" not in played.path
    assert scene.release(SECOND)["status"] == "running"
    lock = scene.lock()
    assert lock is not None
    assert lock["owner"] == SECOND
    assert list(scene.schedules.by_name) == [SCHEDULE]


def test_an_experiment_that_cannot_be_scheduled_fails_and_gives_its_traffic_back() -> None:
    scene = Experiment()
    scene.play(1)
    played = release(scene, 2, ScheduleTicks=raising("AccessDeniedError"))
    assert (played.status, played.error) == ("FAILED", "AccessDeniedError")
    assert scene.told("ReleaseFailed")[0].failed_state == "ScheduleTicks"
    assert scene.shares() == {1: 100}


def ended(played: Played, number: int, what: str) -> bool:
    return bool(played.output == {"tick": number, "next": what})


def test_a_tick_that_decides_nothing_frees_its_lease_and_keeps_its_verdict(
    scene: Experiment,
) -> None:
    played = tick(scene)
    assert ended(played, 1, "wait")
    assert played.path[:3] == ["NoteTick", "FreezeCohorts", "JudgeStep"]
    assert "tick_lease_until" not in scene.head(SECOND)
    assert ended(tick(scene), 2, "wait")
    assert scene.head(SECOND)["verdicts"] == 2
    assert [told.number for told in scene.told("VerdictReached")] == [1, 2]
    assert scene.told("TrafficShifted") == []


def test_a_tick_takes_the_next_step_and_the_one_after_judges_it(scene: Experiment) -> None:
    assert ended(tick(scene, JudgeStep=judging(scene, next="shift", step_index=1)), 1, "shift")
    assert scene.shares() == {2: 50, 1: 50}
    route = scene.route()
    assert route is not None
    assert route.mirror is None
    assert (scene.head(SECOND)["step_index"], scene.head(SECOND)["step_tick"]) == (1, 1)
    tick(scene)
    assert scene.told("VerdictReached")[-1].phase == "ab_test"


def test_a_crash_after_the_shift_judges_nothing_twice(scene: Experiment) -> None:
    """The step is in the route and the record, so the next tick goes on from there."""
    played = tick(
        scene, JudgeStep=judging(scene, next="shift", step_index=1),
        ConcludeTick=raising("Lambda.Unknown"), RecordFailure=raising("Lambda.Unknown"),
    )  # fmt: skip
    assert played.status == "FAILED"
    assert scene.head(SECOND)["tick_lease_until"]
    assert ended(tick(scene), 2, "wait")
    assert [told.step_id for told in scene.told("VerdictReached")] == ["shadow-100", "ab-test-50"]
    assert [told.number for told in scene.told("VerdictReached")] == [1, 2]


def test_a_crash_between_judgement_and_shift_judges_the_step_once_more(
    scene: Experiment,
) -> None:
    judged = judging(scene, next="shift", step_index=1)
    assert tick(scene, JudgeStep=judged, ShiftTraffic=raising("Lambda.Unknown")).status == "FAILED"
    assert ended(tick(scene, JudgeStep=judged), 2, "shift")
    assert scene.shares() == {2: 50, 1: 50}
    assert len(scene.told("TrafficShifted")) == 1


def test_a_promotion_completes_the_release(scene: Experiment) -> None:
    tick(scene, JudgeStep=judging(scene, next="shift", step_index=1))
    assert ended(tick(scene, JudgeStep=judging(scene, next="complete")), 2, "complete")
    assert scene.shares() == {2: 100}
    scene.told_end("ReleaseCompleted")
    assert scene.schedules.by_name == {}


def test_an_end_without_promotion_keeps_the_stable_version(scene: Experiment) -> None:
    assert ended(tick(scene, JudgeStep=judging(scene, next="end", reason="futile")), 1, "end")
    assert scene.shares() == {1: 100}
    assert scene.release(SECOND)["status"] == "not_promoted"
    scene.told_end("ReleaseNotPromoted")
    assert scene.schedules.by_name == {}


def test_proven_harm_starts_the_rollback(scene: Experiment) -> None:
    scene.alarms.by_name[ERRORS] = "ALARM"
    played = tick(scene)
    assert ended(played, 1, "roll_back")
    [arn] = [a for a in scene.workflows.executions if "rollback" in a]
    assert roll_back(scene, arn).status == "SUCCEEDED"
    scene.told_end("ReleaseRolledBack")
    assert scene.schedules.by_name == {}
    assert scene.shares() == {1: 100}


def test_a_rollback_that_an_alarm_started_at_the_same_moment_is_started_once(
    scene: Experiment,
) -> None:
    scene.alarms.by_name[ERRORS] = "ALARM"

    def judge(command: JudgeStep) -> StepVerdict:
        told = scene.judge(command.release_id)
        scene.start_rollback(scene.alarm())
        return told

    assert ended(tick(scene, JudgeStep=step(JudgeStep, judge)), 1, "roll_back")
    assert len([a for a in scene.workflows.executions if "rollback" in a]) == 1


def test_a_rollback_during_the_tick_wins_and_the_tick_does_not_fail(scene: Experiment) -> None:
    def judge(command: JudgeStep) -> StepVerdict:
        told = scene.judge(command.release_id)
        roll_back(scene, scene.start_rollback(scene.alarm())["started"])
        return told.model_copy(update={"next": "shift", "step_index": 1})

    played = tick(scene, JudgeStep=step(JudgeStep, judge))
    assert played.path[-4:] == ["ShiftTraffic", "RecordEnd", "ConcludeTick", "EndTick"]
    assert scene.release(SECOND)["status"] == "rolled_back"
    assert scene.told("TickFailed") == []
    assert len(scene.told("ReleaseRolledBack")) == 1


def test_a_withdrawn_version_ends_as_failed(scene: Experiment) -> None:
    assert tick(scene, JudgeStep=judging(scene, next="withdraw")).status == "SUCCEEDED"
    assert scene.release(SECOND)["status"] == "failed"


@pytest.mark.parametrize(
    ("state", "verdict"),
    [
        ("FreezeCohorts", "wait"), ("JudgeStep", "wait"), ("ShiftTraffic", "shift"),
        ("CompleteRelease", "complete"),
        ("EndNotPromoted", "end"), ("StartRollback", "roll_back"), ("ConcludeTick", "wait"),
        ("RecordEnd", "withdraw"),
    ],
)  # fmt: skip
def test_a_failing_state_is_recorded_by_name_and_the_next_tick_goes_on(
    scene: Experiment, state: str, verdict: str
) -> None:
    tasks = {"JudgeStep": judging(scene, next=verdict), state: raising("AccessDeniedError")}
    played = tick(scene, **tasks)
    assert (played.status, played.error) == ("FAILED", "AccessDeniedError")
    [told] = scene.told("TickFailed")
    assert (told.failed_state, told.error) == (state, "AccessDeniedError")
    assert scene.release(SECOND)["status"] == "running"
    assert scene.played()["tick"] == 2


def test_the_lease_outlasts_the_longest_tick() -> None:
    assert TICK_EXPERIMENT["TimeoutSeconds"] < LEASE_S
