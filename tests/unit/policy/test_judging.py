"""The gate is a pure function of findings and policy, with a reason for every rule."""

from __future__ import annotations

from typing import Any

import pytest

from steward.domain.policy.findings import (
    BiasMetricFinding,
    ChampionFailed,
    DataFinding,
    DocumentationFinding,
    ExplanationFinding,
    FacetFinding,
    Findings,
    Judgement,
    MetricFinding,
    VersusChampion,
    WaiverInForce,
)
from steward.domain.policy.judging import judge_policy
from steward.domain.policy.platform import platform_policy
from steward.domain.policy.requirements import Requirements

METRICS = {
    "brier": MetricFinding(value=0.2, lower=0.17, upper=0.23),
    "roc_auc": MetricFinding(value=None, undefined_because="all 9 rows are positive"),
}


def versus(verdict: str = "pass", difference: float = 0.0, **changes: Any) -> VersusChampion:
    return VersusChampion.model_validate(
        {"verdict": verdict, "difference": difference, "lower": -0.01, "upper": 0.01,
         "margin": 0.02, "rows": 118, **changes}
    )  # fmt: skip


def slice_(verdict: str) -> dict[str, Any]:
    return {"column": "sex", "value": "F", "rows": 60, "difference": 0.05, "lower": 0.01,
            "verdict": verdict}  # fmt: skip


def judge(required: dict[str, Any] | None = None, **found: Any) -> Judgement:
    findings = {"evidence": {}, "metrics": METRICS, **found}
    return judge_policy(Findings(**findings), Requirements.model_validate(required or {}))


def by_tier(tier: str, champion: Any) -> str:
    requirements = getattr(platform_policy().tiers, tier).model_dump()
    kept = {name: requirements[name] for name in ("performance", "slices", "quorum")}
    return judge(kept, champion=champion).verdict


def verdicts(judged: Judgement) -> dict[str, str]:
    return {rule.rule: rule.verdict for rule in judged.rules}


def message(judged: Judgement, rule: str) -> str:
    return next(found.message for found in judged.rules if found.rule == rule)


def bounds(**metric: Any) -> dict[str, Any]:
    return {"performance": {"bounds": [metric]}}


def test_without_a_champion_the_absolute_gates_alone_decide() -> None:
    judged = judge(bounds(metric="brier", max=0.25))
    assert (judged.verdict, judged.quorum) == ("pass", 1)
    assert verdicts(judged) == {"gate.brier": "pass", "champion": "pass"}
    assert judge(bounds(metric="brier", max=0.19)).verdict == "hold"
    assert judge(bounds(metric="brier", min=0.3)).verdict == "hold"


def test_an_undefined_or_unmeasured_metric_holds() -> None:
    judged = judge(bounds(metric="roc_auc", min=0.6))
    assert judged.verdict == "hold"
    assert "all 9 rows are positive" in judged.rules[0].message
    assert judge(bounds(metric="accuracy", min=0.3)).verdict == "hold"


def test_a_metric_without_an_interval_keeps_its_bound_by_value_and_holds_by_stability() -> None:
    few = MetricFinding(value=1.64, undefined_because="28 days judge in blocks of 28")
    required = bounds(metric="rmse", max=2) | {"stability": {"max_interval_width": {"rmse": 1}}}
    judged = judge(required, metrics={"rmse": few})
    assert verdicts(judged) == {"gate.rmse": "pass", "champion": "pass", "stability.rmse": "hold"}
    told = "rmse 1.6400 (no interval: 28 days judge in blocks of 28) keeps its bound"
    assert message(judged, "gate.rmse") == told
    held = "rmse has no interval: 28 days judge in blocks of 28"
    assert message(judged, "stability.rmse") == held


