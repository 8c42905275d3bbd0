"""The machines of serving on production variants, with the real use cases on fakes."""

from __future__ import annotations

from typing import Any

import pytest

from steward.contracts.events import RollbackRequested
from steward.domain.errors import DependencyError, ReleaseNotAllowedError
from steward.domain.releases import applied_field
from steward.ports import Put, Table
from steward.service.serving.applying import sweep
from steward.service.serving.release_end import retire_previous
from support.fake_sagemaker import refusal
from support.machine_player import TaskError
from support.serving_machines import release, roll_back
from support.serving_scene import ERRORS, PROJECT, Scene
from support.variant_scene import ENDPOINT, VariantScene

SECOND = "00000002-1"


@pytest.fixture
def scene() -> VariantScene:
    return VariantScene()


@pytest.fixture
def serving(scene: VariantScene) -> VariantScene:
    """Version 1 is in production."""
    scene.count(100, role="stable")
    release(scene, 1, **scene.tasks())
    scene.state.events.clear()
    scene.sagemaker.calls.clear()
    return scene


def test_a_first_version_makes_the_endpoint_and_answers_alone(scene: VariantScene) -> None:
    scene.count(100, role="stable")
    played = release(scene, 1, **scene.tasks())
    assert played.output == {"status": "completed", "version": 1, "previous_version": None}
    assert scene.weights() == {"v1": 100}
    route = scene.route()
    assert route is not None
    assert (route.router, route.stable.endpoint) == ("endpoint_variants", ENDPOINT)
    config = scene.sagemaker.configs[f"{ENDPOINT}-1-1"]
    assert config["DataCaptureConfig"]["DestinationS3Uri"] == "s3://capture/captured"
    assert "WarmEndpoint" not in played.path


def test_a_canary_moves_weights_and_bakes_once_they_are_true(serving: VariantScene) -> None:
    serving.count(100)
    serving.sagemaker.looks = 2
    seen: list[dict[str, float]] = []
    played = release(
        serving, 2, baked=lambda _bakes: seen.append(serving.weights()), **serving.tasks()
    )
    assert played.output == {"status": "completed", "version": 2, "previous_version": 1}
    assert seen == [{"v1": 90, "v2": 10}, {"v1": 50, "v2": 50}, {"v1": 0, "v2": 100}]
    config = serving.sagemaker.configs[f"{ENDPOINT}-2-1"]
    joined = {v["VariantName"]: v["InitialVariantWeight"] for v in config["ProductionVariants"]}
    assert joined == {"v1": 100, "v2": 0}, "joining changes no share"
    for shift in serving.release(SECOND)["shifts"][:-1]:
        assert serving.release(SECOND)[applied_field(shift["route_version"])] > shift["at"]
    serving.settle()
    assert serving.weights() == {"v1": 0, "v2": 100}


def test_alarms_look_at_the_candidate(serving: VariantScene) -> None:
    serving.count(100)
    release(serving, 2, **serving.tasks())
    alarm = serving.alarms.looking[ERRORS]
    assert {d["Name"]: d["Value"] for d in alarm["Dimensions"]} == {
        "EndpointName": ENDPOINT, "VariantName": "v2",
    }  # fmt: skip
    assert alarm["Period"] >= 60


def test_an_update_that_fails_rejects_the_release_and_changes_no_traffic(
    serving: VariantScene,
) -> None:
    serving.sagemaker.fault = "InsufficientInstanceCapacity: no ml.m5.large now"
    played = release(serving, 2, **serving.tasks())
    assert (played.status, played.error) == ("FAILED", "EndpointFailedError")
    (told,) = serving.told("ReleaseFailed")
    assert told.failed_state == "DescribeEndpoint"
    assert "no ml.m5.large now" in told.cause
    assert serving.shares() == {1: 100}
    assert serving.weights() == {"v1": 100}
    serving.settle()
    assert serving.sagemaker.models == {"dev-diabetes-v1-prod-1"}
    assert set(serving.sagemaker.configs) == {f"{ENDPOINT}-1-1"}


def test_a_quota_rejects_the_release_with_sagemakers_words(serving: VariantScene) -> None:
    def limited(_arguments: Any) -> Any:
        raise TaskError("SageMaker.ResourceLimitExceededException", "ml.m5.large usage is 1")

    played = release(serving, 2, **(serving.tasks() | {"UpdateEndpoint": limited}))
    assert played.error == "SageMaker.ResourceLimitExceededException"
    assert "usage is 1" in serving.told("ReleaseFailed")[0].cause
    assert serving.shares() == {1: 100}


def test_an_update_in_progress_is_waited_for(serving: VariantScene) -> None:
    serving.count(100)
    busy = refusal("UpdateEndpoint", "ValidationException", "Cannot update in-progress endpoint")
    serving.sagemaker.refuses["update_endpoint"] = busy
    played = release(serving, 2, **serving.tasks())
    assert played.status == "SUCCEEDED"
    assert played.path.count("WaitForUpdate") == 1


def test_a_refused_update_is_told_at_once(serving: VariantScene) -> None:
    denied = refusal("UpdateEndpoint", "AccessDeniedException", "not authorized")
    serving.sagemaker.refuses["update_endpoint"] = denied
    played = release(serving, 2, **serving.tasks())
    assert (played.status, played.error) == ("FAILED", "SageMaker.SageMakerException")
    assert "WaitForUpdate" not in played.path


