"""Bounded metrics: confidence sequences from a mixture of constant bets on frozen histograms.

For values z >= floor with mean m, 1 - c + c (z - floor) / (m - floor) has mean 1 for every
fraction 0 < c < 1: the fortune of who stakes the fraction c on "the mean is above m" is a
martingale if it is m, a supermartingale if it is less (Waudby-Smith & Ramdas 2024, "Estimating
means of bounded random variables by betting", JRSS B 86). A mixture over a fixed grid of
fractions is one too, and unlike plug-in bets it does not depend on the order of the data, so
that it is a function of the frozen histogram (STATISTICS rule 11). As the fortune falls in m,
the lower limit is where it crosses 2 / alpha; the upper limit mirrors it. Exact at every n.

Two arms: with candidate share s and a centre fixed in the plan, the scores

    z = (y - centre) / s       of a unit of the candidate,
    z = -(y - centre) / (1-s)  of a unit of the stable arm

have the mean mu_candidate - mu_stable over all units by randomisation alone, whatever the base
rate does, and are bounded (inverse propensity weighting; augmented by a constant). One fortune
runs through steps of different shares.

Values within a bin are rounded to its lower edge for lower limits and to its upper edge for
upper limits: limits only move outward.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from steward.domain.distributions import bisect
from steward.domain.experiments.arm_statistics import Histogram
from steward.domain.experiments.inference import Interval, checked_alpha

NAME = "betting mixture confidence sequence"
Floats = NDArray[np.float64]

FRACTIONS: Floats = np.geomspace(1e-4, 0.9, 33).astype(np.float64)
_MOST = 0.9
_SPREAD = 0.7


@dataclass(frozen=True)
class Bets:
    """The fixed grid of bets with its weights; one that follows the data has no guarantee.

    Attributes:
        stakes: Bets per unit of score; in a step with floor f the staked fraction is
            stake (reference - f), at most .9. None: ``FRACTIONS`` in every step.
        weights: Weight of each bet; they sum to 1.
    """

    stakes: Floats | None
    weights: Floats
    reference: float = 0.0

    def fractions(self, floor: float) -> Floats:
        """Return the staked fractions in a step of that floor."""
        if self.stakes is None:
            return FRACTIONS
        return np.clip(self.stakes * (self.reference - floor), 0.0, _MOST)


UNTUNED = Bets(None, np.full(FRACTIONS.size, 1 / FRACTIONS.size))
"""Good at any number of units, best at none: its boundary is about 3.6 standard errors."""


def tuned(stake: float, reference: float = 0.0) -> Bets:
    """Return bets that are best near the planned size, and still good a factor of 30 away.

    Four fifths of the weight are log-normal about the stake, one fifth is spread evenly.

    Raises:
        ValueError: The stake is not positive.
    """
    if not 0 < stake < math.inf:
        raise ValueError(f"stake must be positive, not {stake!r}")
    offsets = np.linspace(-math.log(30), math.log(30), 33)
    near = np.exp(-0.5 * (offsets / _SPREAD) ** 2)
    weights = 0.8 * near / near.sum() + 0.2 / offsets.size
    return Bets(stake * np.exp(offsets), weights.astype(np.float64), reference)


@dataclass(frozen=True)
class Scores:
    """Values with their counts in one step, and what no value can lie below.

    Attributes:
        counts: Units at each value; leading axes are repetitions of a simulation.
    """

    values: Floats
    counts: Floats
    floor: float

    @property
    def total(self) -> float:
        """Sum of the scores."""
        return float(self.counts @ self.values)


@dataclass(frozen=True)
class Arms:
    """Histograms of both arms in one step; ``share`` as in ``beta_binomial.Pair``."""

    candidate: Histogram
    stable: Histogram
    share: float


def log_fortune(steps: Sequence[Scores], mean: float, bets: Bets = UNTUNED) -> Floats:
    """Return the log fortune of the bets on a mean above ``mean``: the log e-value against <=.

    Raises:
        ValueError: ``mean`` is not above a floor, where the bet has no meaning.
    """
    wealth: Floats = np.log(bets.weights)
    for step in steps:
        if mean <= step.floor:
            raise ValueError(f"mean must lie above the floor {step.floor!r}, not {mean!r}")
        gains = (step.values - step.floor) / (mean - step.floor) - 1
        per_value = np.log1p(bets.fractions(step.floor) * gains[:, None])
        wealth = wealth + step.counts @ per_value
    top = wealth.max(axis=-1)
    mixed: Floats = top + np.log(np.exp(wealth - top[..., None]).sum(axis=-1))
    return mixed


def lower_scores(histogram: Histogram) -> Scores:
    """Return one arm's values, each rounded down within its bin."""
    return Scores(
        np.array(histogram.edges[:-1]), np.array(histogram.clipped, float), histogram.edges[0]
    )


def upper_scores(histogram: Histogram) -> Scores:
    """Return one arm's values mirrored (-y), each y rounded up within its bin."""
    return Scores(
        -np.array(histogram.edges[1:]), np.array(histogram.clipped, float), -histogram.edges[-1]
    )