@pytest.mark.parametrize(
    ("champion", "tier", "verdict"),
    [
        (versus("pass"), "high", "pass"),
        (versus("worse"), "minimal", "hold"),
        (versus("inconclusive", 0.01), "limited", "hold"),
        (versus("inconclusive", 0.01), "high", "hold"),
        (versus("inconclusive", 0.01), "minimal", "pass"),
        (versus("inconclusive", 0.03), "minimal", "hold"),
        (ChampionFailed(reason="no module"), "limited", "pass"),
        (ChampionFailed(reason="no module"), "high", "hold"),
        (ChampionFailed(reason="seen", saw_rows=True), "limited", "inconclusive"),
        (ChampionFailed(reason="seen", saw_rows=True), "high", "hold"),
    ],
)
def test_the_comparison_counts_by_verdict_and_tier(champion: Any, tier: str, verdict: str) -> None:
    assert by_tier(tier, champion) == verdict


@pytest.mark.parametrize("tier", ["minimal", "limited", "high"])
@pytest.mark.parametrize(
    "bound", [{"metric": "brier", "max": 0.9}, {"metric": "brier", "min": 0.0}], ids=["max", "min"]
)
def test_no_bound_that_is_kept_lets_a_candidate_past_a_champion_that_is_better(
    tier: str, bound: dict[str, Any]
) -> None:
    requirements = getattr(platform_policy().tiers, tier).model_dump()
    performance = {**requirements["performance"], "bounds": [bound]}
    judged = judge({"performance": performance}, champion=versus("worse", 0.05))
    assert verdicts(judged) == {"gate.brier": "pass", "champion": "hold"}
    assert judged.verdict == "hold"


def test_only_a_slice_that_is_proved_worse_holds() -> None:
    thin = versus(slices=[slice_("not_judged"), slice_("not_proved_worse")])
    assert by_tier("high", thin) == "pass"
    judged = judge(champion=versus(slices=[slice_("proved_worse")]))
    assert (judged.verdict, judged.rules[-1].rule) == ("hold", "slice.sex")
    strict = judge({"slices": {"not_judged": "quorum"}}, champion=thin)
    assert (strict.verdict, strict.quorum) == ("inconclusive", 2)


def test_every_missing_part_of_the_evidence_is_named() -> None:
    judged = judge({"evidence": ["bias", "evaluation", "explanation"]},
                   evidence={"evaluation": "a" * 64})  # fmt: skip
    assert judged.verdict == "hold"
    assert message(judged, "evidence.bias") == "bias evidence is required and missing"
    assert verdicts(judged)["evidence.evaluation"] == "pass"
    assert verdicts(judged)["evidence.explanation"] == "hold"


def facet(rows: int, value: float | None, lower: float | None = None,
          upper: float | None = None, why: str | None = None) -> FacetFinding:  # fmt: skip
    found = BiasMetricFinding(
        name="DI", rows=rows, value=value, lower=lower, upper=upper, undefined_because=why
    )
    return FacetFinding(name="sex = 2", metrics=[found])


@pytest.mark.parametrize(
    ("found", "verdict", "told"),
    [
        (facet(400, 0.95, 0.85, 1.1), "pass", "is within 0.8 to 1.25"),
        (facet(400, 0.5, 0.4, 0.6), "hold", "is outside"),
        (facet(400, 0.9, 0.7, 1.1), "inconclusive", "reaches across"),
        (facet(99, 0.95, 0.9, 1.0), "inconclusive", "99 rows in the smaller group"),
        (facet(0, None, why="no row of facet a"), "inconclusive", "a group has none"),
        (facet(400, None, why="it is nan"), "inconclusive", "undefined: it is nan"),
        (facet(400, 0.95), "inconclusive", "has no interval"),
        (FacetFinding(name="sex = 2"), "hold", "was not measured"),
    ],
)
def test_a_bias_bound_judges_the_interval_on_enough_rows(
    found: FacetFinding, verdict: str, told: str
) -> None:
    rules = {"bias": {"bounds": [{"metric": "DI", "min": 0.8, "max": 1.25}]}}
    judged = judge(rules, bias=[found])
    assert verdicts(judged)["bias.sex = 2.DI"] == verdict
    assert told in message(judged, "bias.sex = 2.DI")


