"""Intervals cover, and a gate concludes from them alone."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from steward.domain.bias.intervals import difference_interval, wilson_interval
from steward.domain.bias.report import BiasMetric, report_bias
from steward.domain.bias.verdicts import BiasBound, judge_metric
from steward.domain.errors import RejectedError


def metric(
    value: float | None, lower: float | None, upper: float | None, rows: int = 200
) -> BiasMetric:
    why = None if value is not None else "a denominator is 0"
    return BiasMetric(
        name="DI", value=value, lower=lower, upper=upper, rows=rows, undefined_because=why
    )


FOUR_FIFTHS = BiasBound(metric="DI", min=0.8, max=1.25)


def test_wilson_as_published() -> None:
    # R. G. Newcombe (1998), Statistics in Medicine 17, 857-872: 81 of 263.
    lower, upper = wilson_interval(81, 263, 0.95)

    assert (round(lower, 4), round(upper, 4)) == (0.2553, 0.3662)


def test_difference_as_published() -> None:
    # R. G. Newcombe (1998), Statistics in Medicine 17, 873-890, method 10: 56/70 - 48/80.
    lower, upper = difference_interval((56, 70), (48, 80), 0.95)

    assert (round(lower, 4), round(upper, 4)) == (0.0524, 0.3339)


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (metric(1.0, 0.9, 1.1), "pass"),
        (metric(0.7, 0.6, 0.79), "fail"),
        (metric(1.4, 1.26, 1.6), "fail"),
        (metric(0.9, 0.75, 1.05), "inconclusive"),
        (metric(0.7, 0.6, 0.79, rows=99), "inconclusive"),
        (metric(None, None, None), "inconclusive"),
        (metric(0.7, None, None), "inconclusive"),
    ],
)
def test_an_interval_decides_and_a_point_never(found: BiasMetric, verdict: str) -> None:
    assert judge_metric(found, FOUR_FIFTHS).verdict == verdict


def test_the_reason_names_numbers_and_bound() -> None:
    assert judge_metric(metric(0.7, 0.6, 0.79), FOUR_FIFTHS).reason == (
        "DI 0.7 (0.6 to 0.79) is outside 0.8 to 1.25"
    )
    assert judge_metric(metric(0.7, 0.6, 0.79, rows=9), FOUR_FIFTHS).reason == (
        "DI 9 rows in the smaller facet, needs 100"
    )


def test_a_bound_of_another_metric_is_refused() -> None:
    with pytest.raises(RejectedError, match="its own metric"):
        judge_metric(metric(1, 0.9, 1.1), BiasBound(metric="DPL", max=0.1))


@pytest.mark.parametrize(
    ("bound", "message"),
    [
        ({"metric": "XX", "max": 1}, "no metric XX"),
        ({"metric": "DI"}, "needs min or max"),
        ({"metric": "DI", "min": 1, "max": 0.5}, "above max"),
        ({"metric": "DI", "min": float("nan")}, "finite"),
    ],
)
def test_impossible_bounds_are_refused(bound: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        BiasBound.model_validate(bound)


def test_fair_models_are_seldom_failed_and_points_often_are() -> None:
    """Fair by construction, 50 rows a group, half of them selected.

    The point leaves .8 to 1.25 in about a quarter; the interval proves harm in few, and with the
    minimum of 100 rows in none.
    """
    rng = np.random.default_rng(33)
    bound = BiasBound(metric="DI", min=0.8, max=1.25, minimum_rows=50)
    facet = np.repeat([False, True], 50)
    repetitions, points, failed, judged = 300, 0, 0, 0
    for _ in range(repetitions):
        predictions = rng.random(100) < 0.5
        found = report_bias(
            "x", facet, predictions, predictions, bootstrap_samples=200
        ).metric("DI")  # fmt: skip
        points += not 0.8 <= (found.value or 0) <= 1.25
        failed += judge_metric(found, bound).verdict == "fail"
        judged += judge_metric(found, FOUR_FIFTHS).verdict != "inconclusive"

    assert points / repetitions > 0.2
    assert failed / repetitions < 0.02
    assert judged == 0


def test_the_interval_of_a_difference_covers() -> None:
    rng = np.random.default_rng(34)
    facet = np.repeat([False, True], [150, 60])
    covered, repetitions = 0, 400
    for _ in range(repetitions):
        labels = rng.random(210) < np.where(facet, 0.3, 0.5)
        found = report_bias("x", facet, labels, bootstrap_samples=200).metric("DPL")
        assert found.method == "newcombe"
        assert found.lower is not None
        assert found.upper is not None
        covered += found.lower <= 0.2 <= found.upper

    assert 0.92 <= covered / repetitions <= 0.98
