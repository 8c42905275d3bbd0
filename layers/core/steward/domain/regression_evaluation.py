"""What a regression is worth on held-out rows: metrics with intervals, and its residuals."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from steward.domain.evaluation_results import (
    REGRESSION_METRICS,
    MetricEstimate,
    ResidualPoint,
    interval_of,
)
from steward.domain.losses import row_losses
from steward.domain.time_blocks import Days, replicated

Floats = NDArray[np.float64]
_Z_95 = 1.959963984540054


def estimate_regression(
    labels: Floats,
    predictions: Floats,
    codes: NDArray[np.intp],
    days: Days | None = None,
    *,
    confidence: float,
    samples: int,
    seed: int,
) -> list[MetricEstimate]:
    """Return all metrics of a regression with percentile bootstrap intervals.

    With ``days`` the intervals are those of rows that share their days
    (:class:`steward.domain.time_blocks.Replicates`).

    With label y and prediction p of n rows:

    - ``rmse``: sqrt(mean (p - y)^2).
    - ``mae``: mean abs(p - y).
    - ``r2``: 1 - sum (p - y)^2 / sum (y - mean y)^2, the coefficient of determination of rows that
      trained nothing: 0 is the mean of these rows, below 0 is worse than it. Undefined where all
      labels are equal; so is a replicate, which then does not count.
    """
    codes = np.unique(codes, return_inverse=True)[1]
    centred = labels - labels.mean()
    columns = np.column_stack(
        [
            row_losses("squared_error", labels, predictions),
            row_losses("absolute_error", labels, predictions),
            centred,
            centred * centred,
        ]
    )

    def measure(weights: Floats) -> Floats:
        rows = weights.sum(axis=1)
        squared, absolute, first, second = (weights @ columns / rows[:, None]).T
        spread = second - first * first
        known = spread > 1e-12 * second
        explained = np.full(rows.size, np.nan)
        np.divide(squared, spread, out=explained, where=known)
        return np.column_stack([np.sqrt(squared), absolute, 1 - explained])

    values = measure(np.ones((1, labels.size)))[0]
    drawn = replicated(measure, codes, days, samples=samples, seed=seed)
    why = f"all {labels.size} labels are equal"
    return [
        interval_of(
            metric, values[column], drawn.interval(column, values[column], confidence), why,
            drawn.too_few,
        )
        for column, metric in enumerate(REGRESSION_METRICS)
    ]  # fmt: skip


def residual_points(
    labels: Floats, predictions: Floats, *, points: int = 10
) -> list[ResidualPoint]:
    """Return the residuals, label minus prediction, in bins of about equally many rows.

    Bins end at quantiles of the prediction and equal predictions share a bin; each aims at ten
    rows or more. The limits of a mean are those of the normal distribution at 95 %.
    """
    bins = int(np.clip(labels.size // 10, 1, points))
    edges = np.unique(np.quantile(predictions, np.arange(1, bins) / bins))
    index = np.searchsorted(edges, predictions, side="left")
    residuals = labels - predictions
    found = []
    for bin_ in np.unique(index):
        inside = residuals[index == bin_]
        mean, half = float(inside.mean()), None
        if inside.size > 1:
            half = _Z_95 * float(inside.std(ddof=1)) / float(np.sqrt(inside.size))
        low, high = np.quantile(inside, [0.1, 0.9])
        found.append(
            ResidualPoint(
                rows=inside.size,
                mean_predicted=float(predictions[index == bin_].mean()),
                mean_residual=mean,
                lower=None if half is None else mean - half,
                upper=None if half is None else mean + half,
                low=float(low),
                high=float(high),
            )
        )
    return found
