"""What a gate may conclude from a bias metric: interval against bounds, never a point estimate.

Point estimates fail fair models: disparate impact leaves .8 to 1.25 in 26 % of fair models with
50 rows a group. So a bound is kept only if the whole interval is inside, broken only if the whole
interval is outside, and in between nothing is proved.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from steward.domain.bias.report import BiasMetric
from steward.domain.bias.two_facets import METRICS
from steward.domain.errors import RejectedError

MINIMUM_ROWS = 100
"""Rows of the metric's own denominator below which nothing is concluded."""

Verdict = Literal["pass", "fail", "inconclusive"]


class BiasBound(BaseModel):
    """Where a metric has to lie.

    Attributes:
        metric: Name of the metric.
        min: Lowest value that is kept.
        max: Highest value that is kept.
        minimum_rows: Rows of the metric's own denominator.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    metric: str
    min: float | None = Field(default=None, allow_inf_nan=False)
    max: float | None = Field(default=None, allow_inf_nan=False)
    minimum_rows: int = Field(default=MINIMUM_ROWS, ge=1)

    @model_validator(mode="after")
    def _has_room(self) -> BiasBound:
        if self.metric not in METRICS:
            raise ValueError(f"no metric {self.metric}; there are {', '.join(METRICS)}")
        if self.min is None and self.max is None:
            raise ValueError("a bound needs min or max")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}")
        return self


class BiasVerdict(BaseModel):
    """What one bound concludes, with the sentence for people."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    metric: str
    verdict: Verdict
    reason: str


def judge_metric(metric: BiasMetric, bound: BiasBound) -> BiasVerdict:
    """Compare an interval with a bound.

    Raises:
        RejectedError: They are of different metrics.
    """
    if metric.name != bound.metric:
        raise RejectedError(
            "a bound judges its own metric only",
            field="metric", value=metric.name, allowed=bound.metric,
        )  # fmt: skip
    if metric.value is None:
        return _verdict(bound, "inconclusive", f"undefined: {metric.undefined_because}")
    if metric.rows < bound.minimum_rows:
        told = f"{metric.rows} rows in the smaller facet, needs {bound.minimum_rows}"
        return _verdict(bound, "inconclusive", told)
    if metric.lower is None or metric.upper is None:
        return _verdict(bound, "inconclusive", "too few resamples define an interval")
    interval = f"{metric.value:.4g} ({metric.lower:.4g} to {metric.upper:.4g})"
    low = bound.min if bound.min is not None else float("-inf")
    high = bound.max if bound.max is not None else float("inf")
    allowed = " to ".join(
        "" if bound_ is None else f"{bound_:g}" for bound_ in (bound.min, bound.max)
    ).strip()
    if low <= metric.lower and metric.upper <= high:
        return _verdict(bound, "pass", f"{interval} is within {allowed}")
    if metric.upper < low or metric.lower > high:
        return _verdict(bound, "fail", f"{interval} is outside {allowed}")
    return _verdict(bound, "inconclusive", f"{interval} reaches across {allowed}")


def _verdict(bound: BiasBound, verdict: Verdict, reason: str) -> BiasVerdict:
    return BiasVerdict(metric=bound.metric, verdict=verdict, reason=f"{bound.metric} {reason}")
