"""Intervals of proportions and of their differences, from counts alone."""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist


def wilson_interval(successes: int, trials: int, confidence: float) -> tuple[float, float]:
    """Return the two-sided score interval of a proportion (Wilson, JASA 22, 1927).

    Raises:
        ValueError: There are no trials.
    """
    if trials <= 0:
        raise ValueError("a proportion needs at least one trial")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = successes / trials
    centre = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z / (1 + z**2 / trials) * sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def difference_interval(
    first: tuple[int, int], second: tuple[int, int], confidence: float
) -> tuple[float, float]:
    """Return the interval of a difference of two independent proportions.

    Newcombe's hybrid score interval, method 10 of R. G. Newcombe, Statistics in Medicine 17
    (1998): the squared distances to the two Wilson limits are added.

    Args:
        first: Successes and trials of the proportion that is reduced.
        second: The same of the one that is subtracted.
        confidence: Two-sided level.
    """
    share_1, share_2 = first[0] / first[1], second[0] / second[1]
    low_1, high_1 = wilson_interval(*first, confidence)
    low_2, high_2 = wilson_interval(*second, confidence)
    gap = share_1 - share_2
    return (
        gap - sqrt((share_1 - low_1) ** 2 + (high_2 - share_2) ** 2),
        gap + sqrt((high_1 - share_1) ** 2 + (share_2 - low_2) ** 2),
    )
