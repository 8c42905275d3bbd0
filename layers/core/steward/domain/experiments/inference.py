"""What every method answers with: its standard name, its guarantee, whether one may peek."""

from __future__ import annotations

from typing import Literal

from steward.domain.experiments.arm_statistics import Frozen

Guarantee = Literal["exact", "asymptotic", "bayesian"]
"""Exact holds at every sample size; asymptotic as n grows; bayesian given its prior."""

Peeking = Literal["allowed", "at_planned_looks", "not_allowed"]
"""Whether the stated error rate survives looking at any time, at declared looks, or once."""


class Interval(Frozen):
    """Limits of a quantity.

    Attributes:
        method: Standard name, such as ``beta-binomial mixture confidence sequence``.
        estimate: Point estimate in the unit of the metric; None before there is one.
        lower: Lower limit; None where there is none yet.
        upper: Upper limit; None where there is none yet.
        confidence: 1 - alpha, two-sided.
        n: Units that the interval is made of.
        waits_for: What is missing before the method may start; None once it has.
    """

    method: str
    guarantee: Guarantee
    peeking: Peeking
    estimate: float | None
    lower: float | None
    upper: float | None
    confidence: float
    n: int
    waits_for: str | None = None


class Evidence(Frozen):
    """An e-value against a null hypothesis: by Ville, P(ever >= 1/alpha) <= alpha under it.

    Attributes:
        log_e: Natural logarithm of the e-value; 0 is no evidence.
        null: The hypothesis, in words.
    """

    method: str
    guarantee: Guarantee
    peeking: Peeking = "allowed"
    log_e: float
    null: str
    n: int


class SignificanceTest(Frozen):
    """A fixed-horizon test; its p-value is right at one look that was planned beforehand.

    Attributes:
        statistic: z, t or U, as the method's name says.
        p_value: Two-sided.
        estimate: Difference candidate minus stable, in the unit of the metric.
    """

    method: str
    guarantee: Guarantee
    peeking: Peeking = "not_allowed"
    statistic: float
    p_value: float
    estimate: float
    lower: float | None = None
    upper: float | None = None


def checked_alpha(alpha: float) -> float:
    """Return alpha.

    Raises:
        ValueError: It is not between 0 and 1.
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie between 0 and 1, not {alpha!r}")
    return alpha
