"""Tests of two samples given as counts on shared cells, without scipy; whole arrays at once.

Cells are the last axis; leading axes are broadcast, so that one call judges many columns or many
windows. The tests compare these functions with scipy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from steward.domain.distribution_arrays import chi2_sf, two_sided_p

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]
Adjustment = Literal["bonferroni", "holm", "benjamini_hochberg", "benjamini_yekutieli"]
CELLS = 20
"""Groups of neighbouring cells that chi-square is computed on."""
_SMALLEST = 1e-300
HIGHEST = 0.99
"""What a p-value counts as at most when it is combined.

Exact tests of few counts often give 1, which would annul all others in Cauchy's combination.
"""
EXPECTED = 5
"""Smallest expected count of a cell for the chi-square approximation."""


def rank_statistics(new: Counts, old: Counts) -> tuple[Floats, Floats]:
    """Return z of Wilcoxon's rank-sum test and of Mood's test of scale, both with ties.

    Linear rank statistics under permutation of the two samples: mid-ranks about their centre,
    and the squares of those. A z is 0 where there is nothing to compare.
    """
    n, m = new.sum(-1, dtype=np.float64), old.sum(-1, dtype=np.float64)
    total = n + m
    both = (new + old).astype(np.float64)
    distance = np.cumsum(both, axis=-1)
    distance -= both / 2
    distance -= total[..., None] / 2
    square = distance * distance
    weighted = both * square
    spread = weighted.sum(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = n * m / (total * (total - 1))
        mean = spread / total
        kurtosis = np.einsum("...i,...i->...", weighted, square) - total * mean * mean
        location = np.einsum("...i,...i->...", new, distance)
        width = np.einsum("...i,...i->...", new, square) - n * mean
        ranks = location / np.sqrt(scale * spread)
        mood = width / np.sqrt(scale * kurtosis)
    # Of one or two cells all squares may be alike: what is left of the variance is rounding.
    flat = kurtosis <= 1e-12 * total * mean * mean
    usable = (n > 0) & (m > 0) & (spread > 0)
    return np.where(usable, ranks, 0.0), np.where(usable & ~flat, mood, 0.0)


def rank_sum_p(new: Counts, old: Counts) -> float:
    """Return Wilcoxon's rank-sum test with ties, normal approximation, no correction."""
    return float(two_sided_p(rank_statistics(new, old)[0]))


def scale_p(new: Counts, old: Counts) -> float:
    """Return Mood's test of scale with ties: squared distance of the ranks from their centre."""
    return float(two_sided_p(rank_statistics(new, old)[1]))


def homogeneity(new: Counts, old: Counts) -> tuple[Floats, NDArray[np.int64]]:
    """Return the chi-square statistic of homogeneity and its degrees of freedom.

    Cells that are empty in both samples do not count.
    """
    n, m = new.sum(-1, dtype=np.float64)[..., None], old.sum(-1, dtype=np.float64)[..., None]
    both = (new + old).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        # Both rows of the table at once: (new m - old n)^2 / (both n m).
        gaps = new * m - old * n
        parts = np.where(both > 0, gaps * gaps / both, 0.0).sum(-1) / (n * m)[..., 0]
    cells = (both > 0).sum(-1)
    usable = (n[..., 0] > 0) & (m[..., 0] > 0) & (cells > 1)
    return np.where(usable, parts, 0.0), np.where(usable, cells - 1, 0)


def homogeneity_p(new: Counts, old: Counts) -> float:
    """Return the chi-square test of homogeneity; both samples over the same cells."""
    return float(chi2_sf(*homogeneity(new, old)))


def group_starts(old: Counts, rows: int, cells: int) -> list[int]:
    """Return where groups of neighbouring cells start: at most ``cells`` of them.

    The groups depend on the reference and on the size of the other sample alone, so that the
    cells are fixed before the data: each holds at least ``1 / cells`` of the reference, and an
    expected count of 5 or more of the smaller sample.
    """
    reference = int(old.sum())
    smaller = min(reference, rows)
    if smaller <= 0:
        return [0]
    least = max(reference / cells, EXPECTED * reference / smaller)
    starts, held = [0], 0
    for place, count in enumerate(old.tolist()):
        held += count
        # A billionth of a row: quantile bins of equal size must not fail on rounding.
        if held >= least * (1 - 1e-9):
            starts.append(place + 1)
            held = 0
    # What is left over is too little for a group of its own.
    return starts[:-1] if len(starts) > 1 else starts


def merged(new: Counts, old: Counts, cells: int) -> tuple[Counts, Counts]:
    """Merge neighbouring cells to at most ``cells``; see :func:`group_starts`."""
    starts = group_starts(old, int(new.sum()), cells)
    return np.add.reduceat(new, starts), np.add.reduceat(old, starts)


def pooled(new: Counts, old: Counts) -> tuple[Counts, Counts]:
    """Pool rare levels with what is outside the vocabulary; the pool is the last cell.

    Args:
        new: Rows by level of the reference's vocabulary, and last those outside it.
        old: Those of the reference.

    Rare are levels with an expected count below 5 in either sample, and those so rare in both
    together that the reference could have missed them. Which levels are pooled follows from their
    totals alone, so that a test that is conditional on totals stays valid: a level that the
    reference did not happen to see is outside, and lies in one cell with those like it.
    """
    n, m = int(new.sum()), int(old.sum())
    if n == 0 or m == 0:
        return new, old
    both = new + old
    # A level with more rows than this is absent from the reference by chance once in 1,000.
    missed = math.log(1e-3) / math.log(n / (n + m))
    rare = _rare(new, old) | (both <= missed)
    rare[-1] = True
    return (
        np.append(new[~rare], new[rare].sum()),
        np.append(old[~rare], old[rare].sum()),
    )


