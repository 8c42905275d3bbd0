"""Metrics with their variance from sufficient statistics: means of losses, or influence functions.

The influence function of a metric says how much each row moves it; the mean of its square over n
is the variance of the metric for large n (F. Hampel, JASA 69 (1974)).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from steward.domain.monitoring.performance_statistics import UNIT, Classification, Regression

Metric = Literal[
    "accuracy", "brier", "log_loss", "precision", "recall", "f1", "roc_auc", "mae", "mse", "rmse",
    "r2",
]  # fmt: skip

METRICS: tuple[Metric, ...] = get_args(Metric)
CLASSIFICATION_METRICS = METRICS[:7]
REGRESSION_METRICS = METRICS[7:]
HIGHER_IS_BETTER: Mapping[Metric, bool] = {
    metric: metric not in ("brier", "log_loss", "mae", "mse", "rmse") for metric in METRICS
}

LEAST = 10
"""Rows of a ratio's denominator, and of either label for ``roc_auc``, before it has a variance."""


@dataclass(frozen=True)
class MetricEstimate:
    """A metric of some rows.

    Attributes:
        value: As defined; None where it is undefined.
        centre: What intervals are drawn about; differs from the value for proportions alone.
        variance: Of the metric, not of a row.
        method: How intervals come about.
    """

    value: float | None
    centre: float = 0.0
    variance: float = 0.0
    method: str = ""
    undefined_because: str | None = None


def measured(statistics: Classification | Regression, metric: Metric) -> MetricEstimate:
    """Return a metric of some rows.

    - ``accuracy``, ``precision`` = tp / (tp + fp), ``recall`` = tp / (tp + fn): proportions.
    - ``brier``, ``log_loss``: means of :func:`steward.domain.losses.row_losses`, bounded.
    - ``f1`` = 2 tp / (2 tp + fp + fn): a ratio of means, by the delta method.
    - ``roc_auc``: Mann-Whitney's U over the pairs, rows of one score bin being ties; variance of
      E. DeLong, D. DeLong and D. Clarke-Pearson, Biometrics 44 (1988).
    - ``mae``, ``mse``: means; ``rmse`` = sqrt(mse); ``r2`` = 1 - sum e^2 / sum (y - mean y)^2.

    Raises:
        ValueError: The metric is not one of this kind of model.
    """
    if statistics.n == 0:
        return MetricEstimate(None, undefined_because="there are no rows")
    if isinstance(statistics, Classification) and metric in _OF_CLASSES:
        return _OF_CLASSES[metric](statistics)
    if isinstance(statistics, Regression) and metric in _OF_NUMBERS:
        return _OF_NUMBERS[metric](statistics)
    raise ValueError(f"{metric!r} is no metric of {type(statistics).__name__.lower()}")


def _proportion(successes: int, n: int, of: str) -> MetricEstimate:
    if n < LEAST:
        return MetricEstimate(
            successes / n if n else None,
            undefined_because=f"only {n} {of}, {LEAST} are needed",
        )
    centre = (successes + 1) / (n + 2)
    return MetricEstimate(
        successes / n, centre, centre * (1 - centre) / (n + 2), "Agresti-Caffo interval"
    )


def _accuracy(rows: Classification) -> MetricEstimate:
    tp, _, _, tn = rows.confusion
    return _proportion(tp + tn, rows.n, "rows")


def _precision(rows: Classification) -> MetricEstimate:
    tp, fp, _, _ = rows.confusion
    return _proportion(tp, tp + fp, "rows were predicted as positive")


def _recall(rows: Classification) -> MetricEstimate:
    tp, _, fn, _ = rows.confusion
    return _proportion(tp, tp + fn, "rows are positive")


def _f1(rows: Classification) -> MetricEstimate:
    tp, fp, fn, _ = rows.confusion
    if tp + fp + fn < LEAST:
        value = 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else None
        return MetricEstimate(
            value, undefined_because=f"only {tp + fp + fn} rows are or were predicted as positive,"
            f" {LEAST} are needed",
        )  # fmt: skip
    # One more of each kind, as for proportions: without a miss the variance would be 0.
    a, b, c = tp + 1, fp + 1, fn + 1
    total = 2 * a + b + c
    centre = 2 * a / total
    squares = a * (2 - 2 * centre) ** 2 + (b + c) * centre**2
    return MetricEstimate(
        2 * tp / (2 * tp + fp + fn), centre, squares / total**2, "delta method of a ratio"
    )


