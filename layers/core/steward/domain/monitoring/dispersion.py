"""How much more windows vary than independent rows would: learnt from windows that were accepted.

The mean of a column may wander a little from hour to hour without anything being wrong; with many
rows such windows differ from any fixed baseline for sure. Factors on the squared statistics tell
what is usual (quasi-likelihood, McCullagh and Nelder 1989). They grow with the rows of a window:
learn them from windows of the length that they are used for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from pydantic import Field

from steward.domain.distributions import norm_ppf
from steward.domain.monitoring.baseline import Baseline
from steward.domain.monitoring.counts import Frozen, NumericCounts
from steward.domain.monitoring.profiles import Profile
from steward.domain.p_values import CELLS, group_starts, homogeneity, rank_statistics

LEAST_WINDOWS = 20
"""Accepted windows below which nothing is learnt."""
_CONFIDENCE = 0.9


class Dispersion(Frozen):
    """Factors by which squared statistics exceed what independent rows give; at least 1.

    Attributes:
        rank_sum: Of the squared z of the rank-sum test.
        mood: Of that of Mood's test.
        chi_square: Of chi-square over its degrees of freedom.
        windows: Accepted windows that they were learnt from.
    """

    rank_sum: float = Field(default=1.0, ge=1)
    mood: float = Field(default=1.0, ge=1)
    chi_square: float = Field(default=1.0, ge=1)
    windows: int = 0


EVEN = Dispersion()


def learn_dispersion(
    rank_sum: Sequence[float], mood: Sequence[float], chi_square_over_df: Sequence[float]
) -> Dispersion:
    """Return the factors of one column from the statistics of accepted windows.

    A factor is the upper 90 % limit of the mean of the squared statistics, at least 1 (their
    spread about it is that of chi-square with as many degrees as windows); for chi-square, of what
    exceeds 1. With fewer than 20 windows all is 1.

    Args:
        rank_sum: z of each window.
        mood: z of each window.
        chi_square_over_df: Chi-square over its degrees of freedom of each window.
    """
    windows = len(rank_sum)
    if windows < LEAST_WINDOWS:
        return Dispersion(windows=windows)
    # What chi-square has above its degrees spreads like one squared normal deviation, too.
    excess = sum(chi_square_over_df) / windows - 1
    return Dispersion(
        rank_sum=_factor(sum(z * z for z in rank_sum) / windows, windows),
        mood=_factor(sum(z * z for z in mood) / windows, windows),
        chi_square=1 + max(0.0, excess) / _tenth(windows),
        windows=windows,
    )


def _factor(mean: float, windows: int) -> float:
    # What chance alone gives is no reason to widen.
    tenth = _tenth(windows)
    return mean / tenth if mean > 1 / tenth else max(1.0, mean)


def _tenth(windows: int) -> float:
    """Return the lower tenth of chi-square over its degrees (Wilson and Hilferty 1931)."""
    part = 2 / (9 * windows)
    return float((1 - part - norm_ppf(_CONFIDENCE) * math.sqrt(part)) ** 3)


def learn_dispersions(
    baseline: Baseline, accepted: Sequence[Profile], reference: Profile | None = None
) -> dict[str, Dispersion]:
    """Return the factors of the numeric columns from accepted windows of about one length.

    Args:
        baseline: Whose cells are used.
        accepted: Windows without drift.
        reference: What they are compared with; None for the baseline's own counts.
    """
    found = {}
    for column in baseline.columns:
        old = column.counts if reference is None else reference.columns[column.name]
        held = [window.columns[column.name] for window in accepted]
        numeric = [counts for counts in held if isinstance(counts, NumericCounts) and counts.finite]
        if not isinstance(old, NumericCounts) or not old.finite or not numeric:
            continue
        new = np.array([counts.ordered for counts in numeric], dtype=np.int64)
        two = np.array(old.ordered, dtype=np.int64)
        ranks, scales = rank_statistics(new, two)
        starts = group_starts(two, int(new.sum(-1).min()), CELLS)
        value, degrees = homogeneity(
            np.add.reduceat(new, starts, axis=-1), np.add.reduceat(two, starts)
        )
        ratio = np.where(degrees > 0, value / np.maximum(degrees, 1), 1.0)
        found[column.name] = learn_dispersion(ranks.tolist(), scales.tolist(), ratio.tolist())
    return found
