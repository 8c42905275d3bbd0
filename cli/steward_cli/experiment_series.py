"""What an experiment's verdicts say over time: intervals, evidence, budgets, what is missing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from steward.domain.experiments.plan import ExperimentPlan, Goal, Guardrail, Metric
from steward_cli.experiments import Experiment, Judged

PHASES = {
    "ramp": "ramp", "ab_test": "A/B test", "bandit": "bandit", "shadow": "shadow traffic",
}  # fmt: skip
KINDS = {
    "binary": "share of entities",
    "bounded": "mean per entity, within fixed bounds",
    "mean": "mean per entity",
    "ratio": "ratio of sums over entities",
    "adjusted": "mean per entity, adjusted by a covariate (CUPED)",
    "weighted": "mean per entity, weighted by logged propensities (AIPW)",
    "paired": "mean difference of pairs: both versions answered the same request",
}


@dataclass(frozen=True)
class Point:
    """The confidence sequence of a metric at one verdict; limits are None where none is yet."""

    at: datetime
    number: int
    estimate: float | None
    lower: float | None
    upper: float | None
    n: int
    waits_for: str | None


@dataclass(frozen=True)
class MetricSeries:
    """One metric of one phase over its verdicts, candidate minus stable."""

    phase: str
    metric: Metric
    goal: Goal | None
    guardrail: Guardrail | None
    method: str
    guarantee: str
    confidence: float
    points: Sequence[Point]

    @property
    def last(self) -> Point:
        """The newest point."""
        return self.points[-1]

    @property
    def harm_at(self) -> float | None:
        """The difference at which the guardrail's margin is used up; None for no guardrail."""
        if self.guardrail is None:
            return None
        margin = self.guardrail.margin
        return -margin if self.metric.higher_is_better else margin

    @property
    def worth_at(self) -> float | None:
        """The difference below which the goal is not worth promoting; None where not declared."""
        if self.goal is None or self.goal.smallest_effect is None:
            return None
        effect = self.goal.smallest_effect
        return effect if self.metric.higher_is_better else -effect

    def tone(self, point: Point) -> str:
        """Return ``good``, ``bad`` or nothing: what an interval proves of the difference."""
        if point.lower is None or point.upper is None:
            return ""
        better = point.lower > 0 if self.metric.higher_is_better else point.upper < 0
        worse = point.upper < 0 if self.metric.higher_is_better else point.lower > 0
        return "good" if better else "bad" if worse else ""

    @property
    def definition(self) -> str:
        """What the figure is, in one sentence."""
        said = KINDS[self.metric.kind]
        if self.metric.kind != "paired":
            said = f"candidate minus stable, {said}"
        return (
            f"{said[0].upper()}{said[1:]}. {self.confidence:.4g} confidence sequence "
            f"({self.method}, {self.guarantee}): it may be read at any time."
        )


@dataclass(frozen=True)
class Budget:
    """How much of the evidence that would decide a guardrail has been seen.

    Attributes:
        log_e: Natural logarithm of the e-value.
        needs: What decides.
        harm: Whether it is evidence of harm (stops); else of non-inferiority (lets advance).
    """

    name: str
    harm: bool
    log_e: float
    needs: float
    margin: float
    weight: float
    must_prove: str

    @property
    def share(self) -> float:
        """Between 0 and 1: evidence seen of evidence needed."""
        return min(1.0, max(0.0, self.log_e / self.needs)) if self.needs > 0 else 0.0

    @property
    def reached(self) -> bool:
        """Whether it has decided."""
        return self.log_e >= self.needs


@dataclass(frozen=True)
class Evidence:
    """A log e-value over time with what it needs to decide."""

    phase: str
    needs: float
    points: Sequence[tuple[datetime, float, int]]

    @property
    def state(self) -> str:
        """What the newest point says: ``mismatch``, ``as intended`` or ``nothing captured yet``."""
        _, log_e, n = self.points[-1]
        if log_e >= self.needs:
            return "mismatch"
        return "as intended" if n else "nothing captured yet"


@dataclass(frozen=True)
class ArmUnits:
    """Entities of an arm.

    Attributes:
        exposed: First exposures: captured and frozen, or counted by metrics where those are more.
        matured: By metric those whose window has closed.
    """

    arm: str
    version: str
    exposed: int
    matured: dict[str, int]


def by_phase(experiment: Experiment) -> dict[str, list[Judged]]:
    """Return the judgements by experiments' plans, phase by phase in their order."""
    phases: dict[str, list[Judged]] = {}
    for judged in experiment.judged:
        if judged.plan is not None:
            phases.setdefault(judged.phase, []).append(judged)
    return phases


def metric_series(experiment: Experiment) -> list[MetricSeries]:
    """Return the confidence sequence of every metric: goals first, then guardrails, by phase."""
    found = []
    for phase, judged in by_phase(experiment).items():
        plan = judged[-1].plan
        assert plan is not None
        goals = {goal.metric.name: goal for goal in plan.goals}
        rails = {rail.metric.name: rail for rail in plan.guardrails}
        for name, metric in {metric.name: metric for metric in plan.metrics}.items():
            points = [point for j in judged if (point := _point(j, name)) is not None]
            if not points:
                continue
            newest = next(j.verdict for j in reversed(judged) if j.verdict)
            interval = newest.intervals[name]
            found.append(
                MetricSeries(
                    phase=phase,
                    metric=metric,
                    goal=goals.get(name),
                    guardrail=rails.get(name),
                    method=interval.method,
                    guarantee=interval.guarantee,
                    confidence=interval.confidence,
                    points=points,
                )
            )
    return found