def _mean(total: float, squares: float, n: int) -> MetricEstimate:
    mean = total / n
    variance = max(0.0, squares / n - mean * mean) / max(1, n - 1)
    return MetricEstimate(mean, mean, variance, "Welch interval of a mean")


def _brier(rows: Classification) -> MetricEstimate:
    return _mean(int(rows.brier.sum()) * UNIT, rows.brier_squares * UNIT, rows.n)


def _log_loss(rows: Classification) -> MetricEstimate:
    return _mean(int(rows.log_loss.sum()) * UNIT, rows.log_loss_squares * UNIT, rows.n)


def _roc_auc(rows: Classification) -> MetricEstimate:
    negative, positive = rows.counts.astype(np.float64)
    n, m = positive.sum(), negative.sum()
    if min(n, m) < LEAST:
        return MetricEstimate(
            None, undefined_because=f"only {int(n)} rows are positive and {int(m)} negative,"
            f" {LEAST} of each are needed",
        )  # fmt: skip
    wins = (np.cumsum(negative) - negative / 2) / m
    losses = 1 - (np.cumsum(positive) - positive / 2) / n
    area = float(positive @ wins) / n
    spread = positive @ (wins - area) ** 2 / (n - 1) / n
    spread += negative @ (losses - area) ** 2 / (m - 1) / m
    if spread <= 0:
        spread = _hanley_mcneil(1 - 1 / (2 * min(n, m)), n, m)
    return MetricEstimate(area, area, float(spread), "DeLong interval, binned scores")


def _hanley_mcneil(area: float, n: float, m: float) -> float:
    """Return the variance of J. Hanley and B. McNeil, Radiology 143 (1982).

    For rows without a single wrong pair, where DeLong's is 0: as if half a row were wrong.
    """
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    return (
        area * (1 - area) + (n - 1) * (q1 - area**2) + (m - 1) * (q2 - area**2)
    ) / (n * m)  # fmt: skip


def _mae(rows: Regression) -> MetricEstimate:
    return _mean(rows.sums["abs_e"], rows.sums["e2"], rows.n)


def _mse(rows: Regression) -> MetricEstimate:
    return _mean(rows.sums["e2"], rows.sums["e4"], rows.n)


def _rmse(rows: Regression) -> MetricEstimate:
    mse = _mse(rows)
    value = math.sqrt(mse.centre)
    variance = mse.variance / (4 * mse.centre) if mse.centre > 0 else 0.0
    return MetricEstimate(value, value, variance, "delta method of a square root")


def _r2(rows: Regression) -> MetricEstimate:
    n, s = rows.n, rows.sums
    mean = s["t"] / n
    spread = s["t2"] / n - mean**2
    if n < 2 or spread <= 1e-12 * max(1.0, s["t2"] / n):
        return MetricEstimate(None, undefined_because="all labels are equal")
    # u = (y - mean)^2; its moments about the mean from powers about the centre.
    u2 = s["t4"] / n - 4 * mean * s["t3"] / n + 6 * mean**2 * s["t2"] / n - 3 * mean**4
    eu = s["e2t2"] / n - 2 * mean * s["e2t"] / n + mean**2 * s["e2"] / n
    ratio = s["e2"] / n / spread
    squares = s["e4"] / n - 2 * ratio * eu + ratio**2 * u2
    return MetricEstimate(
        1 - ratio, 1 - ratio, max(0.0, squares) / spread**2 / n, "influence function of a ratio"
    )


_OF_CLASSES: Mapping[str, Callable[[Classification], MetricEstimate]] = {
    "accuracy": _accuracy, "brier": _brier, "log_loss": _log_loss, "precision": _precision,
    "recall": _recall, "f1": _f1, "roc_auc": _roc_auc,
}  # fmt: skip
_OF_NUMBERS: Mapping[str, Callable[[Regression], MetricEstimate]] = {
    "mae": _mae, "mse": _mse, "rmse": _rmse, "r2": _r2,
}  # fmt: skip
