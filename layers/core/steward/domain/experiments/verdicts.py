"""The judge of an experiment: a pure function of its plan and its frozen record.

It may be asked at any time and as often as one likes: every error rate below holds over all looks
together, since each decision rests on e-values, which are not renewed by step or look.
"""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field

from steward.domain.digests import digest_of
from steward.domain.experiments.arm_statistics import Frozen
from steward.domain.experiments.effects import Effect, effect_of
from steward.domain.experiments.inference import Evidence, Interval
from steward.domain.experiments.multiplicity import e_benjamini_hochberg, family_wise
from steward.domain.experiments.plan import ExperimentPlan, ExperimentRecord, Guardrail
from steward.domain.experiments.sample_ratio import Exposures, sample_ratio, tilted_sample_ratio

Verdict = Literal["promote", "continue", "hold", "stop_futile", "roll_back", "inconclusive"]
TOLERANCE = 1e-12


class ExperimentVerdict(Frozen):
    """What to do now, why, and all that it follows from.

    Attributes:
        verdict: ``promote``: the candidate has proved what it must. ``continue``: go on as
            planned (a ramp takes its next step). ``hold``: stay at the present shares.
            ``stop_futile``: no worthwhile improvement is possible any more. ``roll_back``: harm
            is proved. ``inconclusive``: the end or the cap is reached with nothing proved; the
            stable version keeps serving.
        reason: One sentence.
        numbers: Log e-values with their thresholds, units and effects behind the verdict.
        intervals: Confidence sequence per metric (candidate minus stable).
        digest: SHA-256 over the digests of plan and record.
    """

    verdict: Verdict
    reason: str
    numbers: dict[str, float] = Field(default_factory=dict)
    intervals: dict[str, Interval] = Field(default_factory=dict)
    digest: str


class _Case:
    """The figures of one judgement, each computed once."""

    def __init__(self, plan: ExperimentPlan, record: ExperimentRecord) -> None:
        self.plan, self.record = plan, record
        self.alpha = plan.alpha / plan.comparisons
        self.budget = plan.rollback_budget / plan.comparisons
        metrics = {metric.name: metric for metric in plan.metrics}
        self.effects = {name: effect_of(m, plan, record) for name, m in sorted(metrics.items())}
        self.intervals = {name: e.sequence(self.alpha) for name, e in self.effects.items()}
        self.mismatch = mismatch_of(plan, record)
        self.gains = {
            goal.metric.name: _worsening(
                self.effects[goal.metric.name], goal.metric.higher_is_better, 0, harm=False
            )
            for goal in plan.goals
        }
        self.harms = {rail.metric.name: self._evidence(rail, harm=True) for rail in plan.guardrails}
        self.safe = {
            rail.metric.name: self._evidence(rail, harm=False)
            for rail in plan.guardrails
            if rail.must_prove == "non_inferiority"
        }

    def _evidence(self, rail: Guardrail, *, harm: bool) -> float:
        effect = self.effects[rail.metric.name]
        return _worsening(effect, rail.metric.higher_is_better, rail.margin, harm=harm)

    def numbers(self) -> dict[str, float]:
        found = {
            "sample_ratio.log_e": self.mismatch.log_e,
            "sample_ratio.needs": -math.log(self.plan.mismatch_alpha),
            "units": float(self.units),
            "units.needs": float(self.plan.minimum_units),
            "holds": float(self.record.holds),
        }
        for name, log_e in self.gains.items():
            found[f"goal.{name}.log_e"] = log_e
            found[f"goal.{name}.needs"] = math.log(2 * len(self.gains) / self.alpha)
        for rail in self.plan.guardrails:
            name = rail.metric.name
            found[f"guardrail.{name}.harm.log_e"] = self.harms[name]
            found[f"guardrail.{name}.harm.needs"] = -math.log(rail.weight * self.budget)
            if name in self.safe:
                found[f"guardrail.{name}.safe.log_e"] = self.safe[name]
                found[f"guardrail.{name}.safe.needs"] = math.log(2 / self.alpha)
        return found

    @property
    def units(self) -> int:
        """Matured units of the arm and metric with fewest; exposures where nothing is measured."""
        if self.effects:
            return min(effect.units for effect in self.effects.values())
        arms = (self.plan.candidate, self.plan.stable)
        return min(sum(step.exposures.get(a, 0) for step in self.record.steps) for a in arms)

    def harmed(self) -> list[str]:
        weights = {rail.metric.name: rail.weight for rail in self.plan.guardrails}
        return family_wise(self.harms, weights, self.budget)

    def unproved(self) -> list[str]:
        return [name for name, log_e in self.safe.items() if log_e < math.log(2 / self.alpha)]

    def won(self) -> list[str]:
        return e_benjamini_hochberg(self.gains, self.alpha / 2)

    def futile(self) -> bool:
        """Whether every goal's improvement is proved to be below its smallest effect."""
        if not self.plan.goals:
            return False
        for goal in self.plan.goals:
            interval = self.intervals[goal.metric.name]
            if goal.smallest_effect is None or interval.lower is None or interval.upper is None:
                return False
            most = interval.upper if goal.metric.higher_is_better else -interval.lower
            if most >= goal.smallest_effect:
                return False
        return True


