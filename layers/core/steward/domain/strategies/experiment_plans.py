"""The experiment plan of each phase, made from the declaration before any traffic moves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steward.domain.experiments.asymptotic import mixture_variance
from steward.domain.experiments.plan import ExperimentPlan, Goal, Guardrail, Metric
from steward.domain.experiments.tuning import stake_for, variance_of_difference
from steward.domain.guardrails import ABSOLUTE_BUDGET, ROLLBACK_BUDGET, SLOW_SHARE
from steward.domain.strategies.metrics import judged

if TYPE_CHECKING:
    from steward.domain.release_declaration import Release, ReleaseMetric
    from steward.domain.strategies.plan import Phase, Plan

CANDIDATE, STABLE = "candidate", "stable"
ERRORS, SLOW = "errors", "slow"
PREDICTION_UP, PREDICTION_DOWN = "prediction_up", "prediction_down"
PREDICTION_DIFFERENCE = "prediction_difference"

GOAL_ALPHA = 0.05
_LEAST_RATE = 0.005


def experiment_plans(
    release: Release, plan: Plan, units_per_s: float, *, router: str = "gateway"
) -> dict[Phase, ExperimentPlan]:
    """Return a plan per phase in which the stable version answers beside the candidate.

    One rollback budget for all: the comparisons get what the absolute limits leave, in equal
    parts per phase; within a phase it is split by the guardrails' weights (errors and slow
    answers 1 each, predictions a half each way). Sequences are tuned to the units that are
    expected; where none are, to no size in particular.

    Args:
        release: What is declared.
        plan: Its steps.
        units_per_s: Expected first exposures of both versions together.
        router: SageMaker captures neither failures nor latency, so that its pairs are compared
            by predictions and declared metrics alone.
    """
    alone = any(not step.limits.concurrent for step in plan.steps)
    budget = ROLLBACK_BUDGET - (ABSOLUTE_BUDGET if alone else 0)
    phases = plan.phases
    return {
        phase: _phase_plan(release, plan, phase, units_per_s, budget / len(phases), router)
        for phase in phases
    }


class _Size:
    """What a phase is expected to see."""

    def __init__(self, release: Release, plan: Plan, phase: Phase, units_per_s: float) -> None:
        steps = [step for step in plan.steps if step.phase == phase and step.limits.concurrent]
        whole = sum(step.bake_s for step in steps)
        self.known = units_per_s > 0
        self.units = max(2, round(whole * units_per_s), 2 * release.minimum_units * self.unknown)
        self.share = sum(step.share * step.bake_s for step in steps) / whole / 100
        self.pairs = max(1, round(self.units * steps[0].mirror_percent / 100))

    @property
    def unknown(self) -> bool:
        return not self.known

    def variance(self, variance: float) -> float:
        """Return the variance of the difference of means of such units."""
        return variance_of_difference(variance, variance, self.share, self.units)

    def stake(self, variance: float, *, paired: bool = False) -> float | None:
        if self.unknown:
            return None
        if paired:
            return stake_for(variance / self.pairs, self.pairs)
        return stake_for(self.variance(variance), self.units)


def _phase_plan(
    release: Release, plan: Plan, phase: Phase, units_per_s: float, budget: float, router: str
) -> ExperimentPlan:
    size = _Size(release, plan, phase, units_per_s)
    metrics = {m.name: _metric(m, phase, size) for m in judged(release, phase)}
    if phase == "shadow":
        rails = _shadow_rails(release, size) if router == "gateway" else []
        rails += _difference_rail(release, size)
    else:
        rails = _fast_rails(release, size)
        rails += _prediction_rails(release, size)
    if phase == "ab_test" and release.ab_test.mirrored:
        rails += _difference_rail(release, size)
    rails += [
        Guardrail(
            metric=metrics[m.name], margin=m.guardrail.margin, weight=min(1.0, m.guardrail.weight),
            must_prove=m.guardrail.must_prove,
        )
        for m in judged(release, phase)
        if m.guardrail is not None
    ]  # fmt: skip
    raw = {**{rail.metric.name: rail.weight for rail in rails}, **_declared_weights(release)}
    whole = sum(raw[rail.metric.name] for rail in rails)
    goals = [m for m in judged(release, phase) if m.goal is not None]
    return ExperimentPlan(
        strategy=_strategy(plan.strategy, phase),
        candidate=CANDIDATE,
        stable=STABLE,
        goals=tuple(
            Goal(metric=metrics[m.name], smallest_effect=m.goal.smallest_effect)
            for m in goals
            if m.goal is not None and phase in ("ab_test", "bandit")
        ),
        guardrails=tuple(
            rail.model_copy(update={"weight": raw[rail.metric.name] / whole}) for rail in rails
        ),
        alpha=GOAL_ALPHA,
        rollback_budget=budget,
        minimum_units=1 if phase == "ramp" else release.minimum_units,
        max_holds=plan.max_holds,
    )


def _strategy(strategy: str, phase: Phase) -> str:
    """Return the name that the judge knows: that of the phase, and a ramp's own."""
    return phase if phase != "ramp" else ("linear" if strategy == "linear" else "canary")


