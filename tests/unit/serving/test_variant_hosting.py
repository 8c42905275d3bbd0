"""What a release asks SageMaker for where versions share an endpoint."""

from __future__ import annotations

from typing import Any

import pytest

from steward.contracts.steps.serving import EndpointPlan
from steward.domain.errors import DependencyError, EndpointFailedError, EvidenceIncompleteError
from steward.domain.releases import first_route, shifted
from steward.domain.routes import Arm, Route
from steward.service.serving.variant_hosting import variants_plan
from support.serving_scene import CAPTURE, PROJECT, ROLE
from support.variant_scene import ENDPOINT, VariantScene


def variant(version: int, weight: float, **more: Any) -> dict[str, Any]:
    return {
        "VariantName": f"v{version}", "ModelName": f"dev-{PROJECT}-v{version}-prod-1",
        "InstanceType": "ml.c5.large", "InitialInstanceCount": 1, "InitialVariantWeight": weight,
        **more,
    }  # fmt: skip


def arm(version: int, share: float = 100) -> Arm:
    return Arm(version=version, endpoint=ENDPOINT, role="candidate", share=share)


def serving(version: int = 1) -> Route:
    route = first_route(PROJECT, "00000001-1", "all", arm(version), 500)
    return route.model_copy(update={"router": "endpoint_variants"})


@pytest.fixture
def scene() -> VariantScene:
    return VariantScene()


def plan(
    scene: VariantScene, version: int, route: Route | None, *, mirror_percent: float = 0,
    suffix: str = "1", record: dict[str, Any] | None = None,
) -> EndpointPlan:  # fmt: skip
    known = {
        "project": PROJECT, "version": version, "artifact_uri": "s3://a/m.tar.gz",
        "job_image": "jobs@sha256:1",
    }  # fmt: skip
    return variants_plan(
        known | (record or {}), suffix, scene.project.serving, route, mirror_percent,
        environment="dev", endpoints=scene.endpoints, fleets=scene.variants, role_arn=ROLE,
        capture_bucket=CAPTURE,
    )  # fmt: skip


def serve(scene: VariantScene, *variants: dict[str, Any], **more: Any) -> None:
    config = {"EndpointConfigName": f"{ENDPOINT}-1-1", "ProductionVariants": [*variants]}
    scene.sagemaker.add(ENDPOINT, config | more)


def test_a_first_version_makes_the_endpoint(scene: VariantScene) -> None:
    told = plan(scene, 1, None)
    assert (told.create, told.update, told.router) == (True, False, "endpoint_variants")
    (own,) = told.config["ProductionVariants"]
    assert own == variant(1, 100) | {"InstanceType": "ml.m5.large"}
    assert told.config["DataCaptureConfig"]["InitialSamplingPercentage"] == 100
    assert told.request == {"EndpointName": ENDPOINT, "EndpointConfigName": f"{ENDPOINT}-1-1"}


def test_a_version_joins_and_what_runs_keeps_instances_and_share(scene: VariantScene) -> None:
    serve(scene, variant(1, 100))
    told = plan(scene, 2, serving())
    assert (told.create, told.update) == (True, True)
    stays, joins = told.config["ProductionVariants"]
    assert stays == variant(1, 100, InitialInstanceCount=2), "counts are those of now"
    assert joins == variant(2, 0) | {"InstanceType": "ml.m5.large"}


def test_the_previous_version_stays_beside_a_new_release(scene: VariantScene) -> None:
    serve(scene, variant(1, 0), variant(2, 100))
    route = serving(2).model_copy(update={"previous": arm(1, 0)})
    told = plan(scene, 3, route)
    weights = {
        v["VariantName"]: v["InitialVariantWeight"] for v in told.config["ProductionVariants"]
    }
    assert weights == {"v1": 0, "v2": 100, "v3": 0}


def test_what_an_earlier_release_left_does_not_come_along(scene: VariantScene) -> None:
    serve(scene, variant(1, 100), variant(7, 0))
    told = plan(scene, 8, serving())
    assert [v["VariantName"] for v in told.config["ProductionVariants"]] == ["v1", "v8"]