def judge(plan: ExperimentPlan, record: ExperimentRecord) -> ExperimentVerdict:
    """Judge an experiment. Rules in this order, the first that applies decides:

    1. A guardrail's worsening beyond its margin proved at its share of the rollback budget:
       ``roll_back``. First, because it errs to the safe side where exposures are wrong too.
    2. Sample-ratio mismatch proved at ``mismatch_alpha``: ``hold`` (no figure can be trusted;
       ``inconclusive`` at the end or the cap).
    3. Goals proved improved (one-sided at alpha / 2, e-BH where there are several) with
       ``minimum_units`` and every non-inferiority guardrail proved: ``promote``.
    4. Every goal proved to improve by less than its smallest effect: ``stop_futile``.
    5. Without goals, a ramp: with its units and its guardrails proved it goes on, ``continue``,
       at the end ``promote``; otherwise ``hold`` up to ``max_holds``, then ``inconclusive``.
    6. With goals: ``inconclusive`` at the end (where goals are proved but a guardrail is not,
       ``hold`` up to the cap first); before it ``continue``.

    Raises:
        RejectedError: A statistic is not what its metric's kind says.
        ValueError: A margin is wider than the range of its bounded metric, or edges differ
            between arms or steps.
    """
    case = _Case(plan, record)
    verdict, reason = _decide(case)
    return ExperimentVerdict(
        verdict=verdict,
        reason=reason,
        numbers=case.numbers(),
        intervals=case.intervals,
        digest=digest_of([plan.digest, record.digest]),
    )


def _decide(case: _Case) -> tuple[Verdict, str]:
    plan, record = case.plan, case.record
    capped = record.holds >= plan.max_holds
    harmed = case.harmed()
    if harmed:
        return "roll_back", _harm_sentence(case, harmed[0])
    if case.mismatch.log_e >= -math.log(plan.mismatch_alpha):
        stuck = record.ended or capped
        return (
            "inconclusive" if stuck else "hold",
            f"arms are not exposed in the intended shares (log e-value {case.mismatch.log_e:.4g} "
            f"over {case.mismatch.n} first exposures), so that no figure can be trusted",
        )
    enough = case.units >= plan.minimum_units
    if not plan.goals:
        return _ramp(case, enough=enough, capped=capped)
    return _with_goals(case, enough=enough, capped=capped)


def _with_goals(case: _Case, *, enough: bool, capped: bool) -> tuple[Verdict, str]:
    won, missing = case.won(), _missing(case, enough=enough)
    if won and not missing:
        return "promote", f"{_listed(won)} proved better: {_interval_text(case, won[0])}"
    if case.futile():
        name = case.plan.goals[0].metric.name
        return "stop_futile", f"no worthwhile improvement is possible: {_interval_text(case, name)}"
    lacks = missing if won else f"{_goal_names(case)} not proved better"
    if not case.record.ended:
        return "continue", lacks + " yet" * (not won)
    if won and not capped:
        return "hold", f"{_listed(won)} proved better, but {missing}"
    return "inconclusive", f"at the planned end {lacks}"


