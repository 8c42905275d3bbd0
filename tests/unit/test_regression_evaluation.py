"""A regression on held-out rows: metrics, residuals, and the comparison of two versions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from steward.domain.comparison import Comparison, ComparisonSettings, compare
from steward.domain.evaluation import evaluate
from steward.domain.evaluation_results import Evaluation
from steward.domain.losses import row_losses
from steward.domain.regression_evaluation import residual_points

N = 400
_DRAWN = np.random.default_rng(5)
LABELS = _DRAWN.normal(100, 30, N)
PREDICTIONS = LABELS + _DRAWN.normal(2, 10, N)
ENTITIES = [f"e{row}" for row in range(N)]


def _evaluate(labels: Any = LABELS, predictions: Any = PREDICTIONS, **changes: Any) -> Evaluation:
    given: dict[str, Any] = {
        "slices": {}, "confidence": 0.95, "bootstrap_samples": 300, "seed": 20,
        "slice_minimum_rows": 25, "task": "regression", **changes,
    }  # fmt: skip
    entities = ENTITIES[: len(labels)]
    return evaluate(entities, np.asarray(labels), np.asarray(predictions), **given)


def test_metrics_are_those_of_scikit_learn_within_their_intervals() -> None:
    found = _evaluate()
    for name, expected in (
        ("rmse", root_mean_squared_error(LABELS, PREDICTIONS)),
        ("mae", mean_absolute_error(LABELS, PREDICTIONS)),
        ("r2", r2_score(LABELS, PREDICTIONS)),
    ):
        metric = found.metric(name)  # type: ignore[arg-type]
        assert metric.value == pytest.approx(expected, rel=1e-12)
        assert metric.lower is not None
        assert metric.upper is not None
        assert metric.lower < expected < metric.upper
    assert (found.task, found.positives, found.calibration) == ("regression", None, [])


def test_ninety_five_of_a_hundred_intervals_hold_the_true_error() -> None:
    drawn = np.random.default_rng(11)
    held = 0
    for _ in range(100):
        labels = drawn.normal(0, 5, 150)
        metric = _evaluate(labels, labels + drawn.normal(0, 2, 150)).metric("rmse")
        assert metric.lower is not None
        assert metric.upper is not None
        held += metric.lower < 2 < metric.upper
    assert held >= 87


def test_the_order_and_the_unit_of_rows_do_not_matter() -> None:
    order = np.random.default_rng(1).permutation(N)
    shuffled = evaluate(
        [ENTITIES[row] for row in order], LABELS[order], PREDICTIONS[order], slices={},
        confidence=0.95, bootstrap_samples=300, seed=20, slice_minimum_rows=25, task="regression",
    )  # fmt: skip
    assert shuffled == _evaluate()
    scaled = _evaluate(LABELS * 1000, PREDICTIONS * 1000)
    assert scaled.metric("r2").lower == pytest.approx(_evaluate().metric("r2").lower)


def test_labels_far_from_zero_keep_their_digits() -> None:
    far = _evaluate(LABELS + 1e9, PREDICTIONS + 1e9)
    assert far.metric("r2").value == pytest.approx(_evaluate().metric("r2").value, rel=1e-6)


def test_r2_of_equal_labels_is_undefined_with_the_reason() -> None:
    found = _evaluate(np.full(30, 0.1), np.linspace(0, 1, 30))
    r2 = found.metric("r2")
    assert (r2.value, r2.undefined_because) == (None, "all 30 labels are equal")
    assert found.metric("rmse").value is not None


def test_slices_have_the_metrics_of_their_rows() -> None:
    side = ["left" if row % 2 else "right" for row in range(N)]
    found = _evaluate(slices={"side": side}).slices
    assert [(part.value, part.rows, part.positives) for part in found] == [
        ("left", 200, None), ("right", 200, None),
    ]  # fmt: skip
    expected = root_mean_squared_error(LABELS[1::2], PREDICTIONS[1::2])
    assert found[0].metrics[0].value == pytest.approx(expected)


@pytest.mark.parametrize(
    ("label", "prediction", "message"),
    [
        (float("nan"), 1.0, "row 1: label must be a finite number"),
        (1.0, float("inf"), "row 1: prediction must be a finite number"),
        (1e200, 1.0, "row 1: label must be smaller than 1e"),
        (1.0, -1e200, "row 1: prediction must be smaller than 1e"),
    ],
)
def test_rows_that_cannot_be_judged_are_named(
    label: float, prediction: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        _evaluate([1.0, label, 2.0], [1.0, prediction, 2.0])


def test_residuals_are_label_minus_prediction_by_prediction() -> None:
    points = residual_points(LABELS, PREDICTIONS)
    assert sum(point.rows for point in points) == N
    assert [p.mean_predicted for p in points] == sorted(p.mean_predicted for p in points)
    residuals = LABELS - PREDICTIONS
    weighted = sum(point.rows * point.mean_residual for point in points) / N
    assert weighted == pytest.approx(residuals.mean())
    assert all(point.low <= point.high for point in points)


def test_a_single_row_has_a_residual_without_limits() -> None:
    (point,) = residual_points(np.array([3.0]), np.array([1.0]))
    assert (point.mean_residual, point.lower, point.upper) == (2.0, None, None)


def test_absolute_error_is_the_distance() -> None:
    assert row_losses("absolute_error", np.array([3.0, 1.0]), np.array([-1.0, 2.0])).tolist() == [
        4.0, 1.0,
    ]  # fmt: skip


def _compare(candidate: Any, champion: Any, **changes: Any) -> Comparison:
    settings = ComparisonSettings(
        **{
            "loss": "squared_error", "margin": 0.0, "relative_margin": 0.1, "confidence": 0.95,
            "bootstrap_samples": 500, "seed": 20, "slice_confidence": 0.99,
            "slice_minimum_rows": 25, **changes,
        }
    )  # fmt: skip
    return compare(ENTITIES, LABELS, candidate, champion, slices={}, settings=settings)


def test_a_relative_margin_is_a_share_of_the_champions_loss() -> None:
    noise = np.random.default_rng(3).normal(0, 10, N)
    champion = LABELS + noise
    slightly = _compare(LABELS + noise * 1.02, champion)
    assert slightly.verdict == "pass"
    assert slightly.proved_worse
    assert slightly.margin == pytest.approx(0.1 * float((noise**2).mean()))
    much = _compare(LABELS + noise * 1.2, champion)
    assert much.verdict == "worse"
    assert much.relative_upper is not None
    assert much.relative_upper > 0
    assert not much.passed


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_the_verdict_does_not_depend_on_the_unit_of_the_label(scale: float) -> None:
    noise = np.random.default_rng(4).normal(0, 10, (2, N))
    settings = ComparisonSettings(
        loss="absolute_error", margin=0, relative_margin=0.2, confidence=0.95,
        bootstrap_samples=500, seed=20, slice_confidence=0.99, slice_minimum_rows=25,
    )  # fmt: skip
    found = compare(
        ENTITIES, LABELS * scale, (LABELS + noise[0]) * scale, (LABELS + noise[1]) * scale,
        slices={}, settings=settings,
    )  # fmt: skip
    assert found.verdict == "pass"


def test_a_margin_in_the_unit_of_the_loss_counts_too() -> None:
    noise = np.random.default_rng(3).normal(0, 10, N)
    found = _compare(LABELS + noise * 1.02, LABELS + noise, relative_margin=None, margin=20.0)
    assert (found.verdict, found.margin, found.relative_upper) == ("pass", 20.0, None)


def test_few_candidates_that_are_just_too_bad_pass() -> None:
    drawn = np.random.default_rng(8)
    passed = 0
    for _ in range(60):
        champion = drawn.normal(0, 10, N)
        candidate = drawn.normal(0, 10 * np.sqrt(1.1), N)
        passed += _compare(LABELS + candidate, LABELS + champion).verdict == "pass"
    assert passed <= 8
