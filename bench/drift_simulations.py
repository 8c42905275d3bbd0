"""Simulated windows of monitored columns, drawn as counts: exact, and thousands at once.

The bins of a column are order statistics of its reference, so that the chance of each cell is a
Dirichlet variable (uniform spacings) whatever the distribution is: without drift neither the rows
of the reference nor those of the windows need be drawn. With a shift, the cells' ends are mapped
through the distribution's quantiles.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steward.domain.distribution_arrays import chi2_sf, two_sided_p
from steward.domain.monitoring.alarms import HORIZONS
from steward.domain.monitoring.binning import inner_ranks
from steward.domain.monitoring.column_tests import numeric_parts
from steward.domain.monitoring.dispersion import learn_dispersion
from steward.domain.monitoring.figures import auc_effect
from steward.domain.p_values import (
    CELLS,
    adjusted,
    cauchy_combined,
    group_starts,
    homogeneity,
    levels_p,
    rank_statistics,
)

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class References:
    """References of many columns of one size.

    Attributes:
        counts: Rows by cell: below, the bins, above; the same for all.
        masses: Chance of each cell without drift; leading axes are columns.
    """

    counts: Counts
    masses: Floats

    @property
    def ends(self) -> Floats:
        """Distribution function at the cells' ends, the last (1) left out."""
        return np.cumsum(self.masses, axis=-1)[..., :-1]


def references(chance: np.random.Generator, rows: int, shape: tuple[int, ...]) -> References:
    """Draw references of continuous columns, as ``learn_bins`` and ``count_numbers`` make them."""
    sampled, ranks = inner_ranks(rows)
    spacings = np.diff([0, *ranks, sampled])
    counts = np.tile(spacings, (*shape, 1)).astype(np.int64)
    gamma = chance.standard_gamma(np.append(spacings[:-1], spacings[-1] + 1.0), counts.shape)
    masses = gamma / gamma.sum(-1, keepdims=True)
    # The rows that gave no edge fall where they may.
    if rows > sampled:
        counts = counts + chance.multinomial(rows - sampled, masses)
    # A share of the outer cells lies beyond the smallest and the largest row.
    low = _beyond(chance, counts[..., 0] - 1)
    high = _beyond(chance, counts[..., -1])
    below, above = masses[..., :1] * low[..., None], masses[..., -1:] * high[..., None]
    inner = masses.copy()
    inner[..., :1] -= below
    inner[..., -1:] -= above
    none = np.zeros((*shape, 1), dtype=np.int64)
    return References(
        np.concatenate([none, counts, none], axis=-1),
        np.concatenate([below, np.maximum(inner, 0.0), above], axis=-1),
    )


def _beyond(chance: np.random.Generator, inside: Counts) -> Floats:
    return np.where(inside > 0, chance.beta(1.0, np.maximum(inside, 1)), 1.0)


def windows(chance: np.random.Generator, rows: int, masses: Floats) -> Counts:
    """Draw the counts of windows."""
    shares = masses / masses.sum(-1, keepdims=True)
    return chance.multinomial(rows, np.minimum(shares, 1.0))


def p_of_columns(new: Counts, old: Counts) -> Floats:
    """Return the declared p-value of columns; chi-square on the groups of the first reference."""
    ranks, scales = rank_statistics(new, old)
    first = old.reshape(-1, old.shape[-1])[0]
    starts = group_starts(first, int(new.reshape(-1, new.shape[-1])[0].sum()), CELLS)
    shape = homogeneity(
        np.add.reduceat(new, starts, axis=-1), np.add.reduceat(old, starts, axis=-1)
    )
    parts = [two_sided_p(ranks), two_sided_p(scales), chi2_sf(*shape)]
    return np.asarray(cauchy_combined(np.stack(parts)))