def test_a_version_that_is_released_again_has_the_model_of_this_release(
    scene: VariantScene,
) -> None:
    serve(scene, variant(1, 100), variant(2, 0))
    told = plan(scene, 2, serving(), suffix="2")
    models = {v["VariantName"]: v["ModelName"] for v in told.config["ProductionVariants"]}
    assert models["v2"] == told.model["ModelName"] == f"dev-{PROJECT}-v2-prod-2"


def test_shadow_traffic_first_leaves_one_production_variant(scene: VariantScene) -> None:
    serve(scene, variant(1, 0), variant(2, 100))
    route = serving(2).model_copy(update={"previous": arm(1, 0)})
    told = plan(scene, 3, route, mirror_percent=25)
    assert [v["VariantName"] for v in told.config["ProductionVariants"]] == ["v2"]
    (shadow,) = told.config["ShadowProductionVariants"]
    assert (shadow["VariantName"], shadow["InitialVariantWeight"]) == ("v3", 25)


def test_a_plan_that_is_asked_for_again_changes_nothing(scene: VariantScene) -> None:
    first = plan(scene, 1, None)
    scene.sagemaker.add(ENDPOINT, first.config)
    assert plan(scene, 1, None).create is False


def test_a_first_version_takes_the_place_of_one_that_failed(scene: VariantScene) -> None:
    serve(scene, variant(1, 100))
    told = plan(scene, 2, None)
    assert told.update
    (own,) = told.config["ProductionVariants"]
    assert (own["VariantName"], own["InitialVariantWeight"]) == ("v2", 100)


def test_a_dead_endpoint_that_serves_nobody_is_removed_first(scene: VariantScene) -> None:
    serve(scene, variant(1, 100))
    scene.sagemaker.endpoints[ENDPOINT]["status"] = "Failed"
    scene.endpoints.add(ENDPOINT, b"{}", status="Failed")
    with pytest.raises(DependencyError, match="must be gone first"):
        plan(scene, 2, None)
    assert scene.endpoints.deleted == [ENDPOINT]


@pytest.mark.parametrize("broken", ["gone", "Failed", "without v1"])
def test_an_endpoint_that_should_serve_and_does_not_stops_the_release(
    scene: VariantScene, broken: str
) -> None:
    serve(scene, variant(5 if broken == "without v1" else 1, 100))
    if broken == "gone":
        scene.sagemaker.endpoints.clear()
    if broken == "Failed":
        scene.sagemaker.endpoints[ENDPOINT]["status"] = "Failed"
    with pytest.raises(EndpointFailedError, match="version 1 should answer"):
        plan(scene, 2, serving())
    assert scene.endpoints.deleted == []


@pytest.mark.parametrize("field", ["artifact_uri", "job_image"])
def test_a_record_without_what_training_made_is_refused(scene: VariantScene, field: str) -> None:
    with pytest.raises(EvidenceIncompleteError) as refused:
        plan(scene, 1, None, record={field: None})
    assert refused.value.field == field


def test_shares_in_the_middle_of_a_step_are_kept(scene: VariantScene) -> None:
    serve(scene, variant(1, 3), variant(2, 1))
    route = shifted(serving(), "00000002-1", "canary", arm(2, 25), 500)
    told = plan(scene, 2, route.model_copy(update={"router": "endpoint_variants"}), suffix="2")
    weights = [v["InitialVariantWeight"] for v in told.config["ProductionVariants"]]
    assert weights == [75, 25]


def test_the_staging_endpoint_of_who_serves_stays_to_be_asked(scene: VariantScene) -> None:
    for version in (1, 2):
        scene.endpoints.add(f"dev-{PROJECT}-v{version}-staging", b"{}")
    scene.play(1)
    assert f"dev-{PROJECT}-v1-staging" not in scene.endpoints.deleted
    serve(scene, variant(1, 100))
    scene.play(2)
    assert f"dev-{PROJECT}-v1-staging" in scene.endpoints.deleted
    assert f"dev-{PROJECT}-v2-staging" not in scene.endpoints.deleted
