"""Whether a delivery's columns are distributed as those of an earlier one.

One pre-declared p-value a column, Benjamini-Hochberg over the columns, and an effect floor that
is corrected for chance, so that neither many columns nor many rows make something of nothing.
Numbers: Cauchy's combination of rank-sum, Mood's scale and chi-square on 20 merged bins; other
columns chi-square on the levels; either with the share of empty values, where there are any.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from steward.domain.distributions import norm_isf
from steward.domain.p_values import (
    Counts,
    cauchy_combined,
    discoveries,
    homogeneity_p,
    levels_p,
    merged,
    pooled,
    rank_sum_p,
    scale_p,
)
from steward.domain.profiles import ColumnProfile, TableProfile

LEAST = 20
"""Values that either side needs for a verdict."""
_CELLS = 20
_POWER = 0.8

Verdict = Literal["same", "changed", "inconclusive"]
Against = Literal["last_accepted", "training_baseline"]


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class ColumnDrift(_Frozen):
    """One column compared.

    Attributes:
        p: The p-value; None where there is too little.
        effect: Corrected for chance: the larger of |2 AUC - 1| and the total variation over 20
            merged bins (numbers), or the total variation over the levels.
        detectable: The smallest |2 AUC - 1| that these sizes show with power 0.8, at the level
            of a single discovery.
        psi: Population stability index over the merged cells; it describes and decides nothing.
        nulls: Share of empty values here and there.
    """

    column: str
    verdict: Verdict
    p: float | None = None
    effect: float | None = None
    detectable: float | None = None
    psi: float | None = None
    nulls: tuple[float, float] = (0.0, 0.0)
    needs: int | None = None

    def told(self, reference: str) -> str:
        """Return how a column that changed differs, in words; what did not change is left out."""
        said = f"{self.column} is distributed otherwise than in {reference}"
        if self.effect is not None and self.p is not None:
            said += (
                f": its values moved by {self.effect:.2f}, where 0 is not at all and 1 is wholly "
                f"(p {self.p:.2g} by chance alone)"
            )
        here, there = (f"{share:.1%}" for share in self.nulls)
        return said if here == there else f"{said}; empty in {here} of the rows, before in {there}"


class DriftReport(_Frozen):
    """A delivery against one reference.

    Attributes:
        against: ``last_accepted`` or ``training_baseline``.
        deliveries: What the reference was made of.
    """

    against: Against
    deliveries: list[str]
    rows: int
    fdr: float
    min_effect: float
    columns: list[ColumnDrift] = Field(default_factory=list)

    @property
    def changed(self) -> list[ColumnDrift]:
        """The columns that changed."""
        return [column for column in self.columns if column.verdict == "changed"]


def compare(
    new: TableProfile,
    old: TableProfile,
    columns: list[str],
    *,
    against: Against,
    deliveries: list[str],
    fdr: float,
    min_effect: float,
) -> DriftReport:
    """Compare the columns that both profiles count alike; others are left out."""
    compared: list[tuple[ColumnDrift, float]] = []
    silent: list[ColumnDrift] = []
    pairs = [
        (one, two)
        for name in columns
        if (one := new.column(name)) is not None and (two := old.column(name)) is not None
        if one.type == two.type and (_cells(one, two) is not None)
    ]
    level = fdr / max(len(pairs), 1)
    for one, two in pairs:
        nulls = (_null_share(one), _null_share(two))
        if min(one.count, two.count) < LEAST:
            silent.append(
                ColumnDrift(column=one.name, verdict="inconclusive", nulls=nulls, needs=LEAST)
            )
            continue
        compared.append(_compared(one, two, nulls, level))
    rejected = discoveries([p for _, p in compared], fdr)
    judged = [
        drift.model_copy(
            update={
                "verdict": "changed"
                if found
                and max(drift.effect or 0.0, abs(drift.nulls[0] - drift.nulls[1])) >= min_effect
                else "same"
            }
        )
        for (drift, _), found in zip(compared, rejected, strict=True)
    ]
    return DriftReport(
        against=against, deliveries=deliveries, rows=old.rows, fdr=fdr, min_effect=min_effect,
        columns=[*judged, *silent],
    )  # fmt: skip


def _compared(
    one: ColumnProfile, two: ColumnProfile, nulls: tuple[float, float], level: float
) -> tuple[ColumnDrift, float]:
    cells = _cells(one, two)
    assert cells is not None
    new, old = cells
    if one.bins:
        coarse = merged(new, old, _CELLS)
        tests = [rank_sum_p(new, old), scale_p(new, old), homogeneity_p(*coarse)]
        effect = max(_auc_effect(new, old), _total_variation(*coarse))
    else:
        coarse = pooled(new, old)
        tests = levels_p(new, old)
        effect = _total_variation(*coarse)
    if one.nulls + two.nulls:
        tests += levels_p(
            np.array([one.count, one.nulls], dtype=np.int64),
            np.array([two.count, two.nulls], dtype=np.int64),
        )
    p = cauchy_combined(tests)
    drift = ColumnDrift(
        column=one.name, verdict="same", p=p, effect=effect, nulls=nulls, psi=_psi(*coarse),
        detectable=_detectable(one.count, two.count, level),
    )  # fmt: skip
    return drift, p


def _cells(one: ColumnProfile, two: ColumnProfile) -> tuple[Counts, Counts] | None:
    """Return the counts of both on shared bins or levels; None where they share none."""
    if one.bins and one.bin_edges == two.bin_edges:
        return np.array(one.bins, dtype=np.int64), np.array(two.bins, dtype=np.int64)
    if one.type not in ("string", "boolean") or not one.levels or not two.levels:
        return None
    # What the reference does not have is one level of its own: ``new``.
    names = list(two.levels)
    fresh = sum(rows for level, rows in one.levels.items() if level not in two.levels)
    new = [*(one.levels.get(name, 0) for name in names), fresh + one.other]
    old = [*two.levels.values(), two.other]
    return np.array(new, dtype=np.int64), np.array(old, dtype=np.int64)


def _null_share(column: ColumnProfile) -> float:
    rows = column.count + column.nulls
    return column.nulls / rows if rows else 0.0


def _auc_effect(new: Counts, old: Counts) -> float:
    """Return |2 AUC - 1| with the square of its chance deviation taken off."""
    n, m = int(new.sum()), int(old.sum())
    below = np.cumsum(old) - old
    auc = float(new @ (below + old / 2)) / (n * m)
    chance = (n + m + 1) / (3 * n * m)
    return math.sqrt(max(0.0, (2 * auc - 1) ** 2 - chance))


def _total_variation(new: Counts, old: Counts) -> float:
    """Return the total variation less what two samples of one distribution show on average."""
    n, m = int(new.sum()), int(old.sum())
    p, q = new / n, old / m
    both = (new + old) / (n + m)
    chance = 0.5 * float(np.sqrt(2 / math.pi * both * (1 - both) * (1 / n + 1 / m)).sum())
    return max(0.0, 0.5 * float(np.abs(p - q).sum()) - chance)


def _psi(new: Counts, old: Counts) -> float:
    p, q = (new + 0.5) / (new.sum() + 0.5 * new.size), (old + 0.5) / (old.sum() + 0.5 * old.size)
    return float(((p - q) * np.log(p / q)).sum())


def _detectable(n: int, m: int, level: float) -> float:
    z = norm_isf(level / 2) + norm_isf(1 - _POWER)
    return min(1.0, 2 * z * math.sqrt((n + m + 1) / (12 * n * m)))
