"""The metrics of SageMaker Clarify between two facets, by its names, in two modes.

With facet ``a`` and the disadvantaged facet ``d``; n rows, n1 with a positive label, n0 with a
negative one, n'1 and n'0 by prediction; TP, FP, TN, FN as usual. Source of the names and of the
formulae: AWS, "Amazon SageMaker AI Developer Guide", pre-training and post-training bias metrics;
of ``clarify_compatible`` besides the open source package smclarify, which Clarify runs.

======  =====================================================  ==========================
Name    Formula                                                Fair, and harm to ``d``
======  =====================================================  ==========================
CI      (na - nd) / (na + nd)                                  0, above
DPL     na1/na - nd1/nd                                        0, above
KL      sum over labels of Pa ln(Pa/Pd)                        0, above
JS      (KL(Pa, P) + KL(Pd, P)) / 2, P their mean              0, above
LP      2-norm of Pa - Pd                                      0, above
TVD     half the 1-norm of Pa - Pd                             0, above
KS      greatest |Pa - Pd|                                     0, above
CDDL    mean over strata, by size, of nd0/n0 - nd1/n1          0, above
DPPL    DPL of the predictions                                 0, above
DI      (n'd1/nd) / (n'a1/na)                                  1, below
DCAcc   na1/n'a1 - nd1/n'd1                                    0, either side
DCR     nd0/n'd0 - na0/n'a0                                    0, either side
SD      TNd/(TNd + FPd) - TNa/(TNa + FPa)                      0, either side
RD      TPa/(TPa + FNa) - TPd/(TPd + FNd)                      0, above
DAR     TPa/n'a1 - TPd/n'd1                                    0, either side
DRR     TNd/n'd0 - TNa/n'a0                                    0, either side
AD      accuracy of a - accuracy of d                          0, above
CDDPL   CDDL of the predictions                                0, above
TE      ``exact``: FPa/FNa - FPd/FNd                           0, either side
        ``clarify_compatible``: FNd/FPd - FNa/FPa
FT      see :mod:`steward.domain.bias.fliptest`                0, either side
GE      mean of (b/mean(b))^2 - 1, halved; b = y' - y + 1      0, above
======  =====================================================  ==========================

Modes. ``exact`` follows the guide over all label values; where a denominator is 0 the metric is
undefined and says why. ``clarify_compatible`` follows the code: KL, JS, LP, TVD and KS see only
label values that occur in both facets (so that KL can be negative and TVD half its value), TE is
upside down, 0/0 is 0 and x/0 is infinite.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steward.domain.bias.facets import A, D
from steward.domain.bias.names import METRICS, Mode
from steward.domain.bias.rates import COMPARISONS, RATES, Cell, Rate

Floats = NDArray[np.float64]
FACETS = {"a": A, "d": D}

_Ratio = Callable[[Floats, Floats], Floats]


def values_of(tables: Floats, mode: Mode) -> dict[str, Floats]:
    """Return all metrics but KL, JS, LP, TVD, KS and FT of tables of counts.

    Args:
        tables: Counts, shape (..., 2, 2, 2, strata): facet, label, predicted label, stratum.
        mode: See the module.

    Returns:
        By name an array of shape (...). Undefined is NaN in ``exact``.
    """
    ratio = _defined if mode == "exact" else _clarify
    cells = tables.sum(axis=-1)
    tn, fp, fn, tp = (
        cells[..., 0, 0], cells[..., 0, 1], cells[..., 1, 0], cells[..., 1, 1],
    )  # fmt: skip
    n, n1, n0 = tn + fp + fn + tp, fn + tp, tn + fp
    p1, p0 = fp + tp, tn + fn

    def gap(over: Floats, under: Floats) -> Floats:
        """Facet a less facet d."""
        shares = ratio(over, under)
        return _difference(shares[..., A], shares[..., D])

    values = {
        "CI": (n[..., A] - n[..., D]) / n.sum(axis=-1),
        "CDDL": _conditional(tables.sum(axis=-2), ratio),
        "DCAcc": gap(n1, p1),
        "DCR": -gap(n0, p0),
        "CDDPL": _conditional(tables.sum(axis=-3), ratio),
        "TE": gap(fp, fn) if mode == "exact" else -gap(fn, fp),
        "GE": _generalized_entropy(tn + tp, fp, fn, ratio),
    }
    for name, how in COMPARISONS.items():
        over, under = rate_cells(cells, how.rate)
        shares = ratio(over, under)
        first, second = FACETS[how.first], 1 - FACETS[how.first]
        combine = ratio if how.kind == "ratio" else _difference
        values[name] = combine(shares[..., first], shares[..., second])
    return {name: np.asarray(value, np.float64) + 0.0 for name, value in values.items()}


_CELLS: Mapping[Cell, tuple[int, int]] = {"tn": (0, 0), "fp": (0, 1), "fn": (1, 0), "tp": (1, 1)}


def rate_cells(cells: NDArray[Any], rate: Rate) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return numerator and denominator of a rate.

    Args:
        cells: Counts, shape (..., 2, 2): label, predicted label.
        rate: Which.
    """
    over, under = (
        np.asarray(sum(cells[(..., *_CELLS[name])] for name in names)) for names in RATES[rate]
    )
    return over, under


