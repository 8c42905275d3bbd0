"""What a project may declare of production variants, and how its names are told apart."""

from __future__ import annotations

from typing import Any

import pytest

from steward.domain import names
from steward.domain.errors import InvalidProjectError, ReleaseNotAllowedError
from steward.domain.project import parse_project
from steward.domain.release_declaration import Release
from steward.domain.strategies import plan_for
from steward.domain.strategies.capabilities import LEAST_VARIANT_BAKE_S, check_router
from steward.domain.strategies.experiment_plans import experiment_plans
from support.training_scene import declaration

VARIANTS = {"instance_type": "ml.m5.large"}


def declared(**serving: Any) -> Any:
    return parse_project({**declaration(), "serving": serving}).serving


def test_production_variants_are_declared_with_their_instances() -> None:
    serving = declared(router="endpoint_variants", variants=VARIANTS)
    assert (serving.variants.instance_count, serving.variants.capture_percent) == (1, 100)


def test_a_declaration_that_was_stored_is_read_again() -> None:
    project = parse_project(
        {**declaration(), "serving": {"router": "endpoint_variants", "variants": VARIANTS}}
    )
    assert parse_project(project.model_dump(mode="json")) == project
    plain = parse_project(declaration())
    assert parse_project(plain.model_dump(mode="json")) == plain


@pytest.mark.parametrize(
    ("serving", "field", "told"),
    [
        ({"router": "endpoint_variants"}, "serving.variants", "serverless endpoints allow neither"),
        (
            {"router": "endpoint_variants", "variants": VARIANTS, "provisioned_concurrency": 2},
            "serving.provisioned_concurrency", "serverless endpoints allow neither",
        ),
        ({"variants": VARIANTS}, "serving.variants", "for the router endpoint_variants"),
        (
            {"router": "endpoint_variants", "variants": {"instance_type": "m5.large"}},
            "serving.variants.instance_type", "ml",
        ),
        (
            {"router": "endpoint_variants", "variants": {**VARIANTS, "capture_percent": 0}},
            "serving.variants.capture_percent", "greater than or equal to 1",
        ),
        (
            {"router": "endpoint_variants", "variants": {**VARIANTS, "instance_count": 0}},
            "serving.variants.instance_count", "greater than or equal to 1",
        ),
        ({"router": "dns"}, "serving.router", "endpoint_variants"),
    ],
)  # fmt: skip
def test_what_production_variants_cannot_be_is_refused(
    serving: dict[str, Any], field: str, told: str
) -> None:
    with pytest.raises(InvalidProjectError) as refused:
        declared(**serving)
    assert refused.value.field == field
    assert told in str(refused.value)


def planned(**release: Any) -> Any:
    return plan_for(Release.model_validate(release), "endpoint_variants", ["age"], first=False)


@pytest.mark.parametrize("strategy", ["canary", "linear", "all_at_once"])
def test_a_bake_that_metrics_by_the_minute_cannot_see_is_refused(strategy: str) -> None:
    with pytest.raises(ReleaseNotAllowedError) as refused:
        planned(strategy=strategy, bake_s=LEAST_VARIANT_BAKE_S - 1)
    assert refused.value.field == "release.bake_s"
    planned(strategy=strategy, bake_s=LEAST_VARIANT_BAKE_S)


@pytest.mark.parametrize("column", ["latency_ms", "failed"])
def test_a_metric_of_what_is_not_captured_is_refused(column: str) -> None:
    metric = {
        "name": "burden", "kind": "bounded", "value": f"{column} + 0", "range": [0, 1],
        "goal": {},
    }  # fmt: skip
    with pytest.raises(ReleaseNotAllowedError, match=column) as refused:
        planned(strategy="ab_test", metrics=[metric])
    assert refused.value.field == "release.metrics.burden.value"


def test_a_route_is_released_by_its_own_router_alone() -> None:
    check_router("gateway", "gateway")
    with pytest.raises(ReleaseNotAllowedError, match="routed by gateway"):
        check_router("gateway", "endpoint_variants")


@pytest.mark.parametrize(
    ("name", "version"),
    [("v1", 1), ("v12", 12), ("v0", None), ("v01", None), ("AllTraffic", None), ("x1", None)],
)
def test_a_variant_is_named_by_its_version(name: str, version: int | None) -> None:
    assert names.version_of_variant(name) == version
    if version:
        assert names.variant_name(version) == name


def test_the_endpoint_of_all_versions_is_told_from_that_of_one() -> None:
    assert (
        names.project_of_variants_endpoint("dev", names.variants_endpoint("dev", "ward-v2"))
        == "ward-v2"
    )
    assert (
        names.project_of_variants_endpoint("dev", names.endpoint_name("dev", "ward", 2, "prod"))
        is None
    )
    longest = "a" * 20
    assert len(names.variants_config("staging", longest, "c999999999")) <= 63


def test_a_bounded_metric_is_declared_in_yaml_and_read_again_as_stored() -> None:
    metric = {
        "name": "surer", "kind": "bounded", "value": "prediction", "range": [0, 1], "goal": {},
    }  # fmt: skip
    release = Release.model_validate({"strategy": "ab_test", "metrics": [metric]})
    assert release.metrics[0].range == (0.0, 1.0)
    assert Release.model_validate(release.model_dump(mode="json")) == release


def test_pairs_of_captured_answers_are_compared_by_predictions_alone() -> None:
    release = Release.model_validate(
        {"strategy": "shadow", "shadow": {"duration_s": 36_000, "max_difference": 0.1}}
    )
    plan = plan_for(release, "endpoint_variants", ["age"], first=False)
    rails = experiment_plans(release, plan, 1.0, router="endpoint_variants")["shadow"].guardrails
    assert [rail.metric.name for rail in rails] == ["prediction_difference"]
    gateway = experiment_plans(release, plan, 1.0)["shadow"].guardrails
    assert [rail.metric.name for rail in gateway] == ["errors", "slow", "prediction_difference"]


@pytest.mark.parametrize("release", [{"strategy": "shadow"}, {"shadow_first": True}])
def test_shadow_traffic_without_anything_to_compare_is_refused(release: dict[str, Any]) -> None:
    with pytest.raises(ReleaseNotAllowedError) as refused:
        planned(bake_s=300, **release)
    assert refused.value.field == "release.shadow.max_difference"
