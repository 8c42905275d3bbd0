"""Realised performance of a window of labelled predictions against the baseline's.

The baseline comes from held-out rows (rule 24) and has an uncertainty of its own: both sides enter
(rule 26). A margin says how much worse is still as declared. The verdict of one window is right
at one look; over time see ``performance_alarm``.
"""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict

from steward.domain.distributions import norm_ppf
from steward.domain.monitoring.metric_estimates import (
    CLASSIFICATION_METRICS,
    HIGHER_IS_BETTER,
    REGRESSION_METRICS,
    Metric,
    MetricEstimate,
    measured,
)
from steward.domain.monitoring.performance_statistics import (
    Classification,
    Regression,
    comparable,
)

Verdict = Literal["worse", "held", "inconclusive"]

MINIMUM_LABELS = 30
"""Rows that either side needs before anything is judged."""
_POWER = 0.8


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class MetricVerdict(_Frozen):
    """One metric of a window against the baseline.

    Attributes:
        verdict: ``worse`` when the loss is proved larger than the margin, ``held`` when it is
            proved smaller, else ``inconclusive``.
        method: Standard name of the interval.
        guarantee: All intervals of one window are asymptotic.
        current: The metric in the window; None where it is undefined.
        baseline: The metric on held-out rows.
        worsening: Current against baseline, positive where it is worse, unit of the metric.
        lower: One-sided lower limit of the worsening.
        upper: One-sided upper limit.
        confidence: Of either limit, after the share among the deciding metrics.
        detectable: The worsening that a window like this one calls ``worse`` in 8 of 10 cases.
        n: Labelled rows of the window.
        needs: Labelled rows with which an unchanged model is proved ``held`` in 8 of 10 cases;
            None where no number does, or none is needed.
        reason: Why it is inconclusive.
    """

    metric: Metric
    verdict: Verdict
    method: str
    guarantee: Literal["asymptotic"] = "asymptotic"
    current: float | None
    baseline: float | None
    worsening: float | None = None
    lower: float | None = None
    upper: float | None = None
    margin: float
    confidence: float
    detectable: float | None = None
    n: int
    needs: int | None = None
    reason: str | None = None


def judged(
    current: Classification | Regression,
    baseline: Classification | Regression,
    margins: dict[Metric, float],
    *,
    confidence: float = 0.95,
    minimum: int = MINIMUM_LABELS,
) -> list[MetricVerdict]:
    """Return a verdict for each deciding metric; the error is shared among them (Bonferroni).

    With w the worsening and s^2 = v_current + v_baseline, limits are w -+ z s. Accuracy, precision
    and recall get a success and a failure more on either side (A. Agresti and B. Caffo, The
    American Statistician 54 (2000)), so that few errors are no certainty.

    Args:
        current: Statistics of the window.
        baseline: Of held-out rows.
        margins: Per deciding metric what it may lose, in its unit.
        confidence: One-sided, over all deciding metrics together.
        minimum: Rows that either side needs; never below ``MINIMUM_LABELS``.

    Raises:
        ValueError: A metric is not one of this kind of model, a margin is negative, there is no
            metric, or the confidence is not in [0.5, 1).
    """
    if not margins or not 0.5 <= confidence < 1:
        raise ValueError("there must be a deciding metric and a confidence in [0.5, 1)")
    level = 1 - (1 - confidence) / len(margins)
    least = max(minimum, MINIMUM_LABELS)
    return [
        _judged(metric, current, baseline, margin, level, least)
        for metric, margin in margins.items()
    ]


def _judged(
    metric: Metric,
    current: Classification | Regression,
    baseline: Classification | Regression,
    margin: float,
    level: float,
    minimum: int,
) -> MetricVerdict:
    _checked(metric, current, baseline, margin)
    now, before = measured(current, metric), measured(baseline, metric)
    verdict = MetricVerdict(
        metric=metric, verdict="inconclusive", method=now.method, current=now.value,
        baseline=before.value, margin=margin, confidence=level, n=current.n,
    )  # fmt: skip
    for name, side, estimate in (("window", current, now), ("baseline", baseline, before)):
        if side.n < minimum:
            needs = minimum if side is current else None
            reason = f"the {name} has {side.n} labelled rows, {minimum} are needed"
            return verdict.model_copy(update={"needs": needs, "reason": reason})
        if estimate.undefined_because is not None:
            return verdict.model_copy(
                update={"reason": f"in the {name} {estimate.undefined_because}"}
            )
    return _with_limits(verdict, now, before, level)


def _with_limits(
    verdict: MetricVerdict, now: MetricEstimate, before: MetricEstimate, level: float
) -> MetricVerdict:
    sign = -1 if HIGHER_IS_BETTER[verdict.metric] else 1
    worsening = sign * (now.centre - before.centre)
    error = math.sqrt(now.variance + before.variance)
    z = norm_ppf(level)
    lower, upper = worsening - z * error, worsening + z * error
    found: Verdict = "inconclusive"
    if lower > verdict.margin:
        found = "worse"
    elif upper < verdict.margin:
        found = "held"
    needs, reason = None, None
    if found == "inconclusive":
        needs = _needed(verdict.margin, now.variance * verdict.n, before.variance, level)
        reason = "the interval holds the margin" + (
            "" if needs is not None else "; no number of labels helps with so small a baseline"
        )
    return verdict.model_copy(
        update={
            "verdict": found, "worsening": worsening, "lower": lower, "upper": upper,
            "detectable": verdict.margin + (z + norm_ppf(_POWER)) * error,
            "needs": needs, "reason": reason,
        }
    )  # fmt: skip


def _needed(
    margin: float, row_variance: float, baseline_variance: float, level: float
) -> int | None:
    z = norm_ppf(level) + norm_ppf(_POWER)
    room = (margin / z) ** 2 - baseline_variance
    if room <= 0:
        return None
    return max(MINIMUM_LABELS, math.ceil(row_variance / room))


def _checked(
    metric: Metric,
    current: Classification | Regression,
    baseline: Classification | Regression,
    margin: float,
) -> None:
    comparable(current, baseline)
    known = CLASSIFICATION_METRICS if isinstance(current, Classification) else REGRESSION_METRICS
    if metric not in known:
        raise ValueError(f"metric must be one of {', '.join(known)}, not {metric!r}")
    if not margin >= 0:
        raise ValueError(f"margin of {metric} must not be negative, not {margin!r}")
