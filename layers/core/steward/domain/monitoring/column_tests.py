"""The one p-value of each column: declared before the data, from counts alone.

Numbers: Cauchy's combination of the rank-sum test and Mood's test of scale, both on all cells, and
chi-square on 20 groups of neighbouring cells (STATISTICS.md, rule 20). Categories: chi-square (or
G) on the frequent levels, and Fisher's exact test of all rare and new ones together. Where either
side has missing, NaN or infinite values, the same test of what kind of value there is joins the
combination. A constant column is tested as a category: its value against all others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from steward.domain.distribution_arrays import chi2_sf, two_sided_p
from steward.domain.distributions import norm_isf
from steward.domain.monitoring.counts import (
    CategoricalCounts,
    ColumnBaseline,
    NumericBins,
    NumericCounts,
)
from steward.domain.monitoring.counts import Counts as ColumnCounts
from steward.domain.monitoring.dispersion import EVEN, Dispersion
from steward.domain.monitoring.figures import (
    Figures,
    auc_effect,
    describe_levels,
    describe_numbers,
    total_variation_effect,
    wasserstein_effect,
)
from steward.domain.p_values import (
    CELLS,
    Counts,
    cauchy_combined,
    group_starts,
    homogeneity,
    levels_p,
    rank_statistics,
)

LEAST = 20
"""Values that either side needs for tests of order: below it the normal approximation fails."""
POWER = 0.8
"""Power at which a detectable effect is stated."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ColumnTest:
    """One column compared with a reference.

    Attributes:
        name: The column.
        p: Its p-value; 1 where nothing can be compared.
        parts: p-values that it combines, by test.
        effect: Largest of the effects that an alarm's floor is held against, each corrected for
            chance: |2 AUC - 1|, Wasserstein / IQR, total variation of levels, and change in the
            share of missing, NaN and infinite values.
        effects: All of them, by name.
        rows: Values that can be compared: of the window and of the reference.
        order: Whether it is numeric.
    """

    name: str
    p: float
    parts: dict[str, float]
    effect: float
    effects: dict[str, float]
    rows: tuple[int, int]
    order: bool


def numeric_parts(
    new: Counts, old: Counts, dispersion: Dispersion = EVEN
) -> tuple[Floats, Floats, Floats]:
    """Return the p-values of rank-sum, Mood and chi-square, of many windows at once.

    Args:
        new: Rows by cell; the last axis is cells, all windows have about as many rows.
        old: Rows of the one reference, by cell.
        dispersion: What squared statistics are divided by.
    """
    ranks, scales = rank_statistics(new, old)
    starts = group_starts(old, int(new.sum(-1).min()), CELLS)
    if len(starts) > 1:
        statistic, degrees = homogeneity(
            np.add.reduceat(new, starts, axis=-1), np.add.reduceat(old, starts)
        )
        shape = chi2_sf(statistic / dispersion.chi_square, degrees)
        if dispersion.chi_square > 1:
            # What wanders adds one squared normal deviation, whose tail is the heavier one.
            excess = (dispersion.chi_square - 1) * np.maximum(degrees, 1)
            tail = chi2_sf((statistic - degrees) / excess, np.minimum(degrees, 1))
            shape = np.maximum(shape, tail)
    else:
        shape = np.full(ranks.shape, np.nan)
    return (
        two_sided_p(ranks / math.sqrt(dispersion.rank_sum)),
        two_sided_p(scales / math.sqrt(dispersion.mood)),
        shape,
    )


def compare_column(
    column: ColumnBaseline,
    new: ColumnCounts,
    old: ColumnCounts,
    *,
    dispersion: Dispersion = EVEN,
    statistic: Literal["chi2", "g"] = "chi2",
) -> ColumnTest:
    """Compare a column of a window with a reference on the same cells."""
    parts: dict[str, float] = {}
    effects: dict[str, float] = {}
    if isinstance(new, NumericCounts) and isinstance(old, NumericCounts):
        one, two = cells_of(new), cells_of(old)
        if np.count_nonzero(two) == 1:
            parts |= _levels(one, two, statistic, "value")
        elif min(one.sum(), two.sum()) >= LEAST:
            names = ("rank_sum", "mood", "chi_square")
            found = numeric_parts(one, two, dispersion)
            parts |= {
                name: float(p) for name, p in zip(names, found, strict=True) if not np.isnan(p)
            }
        effects |= _numeric_effects(column, one, two)
        presence = np.array(new.presence), np.array(old.presence)
        rows = (int(one.sum()), int(two.sum()))
    else:
        assert isinstance(new, CategoricalCounts)
        assert isinstance(old, CategoricalCounts)
        one, two = levels_of(new), levels_of(old)
        parts |= _levels(one, two, statistic, "level")
        effects["total_variation"] = total_variation_effect(one, two)
        presence = (
            np.array([new.present, new.missing]),
            np.array([old.present, old.missing]),
        )
        rows = (new.present, old.present)
    if presence[0][1:].any() or presence[1][1:].any():
        parts |= _levels(*presence, statistic, "presence")
        effects["presence"] = total_variation_effect(*presence)
    p = float(cauchy_combined(list(parts.values()))) if parts else 1.0
    return ColumnTest(
        name=column.name, p=p, parts=parts, effect=max(effects.values(), default=0.0),
        effects=effects, rows=rows, order=isinstance(new, NumericCounts),
    )  # fmt: skip


