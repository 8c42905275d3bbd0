"""What a release would do and could prove, before it happens.

Numbers of units follow from the methods that will be used (``experiments.planning``), at the error
that each guardrail gets of the rollback budget.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from steward.domain.experiments.arm_statistics import Frozen
from steward.domain.experiments.plan import ExperimentPlan, Guardrail
from steward.domain.experiments.planning import (
    detectable_mean,
    detectable_rate,
    requests_to_prove_harm,
    units_for_mean,
    units_to_prove_margin,
)
from steward.domain.strategies.experiment_plans import ERRORS, SLOW, experiment_plans
from steward.domain.strategies.metrics import judged

if TYPE_CHECKING:
    from steward.domain.release_declaration import Release, ReleaseMetric
    from steward.domain.strategies.plan import Plan, Planned

POWER = 0.8
TIMES = (2, 5)
"""Harm that guardrails are sized for: so many times the rate that is tolerated."""


class Traffic(Frozen):
    """What is expected of both versions together.

    Attributes:
        units_per_s: Entities at their first exposure.
    """

    requests_per_s: float
    units_per_s: float


class StepPreview(Frozen):
    """One step; a bandit's is as its first batch.

    Attributes:
        share: Of the candidate in percent; 0 while it only answers copies.
        requests: That the candidate is expected to answer, copies too.
        units: First exposures of both versions.
        needs_requests: Without so many it is held, and then given up; None where it waits for
            none.
    """

    step_id: str
    phase: str
    share: float
    mirror_percent: float
    bake_s: int
    requests: int
    units: int
    needs_requests: int | None


class GuardrailPreview(Frozen):
    """What a guardrail is allowed and what it takes.

    Attributes:
        alpha: Its part of the rollback budget.
        harm: How much harm is proved by how many units of the candidate, in words and numbers.
        safe_units: Units of both versions that prove non-inferiority; None where that is not
            asked for, or not known.
    """

    phase: str
    name: str
    margin: float
    must_prove: str
    alpha: float
    harm: dict[str, int]
    safe_units: int | None = None


class GoalPreview(Frozen):
    """The smallest effect that is found with a power of .8 by the planned end.

    Attributes:
        method: ``betting`` (exact) or ``asymptotic``.
        units: Of both versions, whose window closes before the end.
        effect: None where no traffic is known, or not even the largest effect is found.
    """

    phase: str
    metric: str
    method: Literal["betting", "asymptotic"]
    units: int
    effect: float | None
    smallest_effect: float | None


class ReleasePreview(Frozen):
    """Everything about a release that is known before it happens.

    Attributes:
        duration_s: As planned; ``longest_s`` with every hold.
        notes: What a reader should know besides.
    """

    strategy: str
    router: str
    ticked: bool
    tick_s: int
    duration_s: int
    longest_s: int
    steps: list[StepPreview]
    guardrails: list[GuardrailPreview]
    goals: list[GoalPreview]
    notes: list[str]


def preview(release: Release, plan: Plan, router: str, traffic: Traffic) -> ReleasePreview:
    """Return what a plan would do at the expected traffic."""
    plans = experiment_plans(release, plan, traffic.units_per_s, router=router)
    return ReleasePreview(
        strategy=plan.strategy,
        router=router,
        ticked=plan.ticked,
        tick_s=plan.tick_s,
        duration_s=sum(step.bake_s for step in plan.steps),
        longest_s=plan.longest_s,
        steps=[_step(step, traffic) for step in plan.steps],
        guardrails=[
            _guardrail(phase, experiment, rail, release, _share(plan, phase))
            for phase, experiment in plans.items()
            for rail in experiment.guardrails
        ],
        goals=[
            _goal(phase, metric, _share(plan, phase), _duration_s(plan, phase), traffic)
            for phase in plans
            if phase in ("ab_test", "bandit")
            for metric in judged(release, phase)
            if metric.goal is not None
        ],
        notes=_notes(release, plan, traffic),
    )


def _step(step: Planned, traffic: Traffic) -> StepPreview:
    answered = max(step.share, step.mirror_percent) / 100
    return StepPreview(
        step_id=step.step_id,
        phase=step.phase,
        share=step.share,
        mirror_percent=step.mirror_percent,
        bake_s=step.bake_s,
        requests=round(traffic.requests_per_s * step.bake_s * answered),
        units=round(traffic.units_per_s * step.bake_s),
        needs_requests=step.limits.min_requests if step.limits.needs_requests else None,
    )


def _concurrent(plan: Plan, phase: str) -> Sequence[Planned]:
    return [step for step in plan.steps if step.phase == phase and step.limits.concurrent]


def _duration_s(plan: Plan, phase: str) -> int:
    return sum(step.bake_s for step in _concurrent(plan, phase))


def _share(plan: Plan, phase: str) -> float:
    """Return the candidate's share of 1 in a phase, weighted by time."""
    steps = _concurrent(plan, phase)
    return sum(s.share * s.bake_s for s in steps) / sum(s.bake_s for s in steps) / 100


