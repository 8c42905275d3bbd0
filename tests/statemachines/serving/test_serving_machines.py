"""The machines of serving, branch by branch, with the real use cases on fakes."""

from __future__ import annotations

from typing import Any

import pytest

from steward.contracts.events import RollbackRequested
from support.machine_player import TaskError
from support.serving_machines import (
    MOST_LOOKS,
    RELEASE_VERSION,
    ROLL_BACK,
    STAGE_VERSION,
    release,
    roll_back,
    stage,
)
from support.serving_scene import ERRORS, Scene, failing

SECOND = "00000002-1"


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.fixture
def serving(scene: Scene) -> Scene:
    """Version 1 is in production."""
    scene.play(1)
    scene.state.events.clear()
    return scene


def raising(error: str, times: int = 99) -> Any:
    """A task that fails so often and then answers nothing."""
    left = [times]

    def task(_arguments: Any) -> Any:
        left[0] -= 1
        if left[0] >= 0:
            raise TaskError(error, "it broke")
        return {}

    return task


# stage_version


def test_a_version_is_staged_and_its_result_frozen(scene: Scene) -> None:
    played = stage(scene)
    assert played.status == "SUCCEEDED"
    assert played.output["status"] == "succeeded"
    assert played.path.count("DescribeEndpoint") == 2
    assert len(scene.told("VersionStaged")) == 1
    assert scene.endpoints.status("dev-diabetes-v1-staging") == "InService"


def test_a_version_that_fails_its_smoke_test_fails_the_machine(scene: Scene) -> None:
    played = stage(scene, reply=failing)
    assert (played.status, played.error) == ("FAILED", "StagingFailedError")
    assert scene.told("StagingFailed")[0].failed_state == "RunSmokeTest"
    assert scene.endpoints.endpoints == {}


def test_an_endpoint_that_fails_is_told_with_sagemakers_reason(scene: Scene) -> None:
    played = stage(scene, comes_up=["Creating", "Failed"])
    assert played.error == "EndpointFailedError"
    (told,) = scene.told("StagingFailed")
    assert told.failed_state == "DescribeEndpoint"
    assert "no image" in told.cause


def test_an_endpoint_that_never_comes_up_is_given_up(scene: Scene) -> None:
    before = scene.clock.now()
    played = stage(scene, comes_up=["Creating"], looks=5)
    assert played.error == "EndpointFailedError"
    assert played.path.count("DescribeEndpoint") == 5
    assert (scene.clock.now() - before).total_seconds() == 15


@pytest.mark.parametrize("definition", [STAGE_VERSION, RELEASE_VERSION])
def test_the_looks_at_an_endpoint_are_bounded(definition: Any) -> None:
    choices = definition["States"]["IsEndpointInService"]["Choices"]
    assert choices[-1]["Condition"] == f"{{% $looks >= {MOST_LOOKS} %}}"
    assert definition["TimeoutSeconds"] > MOST_LOOKS * 3


@pytest.mark.parametrize(
    "state", ["PlanStaging", "CreateModel", "CreateEndpointConfig", "CreateEndpoint",
              "DescribeEndpoint", "RunSmokeTest", "ConcludeStaging"],
)  # fmt: skip
def test_a_failing_state_of_staging_is_recorded_by_name(scene: Scene, state: str) -> None:
    played = stage(scene, **{state: raising("AccessDeniedError")})
    assert (played.status, played.error) == ("FAILED", "AccessDeniedError")
    assert scene.told("StagingFailed")[0].failed_state == state
    assert scene.staging_record()["status"] == "failed"


def test_a_recorder_that_fails_leaves_the_rest_to_the_status_event(scene: Scene) -> None:
    played = stage(
        scene, CreateModel=raising("AccessDeniedError"), RecordFailure=raising("DependencyError")
    )
    assert (played.status, played.error) == ("FAILED", "AccessDeniedError")
    assert scene.staging_record()["status"] == "running"


# release_version


def test_a_first_version_is_live_after_one_step(scene: Scene) -> None:
    played = release(scene, 1)
    assert played.output == {"status": "completed", "version": 1, "previous_version": None}
    assert scene.shares() == {1: 100}


