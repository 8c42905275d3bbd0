"""Figures that describe a difference between two samples; they decide nothing.

Of numbers they are those of the counts on the baseline's cells: exact where each value has a bin
of its own, else as coarse as the bins. Definitions, with p and q the shares of cells:

- ``psi``: sum of (p - q) ln(p / q), over the 20 merged bins or the levels, half a row added to
  each cell.
- ``jensen_shannon``: the distance, i.e. the square root of the divergence with logarithms to
  base 2: 0 to 1 (scipy's ``jensenshannon(p, q, base=2)``).
- ``hellinger``: sqrt(sum of (sqrt p - sqrt q)^2 / 2), 0 to 1.
- ``total_variation``: half the sum of |p - q|; ``l_infinity``: the largest |p - q|.
- ``chi_square`` and ``g`` with their degrees: over the 20 merged bins, or the pooled levels.
- ``kolmogorov_smirnov``: the largest difference of the distribution functions at the cells' ends.
- ``wasserstein``: area between the distribution functions, which rise linearly within a bin; what
  lies outside the outer edges counts as lying on them. In the column's unit.
- ``cramer_von_mises``: T of Anderson (1962) with the mid-ranks' counts of cells.
- ``auc``: P(new > old) + P(new = old) / 2, that is Mann and Whitney's U / (n m).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from steward.domain.distributions import chi2_sf, kstwobign_sf
from steward.domain.monitoring.counts import Frozen
from steward.domain.p_values import (
    CELLS,
    Counts,
    g_statistic,
    homogeneity,
    merged,
    pooled,
    rank_sum_p,
)

Floats = NDArray[np.float64]


class Figures(Frozen):
    """What describes a difference; those of order are None for categories.

    Attributes:
        chi_square_p: Of the chi-square statistic alone.
        kolmogorov_smirnov_p: From the limit distribution; too large where values are tied.
        mann_whitney_p: Normal approximation with ties.
    """

    chi_square: float
    chi_square_df: int
    chi_square_p: float
    g: float
    psi: float
    jensen_shannon: float
    hellinger: float
    total_variation: float
    l_infinity: float
    kolmogorov_smirnov: float | None = None
    kolmogorov_smirnov_p: float | None = None
    wasserstein: float | None = None
    cramer_von_mises: float | None = None
    auc: float | None = None
    mann_whitney_p: float | None = None


def describe_numbers(new: Counts, old: Counts, edges: ArrayLike) -> Figures | None:
    """Return the figures of a numeric column; None where a side has no value.

    Args:
        new: Rows below, in each bin, and above.
        old: Those of the reference.
        edges: Of the bins; one fewer than cells.
    """
    if not new.sum() or not old.sum():
        return None
    n, m = int(new.sum()), int(old.sum())
    ks = float(np.abs(_cdf(new) - _cdf(old)).max())
    return _of_shares(new, old, *merged(new, old, CELLS)).model_copy(
        update={
            "kolmogorov_smirnov": ks,
            "kolmogorov_smirnov_p": kstwobign_sf(ks * math.sqrt(n * m / (n + m))),
            "wasserstein": float(wasserstein(new, old, edges)),
            "cramer_von_mises": _cramer_von_mises(new, old),
            "auc": float(auc(new, old)),
            "mann_whitney_p": rank_sum_p(new, old),
        }
    )


def describe_levels(new: Counts, old: Counts) -> Figures | None:
    """Return the figures of a categorical column; None where a side has no value."""
    if not new.sum() or not old.sum():
        return None
    return _of_shares(new, old, *pooled(new, old))


def _of_shares(new: Counts, old: Counts, one: Counts, two: Counts) -> Figures:
    p, q = new / new.sum(), old / old.sum()
    statistic, degrees = homogeneity(one, two)
    return Figures(
        chi_square=float(statistic), chi_square_df=int(degrees),
        chi_square_p=chi2_sf(float(statistic), int(degrees)) if degrees else 1.0,
        g=float(g_statistic(one, two)[0]),
        psi=_psi(one, two),
        jensen_shannon=_jensen_shannon(p, q),
        hellinger=math.sqrt(0.5 * float(((np.sqrt(p) - np.sqrt(q)) ** 2).sum())),
        total_variation=0.5 * float(np.abs(p - q).sum()),
        l_infinity=float(np.abs(p - q).max()),
    )  # fmt: skip


def _psi(new: Counts, old: Counts) -> float:
    p = (new + 0.5) / (new.sum() + 0.5 * new.size)
    q = (old + 0.5) / (old.sum() + 0.5 * old.size)
    return float(((p - q) * np.log(p / q)).sum())


def _jensen_shannon(p: Floats, q: Floats) -> float:
    middle = (p + q) / 2
    total = 0.0
    for share in (p, q):
        kept = share > 0
        total += float((share[kept] * np.log2(share[kept] / middle[kept])).sum()) / 2
    return math.sqrt(max(0.0, total))


def _cdf(counts: Counts) -> Floats:
    found: Floats = np.cumsum(counts, axis=-1) / counts.sum(-1)[..., None]
    return found


def _cramer_von_mises(new: Counts, old: Counts) -> float:
    n, m = int(new.sum()), int(old.sum())
    gaps = _cdf(new) - _cdf(old)
    both = (new + old) / (n + m)
    return float(n * m / (n + m) * (both * gaps**2).sum())


def auc(new: Counts, old: Counts) -> Floats:
    """Return P(new > old) + P(new = old) / 2, over the last axis."""
    n, m = new.sum(-1, dtype=np.float64), old.sum(-1, dtype=np.float64)
    below = np.cumsum(old, axis=-1) - old / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.einsum("...i,...i->...", new, below) / (n * m)
    return np.where((n > 0) & (m > 0), found, 0.5)


def wasserstein(new: Counts, old: Counts, edges: ArrayLike) -> Floats:
    """Return Wasserstein's distance of first order, over the last axis, in the column's unit.

    Within a bin both distribution functions are straight lines; where they cross, the area is
    that of two triangles.
    """
    widths = np.diff(np.asarray(edges, dtype=np.float64))
    gaps = (_cdf(new) - _cdf(old))[..., :-1]
    left, right = gaps[..., :-1], gaps[..., 1:]
    span = np.abs(left) + np.abs(right)
    with np.errstate(divide="ignore", invalid="ignore"):
        crossed = (left**2 + right**2) / (2 * span)
    height = np.where(left * right < 0, crossed, span / 2)
    return np.asarray((widths * height).sum(-1))


def auc_effect(new: Counts, old: Counts) -> Floats:
    """Return |2 AUC - 1| with the square of its chance deviation taken off.

    Without any difference (2 AUC - 1)^2 is (n + m + 1 - ties) / (3 n m) on average, where ties are
    the sum of (t^3 - t) / ((n + m) (n + m - 1)) over cells with t rows (Lehmann 1975). Cells that
    hold many different values count as ties: within a cell nothing is ordered.
    """
    n, m = new.sum(-1, dtype=np.float64), old.sum(-1, dtype=np.float64)
    both, total = (new + old).astype(np.float64), n + m
    with np.errstate(divide="ignore", invalid="ignore"):
        ties = (both * (both * both - 1)).sum(-1) / (total * (total - 1))
        chance = (total + 1 - ties) / (3 * n * m)
    excess = (2 * auc(new, old) - 1) ** 2 - np.where(np.isfinite(chance), chance, 0.0)
    found: Floats = np.sqrt(np.maximum(excess, 0.0))
    return found


def wasserstein_effect(new: Counts, old: Counts, edges: ArrayLike, iqr: float) -> Floats:
    """Return Wasserstein / IQR with the square of what chance gives taken off.

    By chance |F - G| is sqrt(2 F (1 - F) (1 / n + 1 / m) / pi) on average. Without an
    interquartile range there is no scale: 0. A bin that is wider than it counts as one that is
    as wide, so that an outlier of the baseline does not hide what happens elsewhere.
    """
    n, m = new.sum(-1, dtype=np.float64), old.sum(-1, dtype=np.float64)
    if iqr <= 0:
        return np.zeros(np.broadcast_shapes(n.shape, m.shape))
    bounded = np.minimum(np.diff(np.asarray(edges, dtype=np.float64)), iqr)
    edges = np.concatenate([[0.0], np.cumsum(bounded)])
    widths = np.diff(edges)
    with np.errstate(divide="ignore", invalid="ignore"):
        middle = _cdf(new + old)[..., :-1]
        deviation = np.sqrt(2 / math.pi * middle * (1 - middle) * (1 / n + 1 / m)[..., None])
        chance = (widths * (deviation[..., :-1] + deviation[..., 1:]) / 2).sum(-1) / iqr
        excess = (wasserstein(new, old, edges) / iqr) ** 2 - chance**2
    found: Floats = np.sqrt(np.maximum(np.nan_to_num(excess), 0.0))
    return found


def total_variation_effect(new: Counts, old: Counts) -> float:
    """Return the total variation less what two samples of one distribution show on average."""
    n, m = int(new.sum()), int(old.sum())
    if not n or not m:
        return 0.0
    one, two = pooled(new, old)
    both = (one + two) / (n + m)
    chance = 0.5 * float(np.sqrt(2 / math.pi * both * (1 - both) * (1 / n + 1 / m)).sum())
    return max(0.0, 0.5 * float(np.abs(one / n - two / m).sum()) - chance)