def divergences(counts_a: Floats, counts_d: Floats, mode: Mode) -> dict[str, Floats]:
    """Return KL (in nats), JS, LP, TVD and KS of the label values of two facets.

    Args:
        counts_a: Rows of facet ``a`` by label value, shape (..., values).
        counts_d: The same of facet ``d``.
        mode: ``clarify_compatible`` leaves out values that only one facet has, without scaling
            the rest to 1; where nothing is left all are NaN.
    """
    pa = _defined(counts_a, counts_a.sum(axis=-1, keepdims=True))
    pd = _defined(counts_d, counts_d.sum(axis=-1, keepdims=True))
    nothing = np.asarray(np.zeros(pa.shape[:-1], np.bool_))
    if mode == "clarify_compatible":
        both = (counts_a > 0) & (counts_d > 0)
        pa, pd = np.where(both, pa, 0.0), np.where(both, pd, 0.0)
        nothing = np.asarray(~both.any(axis=-1))
    mean = (pa + pd) / 2
    gap = np.abs(pa - pd)
    found = {
        "KL": _divergence(pa, pd),
        "JS": (_divergence(pa, mean) + _divergence(pd, mean)) / 2,
        "LP": np.sqrt((gap**2).sum(axis=-1)),
        "TVD": gap.sum(axis=-1) / 2,
        "KS": gap.max(axis=-1),
    }
    undefined = {name: np.where(nothing, np.nan, value) for name, value in found.items()}
    undefined["KL"] = np.where(np.isinf(undefined["KL"]), np.nan, undefined["KL"])
    return undefined


def own_denominators(table: NDArray[np.int64]) -> Mapping[str, int]:
    """Return for each metric how many rows its smaller facet's denominators have.

    A gate judges a metric only where this is large enough (STATISTICS.md, rule 33).

    Args:
        table: Counts, shape (2, 2, 2, strata).
    """
    cells = table.sum(axis=-1)
    tn, fp, fn, tp = (cells[:, 0, 0], cells[:, 0, 1], cells[:, 1, 0], cells[:, 1, 1])
    all_rows = tn + fp + fn + tp
    sizes = {"DCAcc": fp + tp, "DCR": tn + fn, "TE": fn}
    for name, how in COMPARISONS.items():
        sizes[name] = rate_cells(cells, how.rate)[1]
    smallest = {name: int(size.min()) for name, size in sizes.items()}
    smallest["CDDPL"] = int((cells.sum(axis=(0, 1))).min())
    smallest["CDDL"] = int((cells.sum(axis=(0, 2))).min())
    return {name: smallest.get(name, int(all_rows.min())) for name in METRICS}


def _defined(over: Floats, under: Floats) -> Floats:
    """Divide; NaN where the denominator is 0."""
    safe = np.where(under == 0, 1.0, under)
    return np.where(under == 0, np.nan, over / safe)


def _clarify(over: Floats, under: Floats) -> Floats:
    """Divide as smclarify does: 0/0 is 0, x/0 is infinite."""
    safe = np.where(under == 0, 1.0, under)
    return np.where(under == 0, np.where(over == 0, 0.0, np.copysign(np.inf, over)), over / safe)


def _difference(left: Floats, right: Floats) -> Floats:
    """Subtract; two equal infinities are no difference."""
    same = np.isinf(left) & (left == right)
    return np.where(same, 0.0, np.where(same, 0.0, left) - np.where(same, 0.0, right))


def _conditional(counts: Floats, ratio: _Ratio) -> Floats:
    """Demographic disparity within strata, averaged by their size.

    Where nobody of a stratum is accepted, or nobody rejected, that part counts as 0, as in the
    code; without strata that are left to judge the metric is undefined.

    Args:
        counts: Shape (..., 2 facets, 2 outcomes, strata).
        ratio: How to divide.
    """
    outcome = counts.sum(axis=-3)
    rejected = _clarify(counts[..., D, 0, :], outcome[..., 0, :])
    accepted = _clarify(counts[..., D, 1, :], outcome[..., 1, :])
    size = outcome.sum(axis=-2)
    total = ratio((size * (rejected - accepted)).sum(axis=-1), size.sum(axis=-1))
    one_sided = (outcome.sum(axis=-1) == 0).any(axis=-1)
    return np.where(one_sided, np.nan, total)


def _generalized_entropy(right: Floats, fp: Floats, fn: Floats, ratio: _Ratio) -> Floats:
    """Generalised entropy of the benefits b = y' - y + 1, alpha 2 (Speicher et al. 2018)."""
    n = (right + fp + fn).sum(axis=-1)
    mean = ratio((right + 2 * fp).sum(axis=-1), n)
    square = ratio((right + 4 * fp).sum(axis=-1), n)
    return np.where(mean == 0, np.nan, (_defined(square, mean**2) - 1) / 2)


def _divergence(p: Floats, q: Floats) -> Floats:
    """Kullback-Leibler divergence in nats; infinite where p has what q lacks."""
    used = p > 0
    safe_q = np.where(used & (q > 0), q, 1.0)
    terms = np.where(used, p * np.log(np.where(used, p, 1.0) / safe_q), 0.0)
    return np.where((used & (q == 0)).any(axis=-1), np.inf, terms.sum(axis=-1))