def test_a_canary_goes_through_its_steps(serving: Scene) -> None:
    serving.count(100)
    before = serving.clock.now()
    played = release(serving, 2)
    assert played.output == {"status": "completed", "version": 2, "previous_version": 1}
    told = serving.told("TrafficShifted")
    assert [shift.shares["2"] for shift in told] == [10, 50, 100, 100]
    assert told[-1].step_id.endswith("-done")
    assert (
        serving.clock.now() - before
    ).total_seconds() == 906  # three bakes and two looks at the endpoint


def test_the_candidate_is_warm_before_it_gets_traffic(serving: Scene) -> None:
    serving.count(100)
    played = release(serving, 2)
    assert played.path.index("WarmEndpoint") < played.path.index("ShiftTraffic")
    assert {call.endpoint for call in serving.endpoints.calls} == {"dev-diabetes-v2-prod"}


def test_a_step_without_requests_is_prolonged_and_then_not_promoted(serving: Scene) -> None:
    serving.count(3)
    played = release(serving, 2)
    assert played.path.count("Bake") == 4
    assert played.path[-2:] == ["EndNotPromoted", "EndedNotPromoted"]
    assert played.output["status"] == "not_promoted"
    assert serving.shares() == {1: 100}
    (told,) = serving.told("ReleaseNotPromoted")
    assert (told.verdict, told.stable_version) == ("inconclusive", 1)
    assert "3 of the 10 requests needed" in told.reason
    assert serving.endpoints.deleted[-1] == "dev-diabetes-v2-prod"
    assert serving.lock() is None


def test_proven_harm_starts_the_rollback_and_ends_the_release(serving: Scene) -> None:
    def harm(bakes: int) -> None:
        serving.count(100, errors=30 if bakes == 2 else 0)

    played = release(serving, 2, baked=harm)
    assert played.path[-1] == "EndRolledBack"
    assert [told.shares["2"] for told in serving.told("TrafficShifted")] == [10, 50]
    (arn,) = [a for a in serving.workflows.executions if "rollback" in a]
    roll_back(serving, arn)
    (told,) = serving.told("ReleaseRolledBack")
    assert "errors is proved worse than the concurrent stable" in told.cause
    assert serving.endpoints.deleted[-1] == "dev-diabetes-v2-prod"


def test_an_alarm_during_a_bake_wins_and_the_release_ends_without_failing(serving: Scene) -> None:
    serving.count(100)

    def ring(_bakes: int) -> None:
        arn = serving.start_rollback(serving.alarm())["started"]
        assert roll_back(serving, arn).status == "SUCCEEDED"

    played = release(serving, 2, baked=ring)
    assert (played.status, played.path[-2:]) == ("SUCCEEDED", ["RecordEnd", "EndRolledBack"])
    assert serving.release(SECOND)["status"] == "rolled_back"
    assert serving.told("ReleaseFailed") == []
    assert len(serving.told("ReleaseRolledBack")) == 1


def test_an_alarm_at_the_moment_of_the_verdict_starts_one_rollback(serving: Scene) -> None:
    serving.count(100)

    def ring(_bakes: int) -> None:
        serving.alarms.by_name[ERRORS] = "ALARM"
        serving.start_rollback(serving.alarm())

    played = release(serving, 2, baked=ring)
    assert played.path[-2:] == ["StartRollback", "EndRolledBack"]
    assert len([a for a in serving.workflows.executions if "rollback" in a]) == 1


def test_a_first_version_that_proves_harmful_is_withdrawn(scene: Scene) -> None:
    scene.count(100, errors=60, role="stable")
    played = release(scene, 1)
    assert (played.status, played.error) == ("FAILED", "ReleaseWithdrawnError")
    assert scene.route() is None
    assert "60 of 100" in scene.told("ReleaseFailed")[0].cause