def level_p(chance: np.random.Generator, rows: int, reference: int, columns: int) -> list[float]:
    """Return p-values of categorical columns without drift: few, some and many levels, rare ones.

    Shares fall as 1 / place; the vocabulary is what the reference has.
    """
    found = []
    for column in range(columns):
        levels = (2, 5, 12, 40, 150)[column % 5]
        shares = 1 / np.arange(1, levels + 1)
        shares /= shares.sum()
        old, new = chance.multinomial(reference, shares), chance.multinomial(rows, shares)
        known = old > 0
        parts = levels_p(np.append(new[known], new[~known].sum()), np.append(old[known], 0))
        found.append(float(cauchy_combined(parts)) if parts else 1.0)
    return found


def flagged_windows(
    chance: np.random.Generator,
    reference: int,
    rows: int,
    repetitions: int,
    *,
    numeric: int = 40,
    categorical: int = 10,
    level: float = 0.03,
) -> NDArray[np.bool_]:
    """Return the columns that windows without drift flag: repetitions x columns."""
    found = []
    for size in _blocks(repetitions, 50):
        drawn = references(chance, reference, (size, numeric))
        p = p_of_columns(windows(chance, rows, drawn.masses), drawn.counts)
        levels = [level_p(chance, rows, reference, categorical) for _ in range(size)]
        found.append(adjusted(np.concatenate([p, np.array(levels)], axis=1)) <= level)
    return np.concatenate(found)


def _blocks(total: int, size: int) -> list[int]:
    return [min(size, total - start) for start in range(0, total, size)]


@dataclass(frozen=True)
class Family:
    """A distribution: its quantiles, its distribution function, and its standard deviation."""

    name: str
    ppf: Callable[[Any], Any]
    cdf: Callable[[Any], Any]
    sd: float


def families() -> list[Family]:
    """Return the distributions that shifts are tried on."""
    from scipy import stats

    named = {
        "normal": stats.norm(), "lognormal": stats.lognorm(1.0), "exponential": stats.expon(),
        "gamma (2)": stats.gamma(2.0), "student (5)": stats.t(5), "uniform": stats.uniform(),
        "laplace": stats.laplace(), "beta (2, 5)": stats.beta(2.0, 5.0),
    }  # fmt: skip
    found = [Family(name, law.ppf, law.cdf, float(law.std())) for name, law in named.items()]
    grid = np.linspace(-8, 8, 20_001)
    two = (stats.norm.cdf(grid + 1.5) + stats.norm.cdf(grid - 1.5)) / 2
    found.append(
        Family(
            "two humps", lambda u: np.interp(u, two, grid), lambda x: np.interp(x, grid, two),
            math.sqrt(1 + 1.5**2),
        )
    )  # fmt: skip
    return found


def shifted(drawn: References, family: Family, sds: float) -> Floats:
    """Return the chance of each cell once a column has moved up by so many deviations."""
    edges = family.ppf(np.clip(drawn.ends, 0.0, 1.0))
    ends = family.cdf(edges - sds * family.sd)
    full = np.concatenate([np.zeros_like(ends[..., :1]), ends, np.ones_like(ends[..., :1])], -1)
    masses: Floats = np.maximum(np.diff(full, axis=-1), 0.0)
    return masses


@dataclass(frozen=True)
class Power:
    """What windows with some shifted columns found.

    Attributes:
        found: Share of the shifted columns that were flagged, by repetition.
        false: Share of all flagged ones that had not moved, by repetition.
    """

    found: Floats
    false: Floats


def power(
    chance: np.random.Generator, laws: Sequence[Family], sds: float, reference: int, rows: int,
    repetitions: int, *, columns: int = 40, moved: int = 10, level: float = 0.03,
    min_effect: float = 0.02,
) -> Power:  # fmt: skip
    """Judge windows in which ``moved`` of the columns are shifted, floor included.

    The shifted columns have these distributions by turns.
    """
    found, false = [], []
    for size in _blocks(repetitions, 50):
        drawn = references(chance, reference, (size, columns))
        masses = drawn.masses.copy()
        for column in range(moved):
            one = References(drawn.counts[:, column], drawn.masses[:, column])
            masses[:, column] = shifted(one, laws[column % len(laws)], sds)
        new = windows(chance, rows, masses)
        p = p_of_columns(new, drawn.counts)
        flags = (adjusted(p) <= level) & (auc_effect(new, drawn.counts) >= min_effect)
        found.append(flags[:, :moved].mean(1))
        false.append(flags[:, moved:].sum(1) / np.maximum(flags.sum(1), 1))
    return Power(np.concatenate(found), np.concatenate(false))