def _point(judged: Judged, name: str) -> Point | None:
    interval = judged.verdict.intervals.get(name) if judged.verdict else None
    if interval is None:
        return None
    return Point(
        judged.at, judged.number, interval.estimate, interval.lower, interval.upper, interval.n,
        interval.waits_for,
    )  # fmt: skip


def budgets(plan: ExperimentPlan, numbers: dict[str, float]) -> list[Budget]:
    """Return the state of every guardrail after one verdict."""
    found = []
    for rail in plan.guardrails:
        for side, harm in (("harm", True), ("safe", False)):
            key = f"guardrail.{rail.metric.name}.{side}"
            if f"{key}.log_e" in numbers:
                found.append(
                    Budget(
                        name=rail.metric.name,
                        harm=harm,
                        log_e=numbers[f"{key}.log_e"],
                        needs=numbers[f"{key}.needs"],
                        margin=rail.margin,
                        weight=rail.weight,
                        must_prove=rail.must_prove,
                    )
                )
    return found


def mismatch_series(experiment: Experiment) -> list[Evidence]:
    """Return the evidence of a sample-ratio mismatch over time, by phase."""
    return [
        Evidence(
            phase=phase,
            needs=-math.log(judged[-1].plan.mismatch_alpha) if judged[-1].plan else 0.0,
            points=[
                (j.at, j.verdict.numbers["sample_ratio.log_e"], _exposed(j))
                for j in judged
                if j.verdict
            ],
        )
        for phase, judged in by_phase(experiment).items()
    ]


def _exposed(judged: Judged) -> int:
    steps = judged.record.steps if judged.record else ()
    return sum(sum(step.exposures.values()) for step in steps)


def arm_units(experiment: Experiment) -> list[ArmUnits]:
    """Return the entities of each arm in the newest phase, the stable version first."""
    phases = by_phase(experiment)
    if not phases:
        return []
    newest = list(phases.values())[-1][-1]
    assert newest.plan is not None
    assert newest.record is not None
    versions = {
        newest.plan.stable: experiment.head.get("stable_version"),
        newest.plan.candidate: experiment.head.get("version"),
    }
    rows = []
    for arm, version in versions.items():
        matured: dict[str, int] = {}
        for step in newest.record.steps:
            for name, arms in step.statistics.items():
                if arm in arms:
                    matured[name] = matured.get(name, 0) + arms[arm].n
        captured = sum(step.exposures.get(arm, 0) for step in newest.record.steps)
        exposed = max([captured, *matured.values()])
        rows.append(ArmUnits(arm, f"v{version}" if version else "", exposed, matured))
    return rows


def waited_for(experiment: Experiment) -> list[str]:
    """Return what has to happen before the experiment decides; empty once it has."""
    if not experiment.running:
        return []
    newest = next((j for j in reversed(experiment.judged) if j.plan and j.verdict), None)
    if newest is None or newest.plan is None or newest.verdict is None:
        looked = experiment.judged[-1].reason if experiment.judged else ""
        return [looked or "the first look after the traffic has moved"]
    numbers, waits = newest.verdict.numbers, []
    if numbers["sample_ratio.log_e"] >= numbers["sample_ratio.needs"]:
        return ["a person: exposures are lost or doubled on one side, so nothing can be decided"]
    units, needs = numbers["units"], numbers["units.needs"]
    if units < needs:
        waits.append(f"{needs - units:g} more matured entities in the smaller arm "
                     f"({units:g} of {needs:g})")  # fmt: skip
    for name, interval in newest.verdict.intervals.items():
        if interval.waits_for:
            waits.append(f"{name}: {interval.waits_for}")
    for goal in newest.plan.goals:
        key = f"goal.{goal.metric.name}"
        if numbers[f"{key}.log_e"] < numbers[f"{key}.needs"]:
            waits.append(
                f"{goal.metric.name}: proof that it is better, log e-value "
                f"{numbers[f'{key}.log_e']:.2f} of {numbers[f'{key}.needs']:.2f}"
            )
    waits += [
        f"{budget.name}: proof that it is at most {budget.margin:g} worse, log e-value "
        f"{budget.log_e:.2f} of {budget.needs:.2f}"
        for budget in budgets(newest.plan, numbers)
        if not budget.harm and not budget.reached
    ]
    left = remaining_s(experiment)
    if left is not None:
        end = f"the planned end of {newest.step_id}"
        waits.append(f"or {end}, in {duration(left)}" if left > 0 else f"the next look, {end}")
    return waits


def remaining_s(experiment: Experiment) -> float | None:
    """Return the seconds until the present step is due, counted in the scheduler's ticks.

    None where one execution plays the release: it waits by itself.
    """
    head = experiment.head
    steps = (experiment.release.get("plan") or {}).get("steps") or []
    index = int(head.get("step_index") or 0)
    if not head.get("ticked") or index >= len(steps):
        return None
    bake_s = float(steps[index]["bake_s"])
    held_s = float(head.get("holds") or 0) * float(steps[index].get("hold_s") or bake_s)
    passed_s = (int(head["tick"]) - int(head["step_tick"])) * experiment.tick_s
    return max(0.0, bake_s + held_s - passed_s)


def duration(seconds: float) -> str:
    """Return seconds for people: the two largest units."""
    parts, left = [], round(seconds)
    for name, size in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {name}")
    return " ".join(parts[:2]) or "0 s"
