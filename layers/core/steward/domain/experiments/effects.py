"""The effect of a metric over all steps: its confidence sequence and its evidence, by kind."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from steward.domain.experiments import asymptotic, betting, estimates, propensity
from steward.domain.experiments.arm_statistics import ArmStatistics, Histogram
from steward.domain.experiments.betting import Arms, Bets
from steward.domain.experiments.estimates import Estimate
from steward.domain.experiments.inference import Interval
from steward.domain.experiments.plan import (
    PAIRED,
    ExperimentPlan,
    ExperimentRecord,
    Metric,
    StepRecord,
    refused,
)
from steward.domain.experiments.propensity import Model, Weighted

BINARY_EDGES = (0.0, 0.0, 1.0, 1.0)
_NOTHING = ArmStatistics(n=0)


@dataclass(frozen=True)
class Effect:
    """Candidate minus stable (the mean difference of pairs), in the unit of the metric.

    Attributes:
        sequence: Confidence sequence at an alpha.
        log_e_above: Log e-value against effect <= null.
        log_e_below: Log e-value against effect >= null.
        units: Matured units of the arm that has fewest (pairs for paired).
    """

    sequence: Callable[[float], Interval]
    log_e_above: Callable[[float], float]
    log_e_below: Callable[[float], float]
    units: int


def effect_of(metric: Metric, plan: ExperimentPlan, record: ExperimentRecord) -> Effect:
    """Return the effect of a metric; one e-process runs through all steps.

    Raises:
        RejectedError: A statistic of the metric cannot be what its kind says.
    """
    if metric.kind == "paired":
        return _paired(metric, record)
    pairs = [
        (step, _arm(metric, step, plan.candidate), _arm(metric, step, plan.stable))
        for step in record.steps
        if metric.name in step.statistics
    ]
    units = min(sum(c.n for _, c, _ in pairs), sum(s.n for _, _, s in pairs))
    if metric.kind in ("binary", "bounded"):
        return _bounded(metric, plan, pairs, units)
    if metric.kind == "weighted":
        steps: list[Estimate | None] = [_weighted(metric, plan, pairs)]
    else:
        steps = [
            estimates.difference(_estimate(metric, candidate), _estimate(metric, stable))
            for _, candidate, stable in pairs
        ]
    return _normal(metric, steps, units)


def _arm(metric: Metric, step: StepRecord, arm: str) -> ArmStatistics:
    return step.statistics[metric.name].get(arm, _NOTHING)


def _paired(metric: Metric, record: ExperimentRecord) -> Effect:
    found = [
        step.statistics[metric.name][PAIRED]
        for step in record.steps
        if PAIRED in step.statistics.get(metric.name, {})
    ]
    histograms = [_histogram(metric, arm) for arm in found]
    lower = [betting.lower_scores(h) for h in histograms]
    upper = [betting.upper_scores(h) for h in histograms]
    bets = _bets(metric)
    return Effect(
        sequence=lambda alpha: (
            betting.mean_sequence(histograms, alpha, bets)
            if histograms
            else _unknown(betting.NAME, alpha)
        ),
        log_e_above=lambda null: float(betting.log_fortune(lower, null, bets)),
        log_e_below=lambda null: float(betting.log_fortune(upper, -null, bets)),
        units=sum(arm.n for arm in found),
    )


def _bounded(
    metric: Metric,
    plan: ExperimentPlan,
    pairs: list[tuple[StepRecord, ArmStatistics, ArmStatistics]],
    units: int,
) -> Effect:
    arms, bets = [], _bets(metric)
    for step, candidate, stable in pairs:
        share = _share(step, plan)
        if share in (0.0, 1.0) or not candidate.n + stable.n:
            continue
        edges = _edges(metric, candidate, stable)
        arms.append(
            Arms(_histogram(metric, candidate, edges), _histogram(metric, stable, edges), share)
        )
    return Effect(
        sequence=lambda alpha: (
            betting.difference_sequence(arms, alpha, metric.centre, bets)
            if arms
            else _unknown(betting.NAME + " of a difference", alpha)
        ),
        log_e_above=lambda null: betting.log_e_above(arms, null, metric.centre, bets),
        log_e_below=lambda null: betting.log_e_below(arms, null, metric.centre, bets),
        units=units,
    )


def _bets(metric: Metric) -> Bets:
    return betting.UNTUNED if metric.stake is None else betting.tuned(metric.stake)


def _share(step: StepRecord, plan: ExperimentPlan) -> float:
    """Return the chance of the candidate among units of the two arms."""
    candidate = step.propensities.get(plan.candidate, 0.0)
    both = candidate + step.propensities.get(plan.stable, 0.0)
    return candidate / both if both > 0 else 0.0


def _edges(metric: Metric, *arms: ArmStatistics) -> tuple[float, ...]:
    if metric.kind == "binary":
        return BINARY_EDGES
    return next((arm.histogram.edges for arm in arms if arm.histogram), BINARY_EDGES)


def _histogram(
    metric: Metric, arm: ArmStatistics, edges: tuple[float, ...] = BINARY_EDGES
) -> Histogram:
    if metric.kind == "binary":
        if arm.y != arm.y2 or arm.y != round(arm.y) or not 0 <= arm.y <= arm.n:
            raise refused(f"{metric.name}.y", arm.y, "a number of units (each 0 or 1)")
        return Histogram(edges=edges, counts=(arm.n - round(arm.y), 0, round(arm.y)))
    if arm.histogram is None:
        if arm.n:
            raise refused(f"{metric.name}.histogram", None, "a histogram, as the kind is bounded")
        return Histogram(edges=edges, counts=(0,) * (len(edges) - 1))
    return arm.histogram


def _estimate(metric: Metric, arm: ArmStatistics) -> Estimate | None:
    if metric.kind == "ratio":
        return estimates.ratio(arm, metric.minimum_denominator, signed=metric.signed)
    if metric.kind == "adjusted":
        return estimates.adjusted_mean(
            arm, metric.theta, metric.covariate_mean, signed=metric.signed
        )
    return estimates.mean(arm, signed=metric.signed)


def _weighted(
    metric: Metric,
    plan: ExperimentPlan,
    pairs: list[tuple[StepRecord, ArmStatistics, ArmStatistics]],
) -> Estimate | None:
    steps = [
        Weighted(
            candidate,
            stable,
            step.propensities[plan.candidate],
            step.propensities[plan.stable],
            sum(arm.n for arm in step.statistics[metric.name].values()),
        )
        for step, candidate, stable in pairs
        if 0 < _share(step, plan) < 1
    ]
    model = Model(metric.intercept, metric.slope)
    return propensity.weighted_difference(steps, model, signed=metric.signed)


def _normal(metric: Metric, steps: list[Estimate | None], units: int) -> Effect:
    mixture = metric.mixture_variance or 0.0
    usable = [step for step in steps if step is not None and asymptotic.started(step)]

    def total(log_e: Callable[[float, float, float, float], float], null: float) -> float:
        return math.fsum(log_e(s.value, s.variance, null, mixture) for s in usable)

    return Effect(
        sequence=lambda alpha: asymptotic.sequence(steps, mixture, alpha),
        log_e_above=lambda null: total(asymptotic.log_e_above, null),
        log_e_below=lambda null: total(asymptotic.log_e_below, null),
        units=units,
    )


def _unknown(method: str, alpha: float) -> Interval:
    return Interval(
        method=method, guarantee="exact", peeking="allowed", estimate=None, lower=None,
        upper=None, confidence=1 - alpha, n=0, waits_for="a matured unit",
    )  # fmt: skip