def first_alarms(
    hourly: Counts, old: Counts, *, alpha: float = 0.05, looks: int = 336,
    horizons: tuple[int, ...] = HORIZONS, history: int = 0,
) -> NDArray[np.int64]:  # fmt: skip
    """Return the look at which each column alarms first, from 0; -1 where it never does.

    Args:
        hourly: Counts by hour, column, cell; each hour has as many rows.
        old: The reference's counts by column and cell, with the same groups for all columns.
        alpha: Probability of a false alarm over ``looks`` looks.
        looks: Looks that it is for.
        horizons: Hours of the trailing sums.
        history: Hours before the first look.
    """
    level = alpha / (looks * len(horizons))
    sums = np.concatenate([np.zeros_like(hourly[:1]), np.cumsum(hourly, axis=0)])
    rows = int(hourly[0, 0].sum())
    ends = np.arange(history + 1, hourly.shape[0] + 1)
    hits = np.zeros((ends.size, hourly.shape[1]), dtype=bool)
    for horizon in horizons:
        hits |= _alarms(sums[ends] - sums[np.maximum(ends - horizon, 0)], old, rows, level)
    return np.where(hits.any(0), hits.argmax(0), -1)


def _alarms(trailing: Counts, old: Counts, rows: int, level: float) -> NDArray[np.bool_]:
    """Return which columns alarm, by look; only tests that could reach the level are finished."""
    ranks, scales = rank_statistics(trailing, old)
    starts = group_starts(old.reshape(-1, old.shape[-1])[0], rows, CELLS)
    statistic, degrees = homogeneity(
        np.add.reduceat(trailing, starts, axis=-1), np.add.reduceat(old, starts, axis=-1)
    )
    # A combined p-value is never smaller than the smallest of its parts.
    near = (np.abs(ranks) > 4) | (np.abs(scales) > 4) | (statistic > degrees + 20)
    p = np.ones(ranks.shape)
    if near.any():
        parts = [two_sided_p(ranks[near]), two_sided_p(scales[near])]
        parts.append(chi2_sf(statistic[near], degrees[near]))
        p[near] = cauchy_combined(np.stack(parts))
    return adjusted(p) <= level


def lower_limit(hits: int, repetitions: int, confidence: float = 0.99) -> float:
    """Return Clopper and Pearson's one-sided lower limit of a rate."""
    from steward.domain.distributions import beta_ppf

    return 0.0 if hits == 0 else beta_ppf(1 - confidence, hits, repetitions - hits + 1)


@dataclass(frozen=True)
class Seasonal:
    """What was told of streams with a daily cycle and no drift.

    Attributes:
        naive_hours: Share of (hour, column) that differ from the all-day baseline at .05.
        matched_hours: The same against hour-matched counts.
        undeclared: Share of streams with any alarm where the cycle is not declared.
        matched: The same with the cycle declared: short horizons hour-matched, others whole days.
        streams: How many.
    """

    naive_hours: float
    matched_hours: float
    undeclared: float
    matched: float
    streams: int