def _ramp(case: _Case, *, enough: bool, capped: bool) -> tuple[Verdict, str]:
    if enough and not case.unproved():
        proved = (
            f"{_listed(sorted(case.safe))} proved within the margin" if case.safe
            else "no harm proved"
        )  # fmt: skip
        return (
            "promote" if case.record.ended else "continue",
            f"{proved} with {case.units} units in the smaller arm",
        )
    missing = _missing(case, enough=enough)
    if capped:
        return "inconclusive", f"after {case.record.holds} holds {missing}"
    return "hold", missing


def _missing(case: _Case, *, enough: bool) -> str:
    if not enough:
        return f"{case.units} of the {case.plan.minimum_units} units needed in each arm"
    unproved = case.unproved()
    return f"{_listed(unproved)} not proved within the margin" if unproved else ""


def _harm_sentence(case: _Case, name: str) -> str:
    rail = next(r for r in case.plan.guardrails if r.metric.name == name)
    return (
        f"{name} is proved worse than the concurrent {case.plan.stable} by more than "
        f"{rail.margin:g}: {_interval_text(case, name)}; log e-value {case.harms[name]:.4g}, "
        f"needed {-math.log(rail.weight * case.budget):.4g}"
    )


def _interval_text(case: _Case, name: str) -> str:
    interval = case.intervals[name]
    if interval.estimate is None or interval.lower is None or interval.upper is None:
        return f"{name} has no interval yet"
    return (
        f"difference {interval.estimate:.4g} ({interval.confidence:.4g} confidence sequence "
        f"{interval.lower:.4g} to {interval.upper:.4g})"
    )


def _goal_names(case: _Case) -> str:
    return _listed([goal.metric.name for goal in case.plan.goals])


def _listed(names: list[str]) -> str:
    return ", ".join(names)


def _worsening(effect: Effect, higher_is_better: bool, margin: float, *, harm: bool) -> float:
    """Return the log e-value that worsening is above (harm) or below (not harm) the margin."""
    if higher_is_better:
        return effect.log_e_below(-margin) if harm else effect.log_e_above(-margin)
    return effect.log_e_above(margin) if harm else effect.log_e_below(margin)


def mismatch_of(plan: ExperimentPlan, record: ExperimentRecord) -> Evidence:
    """Return the sample-ratio evidence; a bandit's batches against their predictable shares."""
    steps = [Exposures(step.propensities, step.exposures) for step in record.steps]
    return tilted_sample_ratio(steps) if plan.strategy == "bandit" else sample_ratio(steps)


def replays(
    recorded: ExperimentVerdict, plan: ExperimentPlan, record: ExperimentRecord
) -> list[str]:
    """Judge again and return what differs from the record: an empty list is agreement.

    Verdict, reason and digest must be equal, numbers and limits to 1e-12 relative.

    Raises:
        RejectedError: As :func:`judge`.
    """
    again = judge(plan, record)
    differing = [
        name
        for name in ("verdict", "reason", "digest")
        if getattr(recorded, name) != getattr(again, name)
    ]
    differing += _unequal("numbers", recorded.numbers, again.numbers)
    if recorded.intervals.keys() != again.intervals.keys():
        return [*differing, "intervals"]
    for name, interval in again.intervals.items():
        differing += _unequal(
            f"intervals.{name}", _limits(recorded.intervals[name]), _limits(interval)
        )
    return differing


def _limits(interval: Interval) -> dict[str, float]:
    dumped = interval.model_dump(include={"estimate", "lower", "upper", "confidence", "n"})
    return {name: value for name, value in dumped.items() if value is not None}


def _unequal(where: str, first: dict[str, float], second: dict[str, float]) -> list[str]:
    if first.keys() != second.keys():
        return [where]
    return [
        f"{where}.{name}"
        for name in first
        if not math.isclose(first[name], second[name], rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    ]
