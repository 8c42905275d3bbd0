"""Simulated experiments and how each method judges them, look after look, all at once.

Arrays have the axes (repetition, look) and hold what has been seen by then. The functions of
``steward.domain.experiments`` judge them; nothing is reimplemented here but the generators.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steward.domain.experiments import asymptotic, bandit, bayesian, betting, propensity
from steward.domain.experiments.arm_statistics import ArmStatistics, Histogram, statistics_of
from steward.domain.experiments.bandit import Batch
from steward.domain.experiments.beta_binomial import Counts, Pair, log_e_risk_ratio
from steward.domain.experiments.betting import UNTUNED, Arms, Bets, Scores, tuned
from steward.domain.experiments.estimates import Estimate
from steward.domain.experiments.tuning import stake_for

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Rejections = NDArray[np.bool_]

BINARY_EDGES = (0.0, 0.0, 1.0, 1.0)
EMPTY = Histogram(edges=BINARY_EDGES, counts=(0, 0, 0))


@dataclass(frozen=True)
class Looks:
    """Cumulative units and successes of both arms in one step."""

    n1: Integers
    s1: Integers
    n0: Integers
    s0: Integers
    share: float


def looks(
    generator: np.random.Generator,
    shape: tuple[int, int],
    units: int,
    share: float,
    rates: tuple[float, float],
) -> Looks:
    """Simulate ``units`` new units per look; rates are the candidate's and the stable arm's."""
    n1 = generator.binomial(units, share, shape)
    n0 = units - n1
    s1, s0 = generator.binomial(n1, rates[0]), generator.binomial(n0, rates[1])
    return Looks(n1.cumsum(axis=1), s1.cumsum(axis=1), n0.cumsum(axis=1), s0.cumsum(axis=1), share)


def in_sequence(steps: Sequence[Looks]) -> list[Looks]:
    """Lay steps one after the other on a common axis of looks: each starts at 0, ends frozen."""
    lengths = [step.n1.shape[1] for step in steps]
    placed = []
    for position, step in enumerate(steps):
        before, after = sum(lengths[:position]), sum(lengths[position + 1 :])
        placed.append(
            Looks(
                _placed(step.n1, before, after),
                _placed(step.s1, before, after),
                _placed(step.n0, before, after),
                _placed(step.s0, before, after),
                step.share,
            )
        )
    return placed


def _placed(part: Integers, before: int, after: int) -> Integers:
    nothing, last = np.zeros((part.shape[0], before), np.int64), part[:, -1:]
    return np.concatenate([nothing, part, np.repeat(last, after, axis=1)], axis=1)


def elementwise(function: Callable[..., float], *arrays: Any) -> Floats:
    """Apply a scalar function of the library to arrays."""
    result = np.frompyfunc(function, len(arrays), 1)(*arrays)
    return np.asarray(result, dtype=np.float64)


def naive_z(steps: Sequence[Looks], limit: float = 1.959964) -> Rejections:
    """Return where the two-proportion z-test of the pooled counts rejects."""
    n1, s1, n0, s0 = (sum(getattr(step, name) for step in steps) for name in _COUNTS)
    with np.errstate(divide="ignore", invalid="ignore"):
        pooled = (s1 + s0) / (n1 + n0)
        deviation = np.sqrt(pooled * (1 - pooled) * (1 / n1 + 1 / n0))
        z = np.abs(s1 / n1 - s0 / n0) / deviation
    return np.asarray(np.nan_to_num(z) >= limit)


_COUNTS = ("n1", "s1", "n0", "s0")


def betting_log_e(
    steps: Sequence[Looks],
    centre: float,
    null: float = 0.0,
    bets: Bets = UNTUNED,
    *,
    below: bool = False,
) -> Floats:
    """Return the log e-value of the betting mixture against effect <= null (or >=)."""
    scores = []
    for step in steps:
        share = 1 - step.share if below else step.share
        empty = betting.difference_scores(Arms(EMPTY, EMPTY, share), centre)
        first, second = (step.n1, step.s1), (step.n0, step.s0)
        if below:
            first, second = second, first
        counts = [first[0] - first[1], 0 * first[1], first[1]]
        counts += [second[0] - second[1], 0 * second[1], second[1]]
        scores.append(Scores(empty.values, np.stack(counts, axis=-1).astype(float), empty.floor))
    return betting.log_fortune(scores, -null if below else null, bets)


def betting_rejects(
    steps: Sequence[Looks],
    centre: float,
    null: float = 0.0,
    bets: Bets = UNTUNED,
    alpha: float = 0.05,
) -> Rejections:
    """Return where the two-sided betting sequence excludes the null."""
    limit = math.log(2 / alpha)
    above = betting_log_e(steps, centre, null, bets) >= limit
    return above | (betting_log_e(steps, centre, null, bets, below=True) >= limit)


def risk_ratio_rejects(
    steps: Sequence[Looks], ratio: float = 1.0, alpha: float = 0.05
) -> Rejections:
    """Return where the beta-binomial sequence of the risk ratio excludes the ratio."""
    shares = [step.share for step in steps]

    def log_e(*counts: int) -> float:
        pairs = []
        for k, share in enumerate(shares):
            n1, s1, n0, s0 = counts[4 * k : 4 * k + 4]
            pairs.append(Pair(Counts(s1, n1), Counts(s0, n0), share))
        return log_e_risk_ratio(pairs, ratio)

    arrays = [getattr(step, name) for step in steps for name in _COUNTS]
    return np.asarray(elementwise(log_e, *arrays) >= -math.log(alpha))


def asymptotic_rejects(
    steps: Sequence[Looks],
    mixture: float,
    null: float = 0.0,
    alpha: float = 0.05,
    minimum_events: float = asymptotic.MINIMUM_EVENTS,
) -> Rejections:
    """Return where the asymptotic sequence excludes the null; steps are multiplied."""

    def log_e(n1: int, s1: int, n0: int, s0: int) -> float:
        if min(n1, n0) < 2 or min(s1, s0) < minimum_events:
            return 0.0
        p1, p0 = s1 / n1, s0 / n0
        variance = p1 * (1 - p1) / (n1 - 1) + p0 * (1 - p0) / (n0 - 1)
        return asymptotic.log_e(p1 - p0, variance, null, mixture) if variance > 0 else 0.0

    total = sum(elementwise(log_e, s.n1, s.s1, s.n0, s.s0) for s in steps)
    return np.asarray(total >= -math.log(alpha))


def weighted_rejects(
    steps: Sequence[Looks], mixture: float, null: float = 0.0, alpha: float = 0.05
) -> Rejections:
    """Return where the asymptotic sequence of inverse propensity weights excludes the null."""
    shares = [step.share for step in steps]

    def log_e(*counts: int) -> float:
        parts = [
            propensity.Weighted(
                _sums(counts[4 * k], counts[4 * k + 1]),
                _sums(counts[4 * k + 2], counts[4 * k + 3]),
                share,
                1 - share,
                counts[4 * k] + counts[4 * k + 2],
            )
            for k, share in enumerate(shares)
        ]
        found = propensity.weighted_difference(parts)
        if not asymptotic.started(found) or found is None:
            return 0.0
        return asymptotic.log_e(found.value, found.variance, null, mixture)

    arrays = [getattr(step, name) for step in steps for name in _COUNTS]
    return np.asarray(elementwise(log_e, *arrays) >= -math.log(alpha))


def _sums(n: int, successes: int) -> ArmStatistics:
    return ArmStatistics.model_construct(
        n=n, y=float(successes), y2=float(successes), x=0.0, x2=0.0, xy=0.0
    )


def bayesian_rejects(steps: Sequence[Looks], chance: float = 0.95) -> Rejections:
    """Return where the chance to win of the normal model (flat prior) passes ``chance``."""

    def wins(n1: int, s1: int, n0: int, s0: int) -> float:
        if min(n1, n0) < 2 or min(s1, s0) < 1:
            return 0.5
        p1, p0 = s1 / n1, s0 / n0
        variance = p1 * (1 - p1) / n1 + p0 * (1 - p0) / n0
        effect = Estimate(p1 - p0, variance, n1 + n0, s1)
        return bayesian.normal_comparison(effect, 0.0, 1e6).chance_to_win

    n1, s1, n0, s0 = (sum(getattr(step, name) for step in steps) for name in _COUNTS)
    return np.asarray(elementwise(wins, n1, s1, n0, s0) >= chance)


def ever(rejections: Rejections) -> float:
    """Return the share of repetitions that reject at some look."""
    return float(rejections.any(axis=1).mean())


def average_look(rejections: Rejections) -> float:
    """Return the mean number of looks until the decision, or to the end."""
    first = np.where(rejections.any(axis=1), rejections.argmax(axis=1) + 1, rejections.shape[1])
    return float(first.mean())


def planned_mixture(units: int, share: float, rate: float, alpha: float = 0.05) -> float:
    """Return the mixture variance that a plan of so many units fixes."""
    return asymptotic.mixture_variance(_planned_variance(units, share, rate), alpha)


def planned_bets(units: int, share: float, rate: float) -> Bets:
    """Return the bets that a plan of so many units fixes."""
    return tuned(stake_for(_planned_variance(units, share, rate), units))


def _planned_variance(units: int, share: float, rate: float) -> float:
    return rate * (1 - rate) * (1 / share + 1 / (1 - share)) / units


@dataclass(frozen=True)
class Entities:
    """Entities in order of their first exposure: requests and errors of each, and its arm."""

    requests: Integers
    errors: Integers
    candidate: Rejections


def sticky_entities(
    generator: np.random.Generator, repetitions: int, entities: int, share: float
) -> Entities:
    """Simulate an A/A test of sticky entities with many requests and rates of their own."""
    shape = (repetitions, entities)
    requests = 1 + generator.geometric(1 / 20, shape)
    rates = generator.beta(0.2, 1.8, shape)
    return Entities(requests, generator.binomial(requests, rates), generator.random(shape) < share)


def entity_statistics(entities: Entities, repetition: int, until: int) -> list[ArmStatistics]:
    """Freeze both arms (candidate, stable) of the first ``until`` entities."""
    rows = slice(0, until)
    candidate = entities.candidate[repetition, rows]
    frozen = []
    for arm in (candidate, ~candidate):
        y = entities.errors[repetition, rows][arm].tolist()
        d = entities.requests[repetition, rows][arm].tolist()
        frozen.append(statistics_of(y, d=d))
    return frozen


@dataclass(frozen=True)
class BanditRun:
    """One bandit from start to end."""

    batches: list[Batch]
    regret: float
    share_of_best: float


def run_bandit(
    generator: np.random.Generator,
    rates: Sequence[Sequence[float]],
    units: int,
    floor: float = 0.05,
) -> BanditRun:
    """Play Thompson sampling; ``rates`` has the true rates of each arm per batch."""
    arms = [chr(ord("a") + position) for position in range(len(rates[0]))]
    batches: list[Batch] = []
    regret, last = 0.0, 0.0
    for current in rates:
        shares = bandit.next_shares(batches, arms, floor)
        counts = generator.multinomial(units, [shares[arm] for arm in arms])
        successes = generator.binomial(counts, current)
        regret += sum(n * (max(current) - rate) for n, rate in zip(counts, current, strict=True))
        last = shares[arms[int(np.argmax(current))]]
        batches.append(
            Batch(
                shares=shares,
                statistics={
                    arm: ArmStatistics(n=int(n), y=float(s), y2=float(s))
                    for arm, n, s in zip(arms, counts, successes, strict=True)
                },
            )
        )
    return BanditRun(batches, regret, last)