def seasonal_streams(
    chance: np.random.Generator, streams: int, *, hourly: int = 250, columns: int = 10,
    amplitude: float = 0.3, accepted_days: int = 28, looks: int = 336,
) -> Seasonal:  # fmt: skip
    """Look at normal columns whose mean follows the hour of the day; rows, not only counts."""
    from scipy.special import ndtr

    wave = amplitude * math.sqrt(2) * np.sin(2 * math.pi * np.arange(24) / 24)
    naive, matched, undeclared, declared = [], [], 0, 0
    level = 0.05 / (looks * len(HORIZONS))
    for _ in range(streams):
        edges, old = _seasonal_baseline(chance, wave, columns)
        ends = ndtr(edges[None] - wave[:, None, None])
        zeros, ones = np.zeros((24, columns, 1)), np.ones((24, columns, 1))
        masses = np.diff(np.concatenate([zeros, ends, ones], -1), axis=-1)
        slots = windows(chance, hourly * accepted_days, masses)
        hours = windows(chance, hourly, np.tile(masses, (looks // 24 + 14, 1, 1)))
        now, history = hours[-looks:], hours.shape[0] - looks
        naive.append(p_of_columns(now, old) <= 0.05)
        for slot in range(24):
            matched.append(p_of_columns(now[slot::24], slots[slot]) <= 0.05)
        undeclared += bool((first_alarms(hours, old, history=history) >= 0).any())
        declared += _declared(hours, history, old, slots, level)
    return Seasonal(
        float(np.mean(naive)), float(np.mean(matched)), undeclared / streams,
        declared / streams, streams,
    )  # fmt: skip


def _seasonal_baseline(
    chance: np.random.Generator, wave: Floats, columns: int
) -> tuple[Floats, Counts]:
    """Return the edges and counts that 10,080 rows of all hours give, column by column."""
    from steward.domain.monitoring.binning import count_numbers, learn_bins

    edges, counts = [], []
    for _ in range(columns):
        values = chance.normal(0, 1, (420, 24)) + wave
        cells = learn_bins(values.ravel())
        edges.append(cells.edges)
        counts.append(count_numbers(values.ravel(), cells).ordered)
    return np.array(edges), np.array(counts)


def _declared(hours: Counts, history: int, old: Counts, slots: Counts, level: float) -> bool:
    """Whether any look alarms: horizons below a day against the same hours, others whole days."""
    sums = np.concatenate([np.zeros_like(hours[:1]), np.cumsum(hours, axis=0)])
    for end in range(history + 1, hours.shape[0] + 1):
        for horizon in HORIZONS:
            new = sums[end] - sums[max(end - horizon, 0)]
            reference = old
            if horizon < 24:
                reference = slots[np.arange(end - horizon, end) % 24].sum(0)
            if (adjusted(p_of_columns(new, reference)) <= level).any():
                return True
    return False


def uneven_hours(
    chance: np.random.Generator, streams: int, *, columns: int = 20, rows: int = 500,
    spread: float = 0.1, accepted: int = 100,
) -> tuple[float, float]:  # fmt: skip
    """Judge windows whose mean wanders by ``spread`` deviations from hour to hour.

    Returns:
        The share of windows of which any column is flagged, without and with dispersion that was
        learnt from earlier windows.
    """
    from scipy.special import ndtr, ndtri

    plain = learnt = 0
    for _ in range(streams):
        drawn = references(chance, 10_000, (columns,))
        with np.errstate(divide="ignore"):
            edges = ndtri(np.clip(drawn.ends, 0.0, 1.0))
        moves = chance.normal(0, spread, (accepted + 1, columns, 1))
        ends = ndtr(edges[None] - moves)
        full = np.concatenate([np.zeros_like(moves), ends, np.ones_like(moves)], axis=-1)
        new = windows(chance, rows, np.maximum(np.diff(full, axis=-1), 0.0))
        old = drawn.counts
        ranks, scales = rank_statistics(new, old)
        starts = group_starts(old[0], rows, CELLS)
        value, degrees = homogeneity(
            np.add.reduceat(new, starts, axis=-1), np.add.reduceat(old, starts, axis=-1)
        )
        plain += bool((adjusted(p_of_columns(new[-1], old)) <= 0.03).any())
        p = []
        for column in range(columns):
            factors = learn_dispersion(
                ranks[:-1, column].tolist(), scales[:-1, column].tolist(),
                (value / degrees)[:-1, column].tolist(),
            )  # fmt: skip
            parts = numeric_parts(new[-1:, column], old[column], factors)
            p.append(cauchy_combined(np.stack(parts))[0])
        learnt += bool((adjusted(np.array(p)) <= 0.03).any())
    return plain / streams, learnt / streams
