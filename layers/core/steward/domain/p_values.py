"""Small-sample-safe tests on counts, without scipy: two samples given as counts on shared bins.

The tests compare these functions with scipy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
_SMALLEST = 1e-300


def two_sided(z: float) -> float:
    """Return the two-sided p-value of a standard normal statistic."""
    return math.erfc(abs(z) / math.sqrt(2))


def chi_square_sf(x: float, degrees: int) -> float:
    """Return the upper tail of the chi-square distribution: the regularised upper gamma function.

    Series below the mode, Lentz's continued fraction above it (Numerical Recipes 6.2).
    """
    if x < _SMALLEST or degrees <= 0:
        return 1.0
    a, half = degrees / 2, x / 2
    scale = math.exp(-half + a * math.log(half) - math.lgamma(a))
    if half < a + 1:
        term = total = 1 / a
        n = a
        while abs(term) > abs(total) * 1e-16:
            n += 1
            term *= half / n
            total += term
        return max(0.0, 1 - total * scale)
    b = half + 1 - a
    c, d = 1 / _SMALLEST, 1 / b
    h = d
    for i in range(1, 10_000):
        step = -i * (i - a)
        b += 2
        d = 1 / (step * d + b)
        c = b + step / c
        h *= d * c
        if abs(d * c - 1) < 1e-15:
            break
    return scale * h


def _permutation_p(new: Counts, old: Counts, scores: NDArray[np.float64]) -> float:
    """Return the p-value of a linear rank statistic under permutation of the two samples."""
    n, m = int(new.sum()), int(old.sum())
    both = (new + old).astype(np.float64)
    total = n + m
    mean = float(both @ scores) / total
    spread = float(both @ (scores - mean) ** 2)
    if n == 0 or m == 0 or spread <= 0:
        return 1.0
    variance = n * m / (total * (total - 1)) * spread
    return two_sided((float(new @ scores) - n * mean) / math.sqrt(variance))


def _mid_ranks(new: Counts, old: Counts) -> NDArray[np.float64]:
    both = (new + old).astype(np.float64)
    return np.cumsum(both) - both / 2 + 0.5


def rank_sum_p(new: Counts, old: Counts) -> float:
    """Return Wilcoxon's rank-sum test with ties, normal approximation, no correction."""
    return _permutation_p(new, old, _mid_ranks(new, old))


def scale_p(new: Counts, old: Counts) -> float:
    """Return Mood's test of scale with ties: squared distance of the ranks from their centre."""
    centre = (float(new.sum() + old.sum()) + 1) / 2
    return _permutation_p(new, old, (_mid_ranks(new, old) - centre) ** 2)


def homogeneity_p(new: Counts, old: Counts) -> float:
    """Return the chi-square test of homogeneity; both samples over the same cells."""
    n, m = float(new.sum()), float(old.sum())
    both = (new + old).astype(np.float64)
    kept = both > 0
    if n == 0 or m == 0 or kept.sum() < 2:
        return 1.0
    expected_new, expected_old = both[kept] * n / (n + m), both[kept] * m / (n + m)
    statistic = float(
        ((new[kept] - expected_new) ** 2 / expected_new).sum()
        + ((old[kept] - expected_old) ** 2 / expected_old).sum()
    )
    return chi_square_sf(statistic, int(kept.sum()) - 1)


def merged(new: Counts, old: Counts, cells: int) -> tuple[Counts, Counts]:
    """Merge neighbouring bins to at most ``cells``, each with an expected count of 5 or more."""
    total = int(new.sum() + old.sum())
    smaller = min(int(new.sum()), int(old.sum()))
    if smaller == 0:
        return new, old
    least = max(total / cells, 5 * total / smaller)
    ends: list[int] = []
    held = 0
    for place, count in enumerate((new + old).tolist()):
        held += count
        if held >= least:
            ends.append(place + 1)
            held = 0
    if held and ends:
        ends[-1] = new.size
    starts = [0, *ends[:-1]] if ends else [0]
    return np.add.reduceat(new, starts), np.add.reduceat(old, starts)


def pooled(new: Counts, old: Counts) -> tuple[Counts, Counts]:
    """Pool the levels whose expected count is below 5 in either sample into one."""
    n, m = int(new.sum()), int(old.sum())
    if n == 0 or m == 0:
        return new, old
    rare = (new + old) * min(n, m) / (n + m) < 5
    if not rare.any():
        return new, old
    return (
        np.append(new[~rare], new[rare].sum()),
        np.append(old[~rare], old[rare].sum()),
    )


def cauchy_combined(p_values: Sequence[float]) -> float:
    """Return Cauchy's combination of dependent p-values (Liu and Xie 2020)."""
    total = 0.0
    for p in p_values:
        bounded = min(max(p, _SMALLEST), 1 - 1e-15)
        total += 1 / (bounded * math.pi) if bounded < 1e-15 else math.tan((0.5 - bounded) * math.pi)
    mean = total / len(p_values)
    return 1 / (mean * math.pi) if mean > 1e15 else 0.5 - math.atan(mean) / math.pi


def discoveries(p_values: Sequence[float], rate: float) -> list[bool]:
    """Return which hypotheses Benjamini and Hochberg reject at this false discovery rate."""
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    cut = 0
    for rank, place in enumerate(order, start=1):
        if p_values[place] <= rate * rank / len(p_values):
            cut = rank
    rejected = set(order[:cut])
    return [place in rejected for place in range(len(p_values))]


def normal_quantile(p: float) -> float:
    """Return the standard normal quantile, by bisection on ``erfc``."""
    low, high = -40.0, 40.0
    for _ in range(200):
        middle = (low + high) / 2
        if 0.5 * math.erfc(-middle / math.sqrt(2)) < p:
            low = middle
        else:
            high = middle
    return (low + high) / 2