def _guardrail(
    phase: str, plan: ExperimentPlan, rail: Guardrail, release: Release, share: float
) -> GuardrailPreview:
    alpha = rail.weight * plan.rollback_budget
    name = rail.metric.name
    declared = next((m for m in release.metrics if m.name == name), None)
    rate = _rate(rail, declared)
    harm: dict[str, int] = {}
    safe = None
    if rate is not None:
        for times in TIMES:
            harmful = (rate + rail.margin) * times
            if harmful < 1:
                label = f"{rate + rail.margin:.3g} -> {harmful:.3g}"
                harm[label] = requests_to_prove_harm(rate + rail.margin, harmful, alpha)
        if rail.must_prove == "non_inferiority" and 0 < share < 1 and rate + rail.margin < 1:
            safe = units_to_prove_margin(rate, rail.margin, share, alpha=plan.alpha, power=POWER)
    elif declared is not None and declared.standard_deviation and rail.margin and 0 < share < 1:
        variance = declared.standard_deviation**2
        both = units_for_mean(rail.margin, variance, variance, share, alpha=2 * alpha, power=POWER)
        harm[f"worse by {2 * rail.margin:g}"] = math.ceil(both * share)
    return GuardrailPreview(
        phase=phase, name=name, margin=rail.margin, must_prove=rail.must_prove, alpha=alpha,
        harm=harm, safe_units=safe,
    )  # fmt: skip


def _rate(rail: Guardrail, declared: ReleaseMetric | None) -> float | None:
    """Return the rate that a stable version is expected to have; None where there is none."""
    if rail.metric.name in (ERRORS, SLOW) and rail.metric.kind == "binary":
        return rail.metric.centre
    rate = declared.expected if declared and declared.kind == "binary" else None
    if rate is None or rail.metric.kind != "binary" or not 0 < rate < 1:
        return None
    return 1 - rate if rail.metric.higher_is_better else rate


def _goal(
    phase: str, metric: ReleaseMetric, share: float, duration_s: int, traffic: Traffic
) -> GoalPreview:
    units = int(traffic.units_per_s * max(0, duration_s - metric.window_s))
    method: Literal["betting", "asymptotic"] = (
        "betting" if metric.kind == "binary" else "asymptotic"
    )
    effect = None
    if units >= 2:
        if metric.kind == "binary":
            effect = _rate_effect(metric, units, share)
        else:
            variance = _variance(metric)
            effect = detectable_mean(units, variance, variance, share, power=POWER).effect
    smallest = metric.goal.smallest_effect if metric.goal else None
    return GoalPreview(
        phase=phase, metric=metric.name, method=method, units=units, effect=effect,
        smallest_effect=smallest,
    )  # fmt: skip


def _rate_effect(metric: ReleaseMetric, units: int, share: float) -> float | None:
    """Return the change of a rate in its good direction; a fall is a rise of its complement."""
    rate = metric.expected if metric.expected is not None else 0.5
    if not 0 < rate < 1:
        return None
    stable = rate if metric.higher_is_better else 1 - rate
    found = detectable_rate(units, stable, share, power=POWER).effect
    return found if found < (1 - stable) * (1 - 1e-9) else None


def _variance(metric: ReleaseMetric) -> float:
    if metric.standard_deviation is not None:
        return metric.standard_deviation**2
    low, high = metric.range or (0.0, 1.0)
    return (high - low) ** 2 / 16


def _notes(release: Release, plan: Plan, traffic: Traffic) -> list[str]:
    notes = []
    if traffic.requests_per_s <= 0:
        notes.append("no request in the last day: what depends on traffic is not known")
    if release.metrics and not plan.captured:
        notes.append("no declared metric is judged: nothing answers beside, or none is a guardrail")
    if any(step.phase == "bandit" for step in plan.steps):
        notes.append("the effect is for equal shares; a bandit that follows outcomes needs more")
    if plan.steps[-1].phase == "shadow":
        notes.append("shadow traffic promotes nothing by itself: the release ends not promoted")
    kinds = {m.kind for m in release.metrics if m.goal is not None}
    if "bounded" in kinds:
        notes.append("bounded goals are sized by the asymptotic method; their sequence is exact")
    return notes
