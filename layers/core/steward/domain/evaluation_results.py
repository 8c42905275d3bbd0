"""What an evaluation finds: metrics with intervals, slices, calibration or residuals."""

from __future__ import annotations

import math
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

Metric = Literal["brier", "log_loss", "accuracy", "roc_auc", "rmse", "mae", "r2"]
Task = Literal["binary", "regression"]

REGRESSION_METRICS: tuple[Metric, ...] = ("rmse", "mae", "r2")
METRICS: tuple[Metric, ...] = tuple(m for m in get_args(Metric) if m not in REGRESSION_METRICS)
"""Metrics of a probability."""
RANGES: dict[Metric, tuple[float, float]] = {
    "brier": (0, 1), "log_loss": (0, math.inf), "accuracy": (0, 1), "roc_auc": (0, 1),
    "rmse": (0, math.inf), "mae": (0, math.inf), "r2": (-math.inf, 1),
}  # fmt: skip
"""The least and the greatest value that a metric can have."""
LOWER_IS_BETTER: frozenset[str] = frozenset({"brier", "log_loss", "rmse", "mae"})


class _Result(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class MetricEstimate(_Result):
    """A metric and its central percentile bootstrap interval."""

    metric: Metric
    value: float | None = Field(description="None where the metric is undefined")
    lower: float | None = Field(description="None where there is no interval")
    upper: float | None
    undefined_because: str | None = Field(
        default=None, description="why there is no value, or a value without an interval"
    )


class SliceEvaluation(_Result):
    """The same metrics on the rows of one slice."""

    column: str
    value: str
    rows: int
    positives: int | None = Field(default=None, description="None of a regression")
    judged: bool = Field(description="False below the minimum number of rows: read, do not act")
    metrics: list[MetricEstimate]


class CalibrationPoint(_Result):
    """Rows of similar probability: what was predicted and what came true."""

    rows: int
    mean_predicted: float
    observed_rate: float
    lower: float = Field(description="95 % Wilson limit of the observed rate")
    upper: float


class ResidualPoint(_Result):
    """Rows of similar prediction: label minus prediction, in the unit of the label."""

    rows: int
    mean_predicted: float
    mean_residual: float
    lower: float | None = Field(description="95 % limit of the mean; None of a single row")
    upper: float | None
    low: float = Field(description="a tenth of the residuals lies below")
    high: float = Field(description="a tenth of the residuals lies above")


class Evaluation(_Result):
    """One version on one set of held-out rows."""

    task: Task = "binary"
    rows: int
    entities: int
    positives: int | None = Field(default=None, description="None of a regression")
    confidence: float = Field(description="two-sided level of all metric intervals")
    bootstrap_samples: int
    seed: int
    metrics: list[MetricEstimate]
    slices: list[SliceEvaluation]
    calibration: list[CalibrationPoint] = Field(default_factory=list)
    residuals: list[ResidualPoint] = Field(
        default_factory=list, description="of a regression, by prediction"
    )

    def metric(self, name: Metric) -> MetricEstimate:
        """Return one metric over all rows."""
        return next(estimate for estimate in self.metrics if estimate.metric == name)


def interval_of(
    metric: Metric,
    value: float,
    interval: tuple[float, float] | None,
    undefined_because: str,
    no_interval_because: str | None = None,
) -> MetricEstimate:
    """Return a metric with its interval, whose limits are values that the metric can have.

    Args:
        metric: Its name.
        value: Its value, NaN where it is undefined.
        interval: None where nothing tells it.
        undefined_because: Told where it is undefined.
        no_interval_because: Told where there is no interval; without it no replicate of the
            bootstrap has the metric.
    """
    if math.isnan(value):
        return MetricEstimate(
            metric=metric, value=None, lower=None, upper=None, undefined_because=undefined_because
        )
    if interval is None:
        why = no_interval_because or "no replicate of the bootstrap has it"
        return MetricEstimate(
            metric=metric, value=float(value), lower=None, upper=None, undefined_because=why
        )
    least, greatest = RANGES[metric]
    return MetricEstimate(
        metric=metric, value=float(value), lower=max(interval[0], least),
        upper=min(interval[1], greatest),
    )  # fmt: skip
