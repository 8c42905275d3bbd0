"""A policy is refused where its rules contradict each other, a project where it asks for less."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from steward.domain.bias.names import METRICS as BIAS_METRICS
from steward.domain.errors import InvalidPolicyError, InvalidProjectError
from steward.domain.policy.in_force import pinned, policy_digest
from steward.domain.policy.platform import PLATFORM, platform_policy
from steward.domain.policy.requirements import FacetBound, Policy
from steward.domain.policy.strictness import parse_policy
from steward.domain.project import parse_project
from support.registry_scene import CONFIG


def changed(path: str, value: Any) -> dict[str, Any]:
    document = copy.deepcopy(PLATFORM)
    found: Any = document
    *parents, last = path.split(".")
    for name in parents:
        found = found.setdefault(name, {})
    found[last] = value
    return document


def test_the_shipped_policy_is_valid_and_each_tier_at_least_as_strict_as_the_lower() -> None:
    assert parse_policy(PLATFORM) == platform_policy()
    assert platform_policy().tiers.high.quorum == 2


def test_every_bias_metric_that_is_measured_can_be_bounded() -> None:
    for name in BIAS_METRICS:
        FacetBound.model_validate({"metric": name, "max": 0.5})


@pytest.mark.parametrize(
    ("path", "value", "field", "allowed"),
    [
        ("tiers.high.quorum", 0, "tiers.high.quorum", "greater than or equal to 1"),
        ("tiers.high.quorum", None, "tiers.high.quorum", "at least 1"),
        ("tiers.limited.strategies", ["canary"], "tiers.high.strategies", "some of canary"),
        ("tiers.limited.approval_lifetime_s", 99_999, "tiers.high.approval_lifetime_s", "at most"),
        ("tiers.high.evidence", ["bias", "explanation"], "tiers.high.evidence", "baseline"),
        ("tiers.high.bias.inconclusive", "pass", "tiers.high.bias.inconclusive", "quorum, hold"),
        ("tiers.high.bias.minimum_rows", 30, "tiers.high.bias.minimum_rows", "at least 100"),
        ("tiers.high.waivers.max_lifetime_s", 10**9, "tiers.high.waivers.max_lifetime_s", "most"),
        ("tiers.high.waivers.never", ["fairness"], "tiers.high.waivers.never[0]", "evidence"),
        ("tiers.high.bias.bounds", [{"metric": "DI", "min": 2, "max": 1}],
         "tiers.high.bias.bounds.0.min", "at most 1"),
        ("tiers.high.bias.bounds", [{"metric": "DI"}], "tiers.high.bias.bounds.0.min", "number"),
        ("tiers.high.bias.bounds", [{"metric": "XY", "min": 1}],
         "tiers.high.bias.bounds.0.metric", "'DI'"),
        ("tiers.high.performance.bounds", [{"metric": "gini", "max": 1}],
         "tiers.high.performance.bounds.0.metric", "roc_auc"),
        ("tiers.high.performance.bounds",
         [{"metric": "brier", "max": 0.2}, {"metric": "brier", "max": 0.3}],
         "tiers.high.performance.bounds[1].metric", "once"),
        ("tiers.limited.performance.bounds", [{"metric": "brier", "max": 0.2}],
         "tiers.high.performance.bounds", "brier: max 0.2"),
        ("tiers.limited.bias.bounds", [{"metric": "DI", "min": 0.8}], "tiers.limited.evidence",
         "bias"),
        ("tiers.high.remind_before_s", 10**7, "tiers.high.remind_before_s", "below"),
        ("tiers.limited.stability", {"max_interval_width": {"brier": 0.1}},
         "tiers.high.stability.max_interval_width", "brier at most 0.1"),
        ("tiers.high.strategies", [], "tiers.high.strategies", "at least 1"),
        ("tiers.medium", {}, "tiers.medium", "key"),
        ("overrides", "loosen", "overrides", "tighten"),
    ],
)  # fmt: skip
def test_a_contradiction_names_field_and_what_is_allowed(
    path: str, value: Any, field: str, allowed: str
) -> None:
    with pytest.raises(InvalidPolicyError) as refused:
        parse_policy(changed(path, value))
    assert refused.value.field == field
    assert allowed in str(refused.value.allowed)


def test_what_is_no_mapping_is_refused() -> None:
    with pytest.raises(InvalidPolicyError, match="not a mapping"):
        parse_policy(["minimal"])


def project(**changes: Any) -> Any:
    return parse_project({**CONFIG, **changes})


def test_a_project_may_only_tighten() -> None:
    found = pinned(platform_policy(), "platform", project(policy={"quorum": 3}))
    assert found.requirements.quorum == 3
    assert found.requirements.evidence == ["evaluation", "comparison", "baseline"]
    with pytest.raises(InvalidProjectError) as refused:
        pinned(platform_policy(), "platform", project(risk_tier="high", policy={"quorum": 1}))
    assert (refused.value.field, refused.value.value) == ("policy.quorum", 1)
    assert refused.value.allowed == "at least 2"


def test_a_policy_can_let_projects_loosen() -> None:
    free = parse_policy(changed("overrides", "any"))
    found = pinned(free, "organisation", project(risk_tier="high", policy={"quorum": 1}))
    assert found.requirements.quorum == 1


def test_gates_of_the_project_join_the_bounds_as_the_tightest() -> None:
    document = changed("tiers.limited.performance.bounds", [{"metric": "brier", "max": 0.25}])
    document["tiers"]["high"]["performance"]["bounds"] = [{"metric": "brier", "max": 0.25}]
    policy = parse_policy(document)
    gates = [{"metric": "brier", "max": 0.3}, {"metric": "roc_auc", "min": 0.6}]
    found = pinned(policy, "organisation", project(gates=gates))
    bounds = {b.metric: (b.min, b.max) for b in found.requirements.performance.bounds or ()}
    assert bounds == {"brier": (None, 0.25), "roc_auc": (0.6, None)}
    with pytest.raises(InvalidProjectError, match=r"min 0.3 is above max 0.25"):
        pinned(policy, "organisation", project(gates=[{"metric": "brier", "min": 0.3}]))


def test_a_strategy_that_the_tier_forbids_is_refused_at_the_push() -> None:
    declared = project(risk_tier="high", release={"strategy": "all_at_once"})
    with pytest.raises(InvalidProjectError) as refused:
        pinned(platform_policy(), "platform", declared)
    assert refused.value.field == "release.strategy"
    assert "canary" in str(refused.value.allowed)


def test_the_digest_is_that_of_everything_that_is_required() -> None:
    one = pinned(platform_policy(), "platform", project())
    two = pinned(platform_policy(), "platform", project(policy={"quorum": 2}))
    assert one.digest != two.digest
    assert one.document_digest == two.document_digest == policy_digest(platform_policy())
    assert isinstance(platform_policy(), Policy)