def describe(column: ColumnBaseline, new: ColumnCounts, old: ColumnCounts) -> Figures | None:
    """Return the figures that describe a column beside its test; None where a side is empty."""
    if isinstance(new, NumericCounts) and isinstance(old, NumericCounts):
        assert isinstance(column.cells, NumericBins)
        if not column.cells.edges:
            return None
        return describe_numbers(cells_of(new), cells_of(old), column.cells.edges)
    assert isinstance(new, CategoricalCounts)
    assert isinstance(old, CategoricalCounts)
    return describe_levels(levels_of(new), levels_of(old))


def cells_of(counts: NumericCounts) -> Counts:
    """Return finite values by cell, in ascending order."""
    return np.array(counts.ordered, dtype=np.int64)


def levels_of(counts: CategoricalCounts) -> Counts:
    """Return rows by level; what is outside the vocabulary is the last."""
    return np.array([*counts.levels, counts.outside], dtype=np.int64)


def _levels(
    new: Counts, old: Counts, statistic: Literal["chi2", "g"], name: str
) -> dict[str, float]:
    found = levels_p(new, old, statistic=statistic)
    names = [f"rare_{name}", name] if len(found) > 1 else [name]
    return dict(zip(names, found, strict=False))


def _numeric_effects(column: ColumnBaseline, new: Counts, old: Counts) -> dict[str, float]:
    if not new.sum() or not old.sum():
        return {}
    assert isinstance(column.cells, NumericBins)
    return {
        "auc": float(auc_effect(new, old)),
        "wasserstein": float(wasserstein_effect(new, old, column.cells.edges, column.cells.iqr)),
    }


def detectable_effect(new_rows: int, old_rows: int, level: float, *, tests: int = 3) -> float:
    """Return the |2 AUC - 1| that is found with power 0.8, 1 where nothing is.

    The rank-sum test alone must fall below ``level / tests``, which Cauchy's combination of so
    many demands of a single one; its deviation is that without a difference.
    """
    if new_rows < 1 or old_rows < 1:
        return 1.0
    z = norm_isf(level / tests / 2) + norm_isf(1 - POWER)
    deviation = math.sqrt((new_rows + old_rows + 1) / (12 * new_rows * old_rows))
    return min(1.0, 2 * z * deviation)


def detectable_variation(
    new_rows: int, old_rows: int, level: float, *, cells: int, tests: int = 1
) -> float:
    """Return the total variation that chi-square on so many cells finds with power 0.8.

    The statistic is taken as normal with mean df + d and variance 2 df + 4 d, where d is the
    noncentrality n m / (n + m) w^2 (Cohen 1988), and total variation is at most w / 2.
    """
    if new_rows < 1 or old_rows < 1 or cells < 2:
        return 1.0
    df = cells - 1
    # Wilson and Hilferty (1931): the cube root of chi-square / df is nearly normal.
    spread = 2 / (9 * df)
    critical = df * (1 - spread + norm_isf(level / tests) * math.sqrt(spread)) ** 3
    z = norm_isf(1 - POWER)
    gap = critical - df
    # Solve d - gap = z sqrt(2 df + 4 d).
    noncentral = gap + 2 * z * z + z * math.sqrt(4 * z * z + 4 * gap + 2 * df)
    both = new_rows * old_rows / (new_rows + old_rows)
    return min(1.0, math.sqrt(noncentral / both) / 2)


def rows_needed(old_rows: int, level: float, effect: float, *, tests: int = 3) -> int | None:
    """Return the rows of a window that make an effect detectable; None where no number does."""
    z = norm_isf(level / tests / 2) + norm_isf(1 - POWER)
    room = 3 * (effect / z) ** 2 - 1 / max(old_rows, 1)
    return None if room <= 0 else math.ceil(1 / room)
