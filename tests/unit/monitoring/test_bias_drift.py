"""Groups against a reference: fair ones are rarely called biased, thin ones never."""

from __future__ import annotations

import math

import numpy as np
import pytest

from performance_simulations import groups
from steward.domain.monitoring.bias_drift import (
    DEFAULT_RULES,
    MINIMUM,
    GroupCounts,
    GroupVerdict,
    Rule,
    counts_by_group,
    holm,
    judged,
)

REPETITIONS = 200
TOLERANCE = 0.05 + 3 * math.sqrt(0.05 * 0.95 / REPETITIONS)
PARITY = Rule(metric="selection_rate", comparison="difference", lower=0, upper=0, drift=0.0)


def _of(verdicts: list[GroupVerdict], group: str, metric: str) -> GroupVerdict:
    return next(v for v in verdicts if (v.group, v.metric) == (group, metric))


def test_counts_are_those_of_each_group_and_merge() -> None:
    found = counts_by_group(
        ["x", "y", "x", "x", "x"],
        np.array([1.0, 0.0, 1.0, 0.0, 0.0]),
        np.array([True, True, False, False, True]),
    )
    assert found == {"x": GroupCounts(tp=1, fn=1, tn=1, fp=1), "y": GroupCounts(fp=1)}
    assert found["x"].merge(found["y"]) == GroupCounts(tp=1, fn=1, tn=1, fp=2)
    assert found["x"].rate("precision") == (1, 2)
    with pytest.raises(ValueError, match="one length"):
        counts_by_group(["x"], np.zeros(2), np.zeros(2, dtype=bool))
    with pytest.raises(ValueError, match="0 or 1"):
        counts_by_group(["x"], np.full(1, 0.5), np.zeros(1, dtype=bool))


def test_at_the_limit_of_what_is_allowed_any_false_verdict_over_all_groups_is_rare() -> None:
    generator = np.random.default_rng(1)
    false = drifted = 0
    rules = [
        PARITY.model_copy(update={"metric": metric})
        for metric in ("selection_rate", "accuracy", "true_positive_rate")
    ]
    for _ in range(REPETITIONS):
        verdicts = judged(groups(generator, 400), groups(generator, 400), "a", rules)
        false += any(v.verdict == "biased" for v in verdicts)
        drifted += any(v.drift == "drifted" for v in verdicts)
    # Both directions count, each at .05 over all groups and rules.
    assert false / REPETITIONS <= 2 * TOLERANCE
    assert drifted / REPETITIONS <= 2 * TOLERANCE


def test_a_fair_model_is_never_called_biased_by_the_usual_limits_and_a_biased_one_is() -> None:
    generator = np.random.default_rng(2)
    biased = found = moved = 0
    for _ in range(60):
        baseline = groups(generator, 500)
        biased += any(v.verdict == "biased" for v in judged(groups(generator, 500), baseline, "a"))
        verdict = _of(
            judged(groups(generator, 500, {"c": 0.2}), baseline, "a"), "c", "selection_rate"
        )
        found += verdict.verdict == "biased"
        moved += verdict.drift == "drifted"
        assert verdict.value is not None
        assert verdict.value < 0.75
    assert biased <= 1
    assert found >= 55
    assert moved >= 40


def test_point_estimates_of_50_rows_would_alarm_where_these_are_not_judged() -> None:
    generator = np.random.default_rng(3)
    outside = 0
    for _ in range(300):
        counts = groups(generator, 50)
        ratio = (counts["b"].rate("selection_rate")[0] + 0.0) / max(
            1, counts["a"].rate("selection_rate")[0]
        )
        outside += not 0.8 <= ratio <= 1.25
        verdicts = judged(counts, {}, "a")
        assert {v.verdict for v in verdicts} == {"inconclusive"}
        assert {v.needs for v in verdicts} == {MINIMUM}
    # Rule 33 says 26 % at another rate of selection.
    assert outside / 300 > 0.2


def test_the_minimum_is_of_the_metrics_own_denominator() -> None:
    few_positives = GroupCounts(tp=20, fn=20, fp=300, tn=660)
    verdicts = judged({"a": few_positives, "b": few_positives}, {}, "a")
    assert _of(verdicts, "b", "true_positive_rate").denominators == (40, 40)
    assert _of(verdicts, "b", "true_positive_rate").value is None
    assert "40 rows" in (_of(verdicts, "b", "true_positive_rate").reason or "")
    assert _of(verdicts, "b", "selection_rate").value == pytest.approx(1.0)
    assert _of(verdicts, "b", "selection_rate").drift == "inconclusive"


def test_a_bias_of_long_standing_is_no_drift() -> None:
    generator = np.random.default_rng(4)
    selected = {"b": 0.2}
    verdict = _of(
        judged(groups(generator, 4_000, selected), groups(generator, 4_000, selected), "a"),
        "b",
        "selection_rate",
    )
    assert (verdict.verdict, verdict.drift) == ("biased", "held")
    assert verdict.baseline == pytest.approx(0.5, abs=0.06)


def test_an_interval_and_the_rows_that_would_prove_fairness() -> None:
    generator = np.random.default_rng(5)
    verdict = _of(judged(groups(generator, 300), {}, "a"), "b", "selection_rate")
    assert verdict.verdict == "inconclusive"
    assert verdict.lower is not None
    assert verdict.upper is not None
    assert verdict.lower < 1 < verdict.upper
    assert verdict.needs is not None
    fair = sum(
        _of(judged(groups(generator, verdict.needs), {}, "a"), "b", "selection_rate").verdict
        == "fair"
        for _ in range(40)
    )
    assert fair >= 24


def test_all_or_none_selected_has_a_defined_verdict() -> None:
    everyone, nobody = GroupCounts(tp=200, fp=200), GroupCounts(fn=200, tn=200)
    verdicts = judged({"a": everyone, "b": nobody, "c": everyone}, {"a": everyone}, "a")
    assert _of(verdicts, "b", "selection_rate").verdict == "biased"
    assert _of(verdicts, "c", "selection_rate").verdict == "fair"
    assert all(v.value is None or math.isfinite(v.value) for v in verdicts)
    with pytest.raises(ValueError, match="reference must be one of a, b"):
        judged({"a": everyone, "b": nobody}, {}, "z")
    assert judged({"a": everyone}, {}, "a") == []
    assert len(DEFAULT_RULES) == 3


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, None], 0.05) == [True, False, False, False]
    assert holm([0.01, 0.02, 0.03], 0.05) == [True, True, True]
    assert holm([None, None], 0.05) == [False, False]