def levels_p(new: Counts, old: Counts, *, statistic: Literal["chi2", "g"] = "chi2") -> list[float]:
    """Return the p-values of categories, the last cell being what is outside the vocabulary.

    Rare and new levels are pooled. Where even their pool is expected less than 5 times, chi-square
    does not hold for it: the pool then has Fisher's exact test against all others, beside the test
    of the frequent levels alone. None where there is nothing to compare.
    """
    if not new.sum() or not old.sum():
        return []
    one, two = pooled(new, old)
    test = homogeneity if statistic == "chi2" else g_statistic
    found: list[float] = []
    if one.size > 1 and _rare(one, two)[-1] and (one[-1] or two[-1]):
        rest = one[:-1], two[:-1]
        found = [fisher_p(int(one[-1]), int(one.sum()), int(two[-1]), int(two.sum()))]
        one, two = rest
    value, degrees = test(one, two)
    return [*found, float(chi2_sf(value, degrees))] if degrees > 0 else found


def _rare(new: Counts, old: Counts) -> NDArray[np.bool_]:
    n, m = int(new.sum()), int(old.sum())
    found: NDArray[np.bool_] = (new + old) * min(n, m) < EXPECTED * (n + m)
    return found


def g_statistic(new: Counts, old: Counts) -> tuple[Floats, NDArray[np.int64]]:
    """Return the G statistic (log-likelihood ratio) of homogeneity and its degrees of freedom."""
    _, degrees = homogeneity(new, old)
    n, m = new.sum(-1, dtype=np.float64)[..., None], old.sum(-1, dtype=np.float64)[..., None]
    both = (new + old).astype(np.float64)
    total = np.zeros(both.shape[:-1])
    for part, size in ((new, n), (old, m)):
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = part * np.log(part * (n + m) / (both * size))
        total += np.where(part > 0, ratio, 0.0).sum(-1)
    return np.where(degrees > 0, 2 * total, 0.0), degrees


def fisher_p(new: int, new_rows: int, old: int, old_rows: int) -> float:
    """Return Fisher's exact test of a 2x2 table: twice the smaller tail, at most 1.

    Args:
        new: Rows of one sample in the cell.
        new_rows: All its rows.
        old: Rows of the other sample in the cell.
        old_rows: All its rows.
    """
    # The table is transposed so that the sum over the tail is as short as can be.
    if new_rows > old_rows:
        new, new_rows, old, old_rows = old, old_rows, new, new_rows
    cell, rows = new + old, new_rows + old_rows
    low, high = max(0, cell - old_rows), min(cell, new_rows)
    term, total, upto, down = 1.0, 0.0, 0.0, 0.0
    # Terms relative to the first; a scale keeps them finite.
    terms = []
    log = 0.0
    for count in range(low, high + 1):
        terms.append(log)
        if count < high:
            log += math.log((cell - count) * (new_rows - count))
            log -= math.log((count + 1) * (rows - cell - new_rows + count + 1))
    top = max(terms)
    for count, value in enumerate(terms, start=low):
        term = math.exp(value - top)
        total += term
        upto += term if count <= new else 0.0
        down += term if count >= new else 0.0
    return min(1.0, 2 * min(upto, down) / total)


def cauchy_combined(p_values: Sequence[Any] | NDArray[Any], axis: int = 0) -> Any:
    """Return Cauchy's combination of dependent p-values (Liu and Xie 2020) along an axis.

    Each counts as at most :data:`HIGHEST`. A NaN is a test that was not made.
    """
    p = np.clip(np.asarray(p_values, dtype=np.float64), _SMALLEST, HIGHEST)
    with np.errstate(over="ignore"):
        parts = np.where(p < 1e-15, 1 / (p * math.pi), np.tan((0.5 - p) * math.pi))
    made = ~np.isnan(p)
    tests = made.sum(axis)
    mean = np.where(made, parts, 0.0).sum(axis) / np.maximum(tests, 1)
    found = np.where(tests > 0, np.arctan2(1.0, mean) / math.pi, 1.0)
    return float(found) if found.ndim == 0 else found


def adjusted(p_values: ArrayLike, method: Adjustment = "benjamini_hochberg") -> Floats:
    """Return adjusted p-values along the last axis: reject where they are at most the level.

    ``bonferroni`` and ``holm`` bound the chance of any false rejection, under any dependence;
    ``benjamini_hochberg`` the false discovery rate under independence or positive dependence,
    ``benjamini_yekutieli`` under any.
    """
    p = np.asarray(p_values, dtype=np.float64)
    count = p.shape[-1] if p.ndim else 1
    if method == "bonferroni":
        return np.minimum(p * count, 1.0)
    order = np.argsort(p, axis=-1, kind="stable")
    ranked = np.take_along_axis(p, order, -1)
    rank = np.arange(1, count + 1)
    if method == "holm":
        found = np.maximum.accumulate(ranked * (count - rank + 1), axis=-1)
    else:
        weight = float((1 / rank).sum()) if method == "benjamini_yekutieli" else 1.0
        steps = ranked * (count * weight / rank)
        found = np.minimum.accumulate(steps[..., ::-1], axis=-1)[..., ::-1]
    result = np.empty_like(p)
    np.put_along_axis(result, order, np.minimum(found, 1.0), -1)
    return result


def discoveries(
    p_values: Sequence[float], rate: float, method: Adjustment = "benjamini_hochberg"
) -> list[bool]:
    """Return which hypotheses are rejected at this level: by default a false discovery rate."""
    if not len(p_values):
        return []
    return [bool(value <= rate) for value in adjusted(p_values, method)]
