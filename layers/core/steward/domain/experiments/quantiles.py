"""Quantiles of latency from counts at fixed log-spaced edges, at any time.

q is the p-quantile exactly if a unit is at most q with probability p; so the beta-binomial mixture
at p of the count at an edge says whether q may lie beyond it (Howard & Ramdas 2022, "Sequential
estimation of quantiles with applications to A/B testing and best-arm identification", Bernoulli
28). Counts at edges are exact, and limits are rounded outward to the next edge.

Requests of one moment share their fate (a cold host, a slow dependency), so that they are not
independent. What decides is therefore the paired comparison of time blocks, in which both arms
ran side by side (rule 16); cold starts are counted apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from steward.domain.experiments import betting
from steward.domain.experiments.arm_statistics import Histogram, histogram_of
from steward.domain.experiments.beta_binomial import Counts, Prior, log_mixture
from steward.domain.experiments.inference import Interval, checked_alpha

NAME = "quantile confidence sequence (beta-binomial)"
BLOCK_EDGES = tuple(step / 200 for step in range(-200, 201))
"""Edges of the difference in the share of slow requests of a block."""


class Block(NamedTuple):
    """One time block: requests of each arm, and how many were slower than the limit."""

    candidate: Counts
    stable: Counts


def log_spaced_edges(lowest: float, highest: float, step: float = 1.02) -> tuple[float, ...]:
    """Return edges from lowest to at least highest, each ``step`` times the one before.

    Raises:
        ValueError: 0 < lowest < highest or 1 < step <= 1.02 does not hold.
    """
    if not (0 < lowest < highest and 1 < step <= 1.02):
        raise ValueError(
            "edges must keep 0 < lowest < highest and 1 < step <= 1.02, "
            f"not {lowest!r}, {highest!r}, {step!r}"
        )
    count = math.ceil(math.log(highest / lowest) / math.log(step) - 1e-9)
    return tuple(lowest * step**position for position in range(count + 1))


def quantile_sequence(
    histogram: Histogram, p: float, alpha: float, concentration: float = 100.0
) -> Interval:
    """Return the confidence sequence of the p-quantile of independent units.

    Args:
        histogram: Counts at fixed edges.
        p: Which quantile, between 0 and 1.
        alpha: Error, two-sided.
        concentration: Prior successes plus failures, about p: fixed in the plan.

    Returns:
        ``lower`` or ``upper`` is None where the limit lies beyond the outermost edge or is not
        known yet; the estimate is the lowest edge with at least p of the units below it.

    Raises:
        ValueError: p or alpha is not between 0 and 1.
    """
    limit = -math.log(checked_alpha(alpha))
    if not 0 < p < 1:
        raise ValueError(f"p must lie between 0 and 1, not {p!r}")
    n = histogram.total
    prior = Prior(concentration * p, concentration * (1 - p))
    lower = upper = estimate = None
    for position, edge in enumerate(histogram.edges):
        count = histogram.at_most(position)
        excluded = log_mixture(Counts(count, n), p, prior) >= limit
        if n and estimate is None and count >= p * n:
            estimate = edge
        if excluded and count < p * n:
            lower = edge
        if excluded and count > p * n:
            upper = edge
            break
    return Interval(
        method=NAME, guarantee="exact", peeking="allowed", estimate=estimate, lower=lower,
        upper=upper, confidence=1 - alpha, n=n,
    )  # fmt: skip


def block_differences(blocks: Sequence[Block]) -> Histogram:
    """Return the histogram of share slow (candidate) - share slow (stable) per time block.

    Blocks in which an arm had no request are left out: nothing ran side by side.
    """
    return histogram_of(
        [
            block.candidate.successes / block.candidate.n - block.stable.successes / block.stable.n
            for block in blocks
            if block.candidate.n and block.stable.n
        ],
        BLOCK_EDGES,
    )


def slow_share_sequence(blocks: Sequence[Block], alpha: float) -> Interval:
    """Return the paired confidence sequence of the difference in the share of slow requests.

    With the limit at the stable version's p95, a difference above 0 says that more than 5 percent
    of the candidate's answers are slower than that: its p95 is worse. Exact for blocks whose
    mean difference does not depend on the past.
    """
    found = betting.mean_sequence([block_differences(blocks)], alpha)
    return found.model_copy(update={"method": betting.NAME + " of paired time blocks"})
