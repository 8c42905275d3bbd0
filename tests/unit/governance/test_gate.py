"""The gate is a pure function of evidence, with a reason for every rule."""

from __future__ import annotations

from typing import Any

import pytest

from steward.domain.gate import (
    ChampionFailed,
    GateJudgement,
    MetricFinding,
    SliceFinding,
    VersusChampion,
    judge,
)
from steward.domain.project import MetricGate

METRICS = {
    "brier": MetricFinding(value=0.2, lower=0.17, upper=0.23),
    "roc_auc": MetricFinding(value=None, undefined_because="all 9 rows are positive"),
}


def versus(verdict: str = "pass", difference: float = 0.0, **changes: Any) -> VersusChampion:
    return VersusChampion.model_validate(
        {
            "verdict": verdict, "difference": difference, "lower": -0.01, "upper": 0.01,
            "margin": 0.02, "rows": 118, **changes,
        }
    )  # fmt: skip


def slice_(verdict: str) -> SliceFinding:
    return SliceFinding.model_validate(
        {"column": "sex", "value": "F", "rows": 60, "difference": 0.05, "lower": 0.01,
         "verdict": verdict}
    )  # fmt: skip


def reasons(judged: GateJudgement) -> dict[str, str]:
    return {reason.rule: reason.verdict for reason in judged.reasons}


def test_without_a_champion_the_absolute_gates_alone_decide() -> None:
    judged = judge(METRICS, None, [MetricGate(metric="brier", max=0.25)], "limited")
    assert judged.verdict == "pass"
    assert reasons(judged) == {"gate.brier": "pass", "champion": "pass"}
    assert judge(METRICS, None, [MetricGate(metric="brier", max=0.19)], "limited").verdict == "hold"
    assert judge(METRICS, None, [MetricGate(metric="brier", min=0.3)], "limited").verdict == "hold"


def test_an_undefined_or_unmeasured_metric_holds() -> None:
    judged = judge(METRICS, None, [MetricGate(metric="roc_auc", min=0.6)], "limited")
    assert judged.verdict == "hold"
    assert "all 9 rows are positive" in judged.reasons[0].message
    assert judge({}, None, [MetricGate(metric="brier", max=0.3)], "limited").verdict == "hold"


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
    ],
)
def test_the_comparison_counts_by_verdict_and_tier(champion: Any, tier: Any, verdict: str) -> None:
    assert judge(METRICS, champion, [], tier).verdict == verdict


def test_only_a_slice_that_is_proved_worse_holds() -> None:
    thin = versus(slices=[slice_("not_judged"), slice_("not_proved_worse")])
    assert judge(METRICS, thin, [], "high").verdict == "pass"
    worse = versus(slices=[slice_("proved_worse")])
    judged = judge(METRICS, worse, [], "minimal")
    assert judged.verdict == "hold"
    assert judged.reasons[-1].rule == "slice.sex"


def test_every_broken_rule_is_named() -> None:
    gates = [MetricGate(metric="brier", max=0.1), MetricGate(metric="roc_auc", min=0.6)]
    judged = judge(METRICS, versus("worse", slices=[slice_("proved_worse")]), gates, "limited")
    assert sum(verdict == "hold" for verdict in reasons(judged).values()) == 4


def test_the_digest_follows_from_everything_that_was_judged() -> None:
    gates = [MetricGate(metric="brier", max=0.25)]
    first = judge(METRICS, versus(), gates, "limited").inputs_digest
    assert judge(dict(reversed(METRICS.items())), versus(), gates, "limited").inputs_digest == first
    others = {
        judge({}, versus(), gates, "limited").inputs_digest,
        judge(METRICS, None, gates, "limited").inputs_digest,
        judge(METRICS, versus(), [], "limited").inputs_digest,
        judge(METRICS, versus(), gates, "high").inputs_digest,
    }
    assert len(others | {first}) == 5