def _declared_weights(release: Release) -> dict[str, float]:
    return {m.name: m.guardrail.weight for m in release.metrics if m.guardrail is not None}


def _fast_rails(release: Release, size: _Size) -> list[Guardrail]:
    declared = release.guardrails
    return [
        Guardrail(
            metric=Metric(
                name=name, kind="binary", higher_is_better=False, centre=centre,
                stake=size.stake(_binary(centre)),
            ),
            margin=margin, weight=1.0, must_prove=_provable(declared.must_prove, margin),
        )
        for name, centre, margin in (
            (ERRORS, declared.max_error_rate / 2, declared.error_margin),
            (SLOW, SLOW_SHARE / 2, declared.slow_margin),
        )
    ]  # fmt: skip


def _prediction_rails(release: Release, size: _Size) -> list[Guardrail]:
    margin = release.guardrails.prediction_margin
    if margin is None:
        return []
    return [
        Guardrail(
            metric=Metric(
                name=name, kind="bounded", higher_is_better=higher, centre=0.5,
                stake=size.stake(0.0625),
            ),
            margin=margin, weight=0.5, must_prove=release.guardrails.must_prove,
        )
        for name, higher in ((PREDICTION_UP, False), (PREDICTION_DOWN, True))
    ]  # fmt: skip


def _shadow_rails(release: Release, size: _Size) -> list[Guardrail]:
    """Return guardrails over pairs: what the candidate did less what the stable version did."""
    declared = release.guardrails
    return [
        Guardrail(
            metric=Metric(
                name=name, kind="paired", higher_is_better=False,
                stake=size.stake(2 * _binary(rate), paired=True),
            ),
            margin=margin, weight=1.0, must_prove=_provable(declared.must_prove, margin),
        )
        for name, rate, margin in (
            (ERRORS, declared.max_error_rate / 2, declared.error_margin),
            (SLOW, SLOW_SHARE / 2, declared.slow_margin),
        )
    ]  # fmt: skip


def _difference_rail(release: Release, size: _Size) -> list[Guardrail]:
    most = release.shadow.max_difference
    if most is None:
        return []
    metric = Metric(
        name=PREDICTION_DIFFERENCE, kind="paired", higher_is_better=False,
        stake=size.stake(most * most, paired=True),
    )  # fmt: skip
    return [Guardrail(metric=metric, margin=most, weight=1.0, must_prove="harm")]


def _metric(declared: ReleaseMetric, phase: Phase, size: _Size) -> Metric:
    """Return how a declared metric is compared in a phase."""
    expected = declared.expected
    deviation = declared.standard_deviation or 1.0
    common = {"name": declared.name, "higher_is_better": declared.higher_is_better}
    if declared.kind in ("binary", "bounded"):
        low, high = declared.range or (0.0, 1.0)
        centre = min(high, max(low, expected if expected is not None else (low + high) / 2))
        variance = max((centre - low) * (high - centre), _binary(_LEAST_RATE) * (high - low) ** 2)
        if declared.kind == "bounded":
            variance /= 4  # the variance of a bounded figure is mostly well below its bound
        if phase == "shadow":
            return Metric(**common, kind="paired", stake=size.stake(2 * variance, paired=True))
        return Metric(**common, kind=declared.kind, centre=centre, stake=size.stake(variance))
    mixture = mixture_variance(size.variance(deviation**2), GOAL_ALPHA)
    signed = expected is None or expected <= 0
    if phase == "bandit":
        model = _outcome_model(declared)
        return Metric(**common, kind="weighted", mixture_variance=mixture, signed=signed, **model)
    return Metric(
        **common, kind=declared.kind, mixture_variance=mixture, signed=signed,
        theta=declared.theta, covariate_mean=declared.covariate_mean,
    )  # fmt: skip


def _outcome_model(declared: ReleaseMetric) -> dict[str, float]:
    """Return the fixed prediction of the outcome that weighted scores are augmented by."""
    expected = declared.expected or 0.0
    if declared.kind != "adjusted":
        return {"intercept": expected}
    return {
        "intercept": expected - declared.theta * declared.covariate_mean,
        "slope": declared.theta,
    }


def _binary(rate: float) -> float:
    rate = max(rate, _LEAST_RATE)
    return rate * (1 - rate)


def _provable(must_prove: str, margin: float) -> str:
    """Return what can be proved: a margin of 0 leaves no room for non-inferiority."""
    return must_prove if margin > 0 else "harm"