@pytest.mark.parametrize(
    "state", ["PlanRelease", "CreateModel", "CreateEndpointConfig", "CreateEndpoint",
              "DescribeEndpoint", "WarmEndpoint", "ShiftTraffic", "JudgeStep", "CompleteRelease"],
)  # fmt: skip
def test_a_failing_state_of_a_release_is_recorded_and_traffic_comes_back(
    serving: Scene, state: str
) -> None:
    serving.count(100)
    played = release(serving, 2, **{state: raising("AccessDeniedError")})
    assert (played.status, played.error) == ("FAILED", "AccessDeniedError")
    assert serving.told("ReleaseFailed")[0].failed_state == state
    assert serving.shares() == {1: 100}
    assert serving.lock() is None


def test_a_rollback_that_cannot_be_started_still_brings_the_traffic_back(serving: Scene) -> None:
    serving.count(100, errors=50)
    played = release(serving, 2, StartRollback=raising("StepFunctions.AccessDeniedException"))
    assert played.status == "FAILED"
    assert serving.shares() == {1: 100}


def test_a_route_that_somebody_took_ends_the_release_without_failing(serving: Scene) -> None:
    played = release(serving, 2, ShiftTraffic=raising("RouteConflictError"))
    assert (played.status, played.path[-1]) == ("SUCCEEDED", "EndRolledBack")
    assert serving.release(SECOND)["status"] == "rolled_back"


def test_throttling_is_outlasted(serving: Scene) -> None:
    serving.count(100)
    played = release(serving, 2, CreateModel=raising("SageMaker.ThrottlingException", times=2))
    assert played.output["status"] == "completed"
    assert len(played.arguments["CreateModel"]) == 3


# roll_back


def test_the_first_state_of_a_rollback_is_the_route_write() -> None:
    assert ROLL_BACK["StartAt"] == "RestoreRoute"


def test_the_candidate_is_removed_only_after_its_requests_have_drained(serving: Scene) -> None:
    serving.begin(2)
    arn = serving.start_rollback(serving.alarm())["started"]
    played = roll_back(serving, arn)
    assert played.path == [
        "RestoreRoute", "IsRouteFollowed", "ConcludeRollback", "DrainCandidate", "RemoveEndpoint",
        "EndRestored",
    ]  # fmt: skip
    assert serving.endpoints.deleted[-1] == "dev-diabetes-v2-prod"


def test_an_endpoint_that_cannot_be_removed_is_no_failed_rollback(serving: Scene) -> None:
    serving.begin(2)
    arn = serving.start_rollback(serving.alarm())["started"]
    assert roll_back(serving, arn, RemoveEndpoint=raising("AccessDeniedError")).path[-1] == (
        "EndRestored"
    )
    assert serving.told("RollbackFailed") == []


def test_a_route_that_cannot_be_restored_calls_for_somebody(serving: Scene) -> None:
    serving.begin(2)
    arn = serving.start_rollback(serving.alarm())["started"]
    played = roll_back(serving, arn, RestoreRoute=raising("AccessDeniedError"))
    assert (played.status, played.error) == ("FAILED", "AccessDeniedError")
    (told,) = serving.told("RollbackFailed")
    assert told.release_id == SECOND
    assert serving.lock() is not None


def test_a_person_takes_a_completed_release_back(serving: Scene) -> None:
    serving.play(2)
    request = serving.received(RollbackRequested(reason="complaints"))
    played = roll_back(serving, serving.start_rollback(request)["started"])
    assert played.output["stable_version"] == 1
    assert serving.endpoints.status("dev-diabetes-v2-prod") is None


@pytest.mark.parametrize("definition", [STAGE_VERSION, RELEASE_VERSION, ROLL_BACK])
def test_every_failure_reaches_the_recorder_of_its_machine(definition: Any) -> None:
    for name, state in definition["States"].items():
        if state["Type"] != "Task" or name.startswith("Record"):
            continue
        caught = state["Catch"][-1]
        assert caught["ErrorEquals"] == ["States.ALL"], name
        # An endpoint that is being updated is waited for, and whatever else is recorded then.
        others = {"RemoveEndpoint": "EndRestored", "UpdateEndpoint": "IsEndpointBusy"}
        assert caught["Next"] == others.get(name, "RecordFailure")
