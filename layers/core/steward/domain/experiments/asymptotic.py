"""Asymptotic confidence sequences: the normal mixture on estimates with estimated variance.

With estimate t, variance V and the mixture N(null, K) over the effect, v = K / V,

    log e = v / (2 (1 + v)) (t - null)^2 / V - log(1 + v) / 2,

which inverts to the interval t +- sqrt(V (1 + v) / v (2 log(1 / alpha) + log(1 + v))): Robbins'
normal mixture with a plug-in variance (Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas 2021,
"Time-uniform central limit theory and asymptotic confidence sequences"; with K = rho^2 sigma^2
this is their equation 9). The mixture sequential probability ratio test (mSPRT) is its dual: one
method, listed once. K is fixed in the plan (rule 12).

Asymptotic means: with few events the error rate is not kept (rates of .12 to .35 at a share of
10 percent and rare events), so it starts only at ``MINIMUM_EVENTS`` events in each arm.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from steward.domain.distributions import norm_logcdf
from steward.domain.experiments.estimates import Estimate
from steward.domain.experiments.inference import Interval, checked_alpha

NAME = "asymptotic confidence sequence (normal mixture)"
MINIMUM_EVENTS = 5
"""Events in each arm before the sequence starts (STATISTICS rule 11)."""


def optimal_ratio(alpha: float) -> float:
    """Return v = K / V at which the interval is narrowest: v = 2 log(1 / alpha) + log(1 + v)."""
    base = -2 * math.log(checked_alpha(alpha))
    v = base
    for _ in range(200):
        v = base + math.log1p(v)
    return v


def boundary(alpha: float) -> float:
    """Return the half width in standard errors at the planned n: 3.03 for alpha = .05."""
    return math.sqrt(1 + optimal_ratio(alpha))


def mixture_variance(planned_variance: float, alpha: float) -> float:
    """Return the K that is best when the estimate has the planned variance.

    Args:
        planned_variance: Variance of the estimate at the planned number of units.
        alpha: Error of the sequence.

    Raises:
        ValueError: The variance is not positive.
    """
    if not planned_variance > 0:
        raise ValueError(f"planned_variance must be positive, not {planned_variance!r}")
    return optimal_ratio(alpha) * planned_variance


def started(estimate: Estimate | None) -> bool:
    """Whether there are events enough for the normal approximation, and a variance."""
    return estimate is not None and estimate.events >= MINIMUM_EVENTS and estimate.variance > 0


def log_e(value: float, variance: float, null: float, mixture: float) -> float:
    """Return the log e-value against effect = null, two-sided."""
    v = mixture / variance
    square = (value - null) ** 2 / variance
    return 0.5 * (square * v / (1 + v) - math.log1p(v))


def log_e_above(value: float, variance: float, null: float, mixture: float) -> float:
    """Return the log e-value against effect <= null: the mixture over positive effects alone.

    log e = log 2 + two-sided log e + log Phi((t - null) / sqrt(V) sqrt(v / (1 + v))) (Howard et
    al. 2021, proposition 6, one-sided normal mixture).
    """
    v = mixture / variance
    z = (value - null) / math.sqrt(variance) * math.sqrt(v / (1 + v))
    return math.log(2) + log_e(value, variance, null, mixture) + norm_logcdf(z)


def log_e_below(value: float, variance: float, null: float, mixture: float) -> float:
    """Return the log e-value against effect >= null."""
    return log_e_above(-value, variance, -null, mixture)


def half_width(variance: float, mixture: float, alpha: float) -> float:
    """Return the half width of the interval of one estimate."""
    v = mixture / variance
    return math.sqrt(variance * (1 + v) / v * (2 * math.log(1 / alpha) + math.log1p(v)))


def sequence(steps: Sequence[Estimate | None], mixture: float, alpha: float) -> Interval:
    """Return the confidence sequence of an effect that all steps share.

    Steps are never pooled: each has its own estimate and its e-values are multiplied (rule 8).
    The sum of the log e-values is a parabola in the effect, solved in closed form. A step that
    has not started is left out. Where the steps contradict every effect, the best supported one
    is both limits.

    Raises:
        ValueError: ``mixture`` is not positive.
    """
    if not mixture > 0:
        raise ValueError(f"mixture must be positive, not {mixture!r}")
    limit = -math.log(checked_alpha(alpha))
    usable = [step for step in steps if step is not None and started(step)]
    n = sum(step.n for step in steps if step is not None)
    if not usable:
        return Interval(
            method=NAME, guarantee="asymptotic", peeking="allowed", estimate=None, lower=None,
            upper=None, confidence=1 - alpha, n=n,
            waits_for=f"{MINIMUM_EVENTS} events in each arm",
        )  # fmt: skip
    weights = [0.5 * mixture / ((mixture + step.variance) * step.variance) for step in usable]
    whole = math.fsum(weights)
    centre = math.fsum(w * s.value for w, s in zip(weights, usable, strict=True)) / whole
    at_centre = math.fsum(log_e(s.value, s.variance, centre, mixture) for s in usable)
    half = math.sqrt(max(0.0, (limit - at_centre) / whole))
    return Interval(
        method=NAME, guarantee="asymptotic", peeking="allowed", estimate=centre,
        lower=centre - half, upper=centre + half, confidence=1 - alpha, n=n,
    )  # fmt: skip