@pytest.mark.parametrize(
    ("escalation", "verdict", "quorum"),
    [("pass", "pass", 1), ("quorum", "inconclusive", 2), ("hold", "hold", 1), (None, "hold", 1)],
)
def test_an_inconclusive_rule_escalates_as_the_tier_says(
    escalation: str | None, verdict: str, quorum: int
) -> None:
    bias = {"bounds": [{"metric": "DI", "min": 0.8}], "inconclusive": escalation}
    judged = judge({"bias": bias}, bias=[facet(50, 0.9, 0.5, 1.3)])
    assert (judged.verdict, judged.quorum) == (verdict, quorum)


def test_stability_explanation_data_and_documentation_are_judged() -> None:
    required = {
        "stability": {"max_interval_width": {"brier": 0.05, "roc_auc": 0.2}},
        "explanation": {"max_gap": 0.001, "max_share": 0.5, "minimum_rows": 50},
        "data": {"minimum_heldout_rows": 100, "minimum_train_rows": 10, "max_set_aside": 0.05},
        "documentation": {"required": ["description", "owner", "risk"], "minimum_characters": 9},
    }
    explained = ExplanationFinding(
        additive=True, max_gap=1e-9, rows=60, largest="bmi", largest_share=0.6
    )
    judged = judge(
        required, explanation=explained,
        data=DataFinding(train_rows=20, heldout_rows=90, delivered_rows=100, set_aside_rows=6),
        documentation=DocumentationFinding(description="short", owner="w", risk_answered=False),
    )  # fmt: skip
    held = {rule for rule, verdict in verdicts(judged).items() if verdict == "hold"}
    assert held == {
        "stability.brier", "stability.roc_auc", "explanation.share", "data.heldout_rows",
        "data.set_aside", "documentation.risk", "documentation.length",
    }  # fmt: skip
    assert "6 of 100 delivered rows were set aside (6.0%)" in message(judged, "data.set_aside")
    nothing = judge(required, explanation=explained.model_copy(update={"additive": False}))
    assert verdicts(nothing)["explanation.additive"] == "hold"
    assert verdicts(nothing)["data.train_rows"] == "hold"


def test_a_waived_rule_passes_and_says_by_whom() -> None:
    waiver = WaiverInForce(
        waiver_id="0a1b2c3d4e5f", rule="gate.brier", by="1/ana", reason="known fault of the scale",
        expires_at="2026-02-01T00:00:00+00:00",
    )  # fmt: skip
    judged = judge(bounds(metric="brier", max=0.1), waivers=[waiver])
    assert judged.verdict == "pass"
    rule = judged.rules[0]
    assert (rule.verdict, rule.effect, rule.waived_by) == ("hold", "pass", "0a1b2c3d4e5f")
    assert "waived by 1/ana until 2026-02-01" in rule.message
    other = waiver.model_copy(update={"rule": "gate.roc_auc"})
    assert judge(bounds(metric="brier", max=0.1), waivers=[other]).verdict == "hold"


def test_a_rule_that_passes_needs_no_waiver() -> None:
    waiver = WaiverInForce(
        waiver_id="0a1b2c3d4e5f", rule="champion", by="1/ana", reason="r" * 10, expires_at="2026"
    )
    assert judge(waivers=[waiver]).rules[0].waived_by is None


def test_the_digest_follows_from_everything_that_was_judged() -> None:
    first = judge(bounds(metric="brier", max=0.25)).inputs_digest
    turned = judge(
        bounds(metric="brier", max=0.25), metrics=dict(reversed(METRICS.items()))
    ).inputs_digest
    assert turned == first
    others = {
        judge(bounds(metric="brier", max=0.25), metrics={}).inputs_digest,
        judge(bounds(metric="brier", max=0.25), champion=versus()).inputs_digest,
        judge().inputs_digest,
        judge({**bounds(metric="brier", max=0.25), "quorum": 3}).inputs_digest,
    }
    assert len(others | {first}) == 5


def test_nan_cannot_enter_the_findings() -> None:
    with pytest.raises(ValueError, match="finite"):
        MetricFinding(value=float("nan"))