def difference_scores(arms: Arms, centre: float) -> Scores:
    """Return the scores of candidate minus stable, rounded down; swap the arms for the mirror.

    Raises:
        ValueError: The share is not between 0 and 1, or the bounds of the arms differ.
    """
    share, candidate, stable = arms.share, arms.candidate, arms.stable
    if not 0 < share < 1:
        raise ValueError(f"share must lie between 0 and 1, not {share!r}")
    if candidate.edges != stable.edges:
        raise ValueError("both arms need the same edges")
    values = np.concatenate(
        [
            (np.array(candidate.edges[:-1]) - centre) / share,
            -(np.array(stable.edges[1:]) - centre) / (1 - share),
        ]
    )
    counts = np.array(candidate.clipped + stable.clipped, float)
    floor = min((candidate.edges[0] - centre) / share, -(stable.edges[-1] - centre) / (1 - share))
    return Scores(values, counts, floor)


def _mirrored(arms: Arms) -> Arms:
    return Arms(arms.stable, arms.candidate, 1 - arms.share)


def log_e_above(
    steps: Sequence[Arms],
    difference: float,
    centre: float,
    bets: Bets = UNTUNED,
    *,
    scale: float = 1.0,
) -> float:
    """Return the log e-value against mu_candidate - mu_stable <= difference.

    Args:
        steps: Both arms per step.
        difference: The null.
        centre: As in :func:`difference_sequence`.
        bets: As in :func:`difference_sequence`.
        scale: Multiplies all counts: plans take expected counts, which are no whole numbers.
    """
    scores = [difference_scores(step, centre) for step in steps]
    scaled = [Scores(s.values, s.counts * scale, s.floor) for s in scores]
    return float(log_fortune(scaled, difference, bets))


def log_e_below(
    steps: Sequence[Arms], difference: float, centre: float, bets: Bets = UNTUNED
) -> float:
    """Return the log e-value against mu_candidate - mu_stable >= difference."""
    return log_e_above([_mirrored(step) for step in steps], -difference, centre, bets)


def mean_sequence(histograms: Sequence[Histogram], alpha: float, bets: Bets = UNTUNED) -> Interval:
    """Return the confidence sequence of one arm's mean, over all steps.

    Args:
        histograms: One per step.
        alpha: Error, two-sided.
        bets: Fixed in the plan. The reference of the mirrored bets is the mirrored one.

    Raises:
        ValueError: The edges of the steps differ.
    """
    low, high = _range(histograms)
    n = sum(h.total for h in histograms)
    return _sequence(
        NAME,
        ([lower_scores(h) for h in histograms], bets),
        ([upper_scores(h) for h in histograms], replace(bets, reference=-bets.reference)),
        (low, high),
        alpha,
        n,
    )


def difference_sequence(
    steps: Sequence[Arms], alpha: float, centre: float, bets: Bets = UNTUNED
) -> Interval:
    """Return the confidence sequence of mu_candidate - mu_stable, through all steps.

    Args:
        steps: Both arms' histograms per step, with the candidate's share.
        alpha: Error, two-sided.
        centre: Expected mean, fixed in the plan; the nearer it is, the narrower the sequence.
        bets: Fixed in the plan.

    Raises:
        ValueError: The edges of arms or steps differ, or a share is not between 0 and 1.
    """
    low, high = _range([step.candidate for step in steps])
    width = high - low
    return _sequence(
        NAME + " of a difference",
        ([difference_scores(step, centre) for step in steps], bets),
        ([difference_scores(_mirrored(step), centre) for step in steps], bets),
        (-width, width),
        alpha,
        sum(s.candidate.total + s.stable.total for s in steps),
    )


def _range(histograms: Sequence[Histogram]) -> tuple[float, float]:
    edges = {h.edges for h in histograms}
    if len(edges) != 1:
        raise ValueError("all steps need the same edges")
    (common,) = edges
    return common[0], common[-1]


def _sequence(
    method: str,
    lower: tuple[Sequence[Scores], Bets],
    upper: tuple[Sequence[Scores], Bets],
    bounds: tuple[float, float],
    alpha: float,
    n: int,
) -> Interval:
    limit = math.log(2 / checked_alpha(alpha))
    low, high = bounds
    estimate = None
    if n:
        middle = 0.5 * sum(s.total for s in lower[0]) - 0.5 * sum(s.total for s in upper[0])
        estimate = min(high, max(low, middle / n))
    return Interval(
        method=method, guarantee="exact", peeking="allowed", estimate=estimate,
        lower=_crossing(lambda m: float(log_fortune(lower[0], m, lower[1])), low, high, limit),
        upper=-_crossing(lambda m: float(log_fortune(upper[0], m, upper[1])), -high, -low, limit),
        confidence=1 - alpha, n=n,
    )  # fmt: skip


def _crossing(falling: Callable[[float], float], low: float, high: float, limit: float) -> float:
    """Return the largest m with falling(m) >= limit, or ``low`` where there is none."""
    start = low + 1e-12 * (high - low)
    if falling(start) < limit:
        return low
    return bisect(lambda m: limit - falling(m), start, high)