def test_weights_that_do_not_follow_are_given_up_and_traffic_goes_back(
    serving: VariantScene,
) -> None:
    def never(_arguments: Any) -> Any:
        return {"applied": False, "route_version": 2, "detail": "weights are being set"}

    played = release(serving, 2, **(serving.tasks() | {"ApplyRoute": never}))
    assert (played.status, played.error) == ("FAILED", "EndpointFailedError")
    assert played.path.count("ApplyRoute") == 300
    assert serving.shares() == {1: 100}


def test_an_alarm_brings_all_weights_back(serving: VariantScene) -> None:
    serving.count(100)

    def ring(_bakes: int) -> None:
        arn = serving.start_rollback(serving.alarm())["started"]
        played = roll_back(serving, arn, **serving.tasks())
        assert played.path[:3] == ["RestoreRoute", "IsRouteFollowed", "ApplyRoute"]
        assert serving.weights() == {"v1": 100, "v2": 0}

    played = release(serving, 2, baked=ring, **serving.tasks())
    assert played.path[-1] == "EndRolledBack"
    assert serving.release(SECOND)["status"] == "rolled_back"
    serving.settle()
    assert serving.weights() == {"v1": 100}
    assert serving.sagemaker.models == {"dev-diabetes-v1-prod-1"}


def test_the_first_state_of_a_rollback_asks_for_the_weights(serving: VariantScene) -> None:
    serving.count(100)

    def ring(_bakes: int) -> None:
        serving.sagemaker.calls.clear()
        arn = serving.start_rollback(serving.alarm())["started"]
        stuck = {"ApplyRoute": lambda _a: {"applied": True, "route_version": 3, "detail": ""}}
        roll_back(serving, arn, **stuck)
        assert serving.sagemaker.calls == ["update_endpoint_weights_and_capacities"]

    release(serving, 2, baked=ring, **serving.tasks())


def test_a_rollback_whose_weights_cannot_be_set_is_told_and_may_be_tried_again(
    serving: VariantScene,
) -> None:
    serving.count(100)

    def broken(_arguments: Any) -> Any:
        raise TaskError("EndpointFailedError", "the endpoint is Failed")

    def ring(_bakes: int) -> None:
        arn = serving.start_rollback(serving.alarm())["started"]
        played = roll_back(serving, arn, **{"ApplyRoute": broken})
        assert (played.status, played.error) == ("FAILED", "EndpointFailedError")
        assert len(serving.told("RollbackFailed")) == 1
        assert serving.release(SECOND)["status"] == "running"
        again = serving.start_rollback(serving.alarm())["started"]
        assert again.endswith("rollback-2")
        assert roll_back(serving, again, **serving.tasks()).status == "SUCCEEDED"

    release(serving, 2, baked=ring, **serving.tasks())
    assert serving.release(SECOND)["status"] == "rolled_back"
    assert serving.weights() == {"v1": 100, "v2": 0}


def test_a_completed_release_is_taken_back_to_the_warm_version(serving: VariantScene) -> None:
    serving.count(100)
    release(serving, 2, **serving.tasks())
    serving.settle()
    serving.sagemaker.calls.clear()
    asked = serving.received(RollbackRequested(reason="complaints"))
    roll_back(serving, serving.start_rollback(asked)["started"], **serving.tasks())
    assert serving.weights() == {"v1": 100, "v2": 0}
    assert serving.sagemaker.calls == ["update_endpoint_weights_and_capacities"]


def test_after_its_retention_the_version_before_leaves_the_endpoint_and_not_before(
    serving: VariantScene,
) -> None:
    serving.count(100)
    release(serving, 2, **serving.tasks())
    serving.settle()
    assert serving.sagemaker.variants(ENDPOINT) == ["v1", "v2"]
    serving.clock.advance(serving.project.release.previous_retention_s + 1)
    retire_previous(state=serving.state, endpoints=serving.endpoints, clock=serving.clock)
    assert ENDPOINT not in serving.endpoints.deleted
    swept = sweep(
        state=serving.state, router=serving.router, clock=serving.clock,
        sleep=serving.clock.advance,
    )  # fmt: skip
    assert swept == {"settled": [PROJECT]}
    assert serving.sagemaker.variants(ENDPOINT) == ["v2"]
    used = serving.sagemaker.endpoints[ENDPOINT]["config"]
    assert set(serving.sagemaker.configs) == {used}


def test_a_broken_route_is_told_by_project_and_ends_no_sweep(serving: VariantScene) -> None:
    broken = {"project": "abc", "router": "endpoint_variants", "route_version": 1, "arms": []}
    serving.state.commit([Put(Table.ROUTES, broken)])

    with pytest.raises(DependencyError) as told:
        sweep(
            state=serving.state, router=serving.router, clock=serving.clock,
            sleep=serving.clock.advance,
        )  # fmt: skip

    assert str(told.value).startswith("abc: ")
    assert PROJECT not in str(told.value)


def test_a_project_keeps_the_router_of_its_first_release(serving: VariantScene) -> None:
    plain = Scene(state=serving.state)
    plain.approve(2)
    plain.start_release(2)
    with pytest.raises(ReleaseNotAllowedError, match="chosen before its first release") as refused:
        plain.plan(SECOND)
    assert refused.value.field == "serving.router"
