"""An experiment as its records tell it: simulated units, frozen cohorts, the real judge.

Items and objects are laid out as the release machines and ticks write them, so that whatever reads
experiments can be tried on months of history in a second.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from steward.domain.digests import canonical_json
from steward.domain.experiments.arm_statistics import ArmStatistics, statistics_of
from steward.domain.experiments.cohorts import (
    FrozenCohort,
    cohort_item,
    experiment_item,
    experiment_prefix,
    span_of,
    verdict_item,
)
from steward.domain.experiments.plan import (
    PAIRED,
    ExperimentPlan,
    ExperimentRecord,
    Goal,
    Guardrail,
    Metric,
    StepRecord,
)
from steward.domain.experiments.verdicts import ExperimentVerdict, judge
from steward.domain.versions import version_item
from steward.ports import Item, Table, Update
from support.fakes import FakeClock, FakeObjects, FakeState

PROJECT, ARTIFACTS = "diabetes", "artifacts"
STABLE, CANDIDATE = "stable", "candidate"
TICK_S, WINDOW_S, LATENESS_S = 3600, 6 * 3600, 300
EDGES = tuple(i / 20 for i in range(21))
DIFFERENCES = tuple(i / 20 for i in range(-20, 21))

RECOVERED = Metric(name="recovered", kind="binary", centre=0.3)
STAY = Metric(name="stay_days", kind="mean", higher_is_better=False, mixture_variance=0.01)
ERRORS = Metric(name="errors", kind="binary", higher_is_better=False, centre=0.01)
SLOW = Metric(name="slow", kind="binary", higher_is_better=False, centre=0.03)
PREDICTION = Metric(name="prediction_up", kind="bounded", higher_is_better=False, centre=0.35)
PAIRS = Metric(name="prediction_difference", kind="paired", higher_is_better=False)

AB_TEST = ExperimentPlan(
    strategy="ab_test", candidate=CANDIDATE, stable=STABLE, minimum_units=100,
    goals=(Goal(metric=RECOVERED, smallest_effect=0.02), Goal(metric=STAY)),
    guardrails=(
        Guardrail(metric=ERRORS, margin=0.02, weight=0.4, must_prove="non_inferiority"),
        Guardrail(metric=SLOW, margin=0.05, weight=0.4, must_prove="harm"),
        Guardrail(metric=PREDICTION, margin=0.1, weight=0.2, must_prove="harm"),
    ),
)  # fmt: skip
BANDIT = ExperimentPlan(
    strategy="bandit", candidate=CANDIDATE, stable=STABLE, minimum_units=100,
    goals=(Goal(metric=RECOVERED),),
    guardrails=(Guardrail(metric=ERRORS, margin=0.02, weight=1.0, must_prove="harm"),),
)  # fmt: skip
SHADOW = ExperimentPlan(
    strategy="shadow", candidate=CANDIDATE, stable=STABLE, minimum_units=100,
    guardrails=(Guardrail(metric=PAIRS, margin=0.2, weight=1.0, must_prove="non_inferiority"),),
)  # fmt: skip
RAMP = ExperimentPlan(
    strategy="canary", candidate=CANDIDATE, stable=STABLE, minimum_units=50,
    guardrails=(
        Guardrail(metric=ERRORS, margin=0.05, weight=0.5, must_prove="harm"),
        Guardrail(metric=SLOW, margin=0.05, weight=0.5, must_prove="harm"),
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Truth:
    """What the simulated world is like: rates of an arm."""

    recovered: float = 0.3
    stay_days: float = 6.0
    errors: float = 0.01
    slow: float = 0.03
    prediction: float = 0.35


@dataclass
class _Batch:
    step_id: str
    at: str
    due: float
    values: dict[str, dict[str, list[float]]]
    propensities: dict[str, float]
    exposures: dict[str, int]


@dataclass
class ExperimentScene:
    """One release of version 2 beside version 1, as an experiment.

    Attributes:
        per_tick: Entities first exposed within a tick.
        lost: Share of the candidate's exposures that are lost on the way (a sample-ratio fault).
    """

    state: FakeState = field(default_factory=FakeState)
    objects: FakeObjects = field(default_factory=FakeObjects)
    clock: FakeClock = field(default_factory=FakeClock)
    seed: int = 7
    version: int = 2
    stable: int | None = 1
    per_tick: int = 120
    lost: float = 0.0
    stable_truth: Truth = Truth()
    candidate_truth: Truth = Truth(recovered=0.36, stay_days=5.8)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.release_id = f"{self.version:08d}-1"
        self.prefix = experiment_prefix(ARTIFACTS, PROJECT, self.release_id)
        self._waiting: list[_Batch] = []
        self._fast: dict[str, _Batch] = {}
        self._cohorts: list[FrozenCohort] = []
        self._steps: list[str] = []
        self._number = self._tick = self._route = 0

    # The record of a release

    def begin(self, strategy: str, plans: Mapping[str, ExperimentPlan]) -> None:
        """Write the release, the two versions and the experiment's head item."""
        for version in filter(None, (self.stable, self.version)):
            self._register(version)
        self.state.put(Table.PROJECTS, {"project": PROJECT, "config": {}})
        self.state.put(Table.RELEASES, {
            "project": PROJECT, "release_id": self.release_id, "version": self.version,
            "stable_version": self.stable, "strategy": strategy, "status": "running",
            "started_at": self.now, "shifts": [], "verdicts": [], "evidence_digest": "d" * 64,
            "plan": {"strategy": strategy, "tick_s": TICK_S, "steps": []},
        })  # fmt: skip
        self.state.put(Table.EXPERIMENTS, {
            "project": PROJECT, "item": experiment_item(self.release_id),
            "release_id": self.release_id, "version": self.version, "stable_version": self.stable,
            "strategy": strategy, "router": "gateway", "status": "running",
            "plans": {name: plan.model_dump(mode="json") for name, plan in plans.items()},
            "plan_digests": {name: plan.digest for name, plan in plans.items()},
            "phase": next(iter(plans)), "step_id": None, "metrics": [], "tick": 0, "verdicts": 0,
            "started_at": self.now, "fast": {},
        })  # fmt: skip
        self._plans = dict(plans)

    @property
    def now(self) -> str:
        """The clock's time as it is stored."""
        return self.clock.now().isoformat(timespec="milliseconds")

    @property
    def head(self) -> Item:
        """The experiment's head item."""
        key = {"project": PROJECT, "item": experiment_item(self.release_id)}
        found = self.state.get(Table.EXPERIMENTS, key)
        assert found is not None
        return found

    @property
    def release(self) -> Item:
        """The release's record."""
        key = {"project": PROJECT, "release_id": self.release_id}
        found = self.state.get(Table.RELEASES, key)
        assert found is not None
        return found

    def shift(self, step_id: str, share: float, bake_s: int = TICK_S, phase: str = "") -> None:
        """Move traffic: the candidate gets a share in percent."""
        self._route += 1
        shares = {str(self.stable): 100.0 - share, str(self.version): share}
        release = self.release
        plan = release["plan"]
        if phase:
            plan["steps"].append(
                {"step_id": step_id, "share": share, "bake_s": bake_s, "phase": phase}
            )
        self._change(Table.RELEASES, "release_id", shifts=[*release["shifts"], {
            "step_id": step_id, "shares": shares, "at": self.now, "route_version": self._route,
        }], step_id=step_id, plan=plan)  # fmt: skip
        arms = [
            {"version": self.version, "endpoint": "c", "role": "candidate", "share": share},
            {"version": self.stable, "endpoint": "s", "role": "stable", "share": 100.0 - share},
        ]
        self.state.put(Table.ROUTES, {"project": PROJECT, "release_id": self.release_id,
                                      "route_version": self._route, "step_id": step_id,
                                      "arms": arms})  # fmt: skip
        self._change(
            Table.EXPERIMENTS, "item", step_id=step_id, **({"phase": phase} if phase else {})
        )

    # Ticks

    def tick(self, phase: str, step_id: str, share: float, **record: Any) -> ExperimentVerdict:
        """Let an hour of traffic pass, freeze what is due, judge, and write it all down."""
        self._expose(phase, step_id, share / 100)
        self.clock.advance(TICK_S)
        self._tick += 1
        self._freeze()
        return self._judge(phase, step_id, **record)

    def end(self, status: str, outcome: str) -> None:
        """End release and experiment."""
        self._change(Table.RELEASES, "release_id", status=status, ended_at=self.now, cause=outcome)
        self._change(Table.EXPERIMENTS, "item", status="ended", ended_at=self.now, outcome=outcome)

    def _expose(self, phase: str, step_id: str, share: float) -> None:
        if step_id not in self._steps:
            self._steps.append(step_id)
        drawn: dict[str, dict[str, list[float]]] = {}
        propensities = {STABLE: 1 - share, CANDIDATE: share}
        exposures = {STABLE: 0, CANDIDATE: 0}
        for _ in range(self.per_tick):
            arm = CANDIDATE if self.random.random() < share else STABLE
            if arm == CANDIDATE and self.random.random() < self.lost:
                continue
            exposures[arm] += 1
            for name, value in self._values(arm).items():
                drawn.setdefault(name, {STABLE: [], CANDIDATE: []})[arm].append(value)
        if phase == "shadow":
            pairs = [
                max(-1.0, min(1.0, self.random.gauss(0.02, 0.08))) for _ in range(self.per_tick)
            ]
            drawn[PAIRS.name] = {PAIRED: pairs}
        batch = _Batch(step_id, span_of(self.clock.now(), TICK_S), 0.0, drawn, propensities,
                       exposures)  # fmt: skip
        batch.due = self.clock.now().timestamp() + TICK_S + WINDOW_S + LATENESS_S
        self._waiting.append(batch)
        fast = self._fast.setdefault(
            step_id, _Batch(step_id, batch.at, 0.0, {}, propensities, {STABLE: 0, CANDIDATE: 0})
        )
        for arm, count in exposures.items():
            fast.exposures[arm] += count
        for name in (ERRORS.name, SLOW.name):
            kept = fast.values.setdefault(name, {STABLE: [], CANDIDATE: []})
            for arm, values in drawn.get(name, {}).items():
                kept[arm] += values

    def _values(self, arm: str) -> dict[str, float]:
        truth = self.candidate_truth if arm == CANDIDATE else self.stable_truth
        hit = self.random.random
        return {
            RECOVERED.name: float(hit() < truth.recovered),
            STAY.name: max(0.0, self.random.gauss(truth.stay_days, 1.5)),
            ERRORS.name: float(hit() < truth.errors),
            SLOW.name: float(hit() < truth.slow),
            PREDICTION.name: min(1.0, max(0.0, self.random.gauss(truth.prediction, 0.15))),
        }

    def _freeze(self) -> None:
        now = self.clock.now().timestamp()
        for batch in [batch for batch in self._waiting if batch.due <= now]:
            self._waiting.remove(batch)
            captured = {n: v for n, v in batch.values.items() if n not in ("errors", "slow")}
            frozen = FrozenCohort(
                step_id=batch.step_id, span=batch.at, window_s=WINDOW_S, frozen_at=self.now,
                propensities=batch.propensities, exposures=batch.exposures,
                statistics={
                    name: {arm: _statistics(name, values) for arm, values in arms.items()}
                    for name, arms in captured.items()
                },
                counts={
                    "requests": 3 * sum(batch.exposures.values()), "repeated": 2, "other_arm": 0,
                    "outcomes": sum(batch.exposures.values()) - 5, "repeated_outcomes": 4,
                    "unknown_outcomes": 1, "late_outcomes": 3, "unusable_values": 0,
                },
            )  # fmt: skip
            self._cohorts.append(frozen)
            uri = f"{self.prefix}cohorts/{frozen.cohort_id}.json"
            self.objects.write(uri, canonical_json(frozen.model_dump(mode="json")))
            self.state.put(Table.EXPERIMENTS, {
                "project": PROJECT, "item": cohort_item(self.release_id, frozen.cohort_id),
                "cohort_id": frozen.cohort_id, "step_id": frozen.step_id, "span": frozen.span,
                "window_s": WINDOW_S, "digest": frozen.digest, "uri": uri,
                "frozen_at": frozen.frozen_at, "counts": frozen.counts,
            })  # fmt: skip

    def record(self, phase: str, **fields: Any) -> ExperimentRecord:
        """Return what the judge sees of a phase now: fast counts and frozen cohorts by step."""
        wanted = {metric.name for metric in self._plans[phase].metrics}
        steps = []
        for step_id in self._steps:
            fast = self._fast[step_id]
            if not step_id.startswith(phase):
                continue
            statistics = {
                name: {arm: _statistics(name, values) for arm, values in arms.items()}
                for name, arms in fast.values.items()
                if name in wanted
            }
            for cohort in sorted(self._cohorts, key=lambda c: c.cohort_id):
                if cohort.step_id == step_id:
                    for name in wanted & cohort.statistics.keys():
                        known = statistics.setdefault(name, {})
                        for arm, found in cohort.statistics[name].items():
                            known[arm] = known[arm].merge(found) if arm in known else found
            steps.append(
                StepRecord(
                    step_id=step_id, propensities=fast.propensities, exposures=fast.exposures,
                    statistics=statistics,
                )
            )  # fmt: skip
        return ExperimentRecord(steps=tuple(steps), **fields)

    def _judge(self, phase: str, step_id: str, **fields: Any) -> ExperimentVerdict:
        plan, record = self._plans[phase], self.record(phase, **fields)
        verdict = judge(plan, record)
        self._number += 1
        uri = f"{self.prefix}verdicts/{self._number:06d}.json"
        self.objects.write(uri, canonical_json({
            "plan": plan.model_dump(mode="json"), "record": record.model_dump(mode="json"),
            "verdict": verdict.model_dump(mode="json"),
        }))  # fmt: skip
        self.state.put(Table.EXPERIMENTS, {
            "project": PROJECT, "item": verdict_item(self.release_id, self._number),
            "step_id": step_id, "phase": phase, "verdict": verdict.verdict,
            "reason": verdict.reason, "numbers": verdict.numbers, "digest": verdict.digest,
            "uri": uri, "at": self.now,
        })  # fmt: skip
        self._change(Table.EXPERIMENTS, "item", verdicts=self._number, tick=self._tick)
        return verdict

    def _change(self, table: Table, sort: str, **fields: Any) -> None:
        key = {"project": PROJECT, sort: self.release_id}
        self.state.commit([Update(table, key, set=fields)])

    def _register(self, version: int) -> None:
        vote = {"identity": "000000000000/ada", "principal_arn": "arn", "decision": "approve",
                "at": self.now, "comment": "calibrated"}  # fmt: skip
        self.state.put(Table.VERSIONS, {
            "project": PROJECT, "item": version_item(version), "version": version,
            "state": "approved", "approvals": [vote], "evidence_digest": "d" * 64,
            "evidence_uri": f"s3://{ARTIFACTS}/evidence/{PROJECT}/{version}/evidence.json",
        })  # fmt: skip


def _statistics(name: str, values: list[float]) -> ArmStatistics:
    edges = {PREDICTION.name: EDGES, PAIRS.name: DIFFERENCES}.get(name)
    return statistics_of(values, edges=edges)


# Stories


def ab_test(scene: ExperimentScene | None = None, ticks: int = 40) -> ExperimentScene:
    """Play a test with even shares to its verdict, at most to its planned end."""
    scene = scene or ExperimentScene()
    scene.begin("ab_test", {"ab_test": AB_TEST})
    scene.shift("ab_test-1-50", 50, ticks * TICK_S, "ab_test")
    for number in range(1, ticks + 1):
        found = scene.tick("ab_test", "ab_test-1-50", 50, ended=number == ticks)
        if found.verdict == "promote":
            scene.shift(f"{scene.release_id}-done", 100)
            scene.end("completed", found.reason)
        elif found.verdict == "roll_back":
            scene.shift(f"{scene.release_id}-restored", 0)
            scene._change(Table.RELEASES, "release_id", restored_at=scene.now)
            scene.end("rolled_back", found.reason)
        elif found.verdict in ("stop_futile", "inconclusive"):
            scene.shift(f"{scene.release_id}-taken-back", 0)
            scene.end("not_promoted", found.reason)
        else:
            continue
        return scene
    return scene


def running(ticks: int = 12) -> ExperimentScene:
    """Return a test that goes on."""
    scene = ExperimentScene(candidate_truth=Truth())
    scene.begin("ab_test", {"ab_test": AB_TEST})
    scene.shift("ab_test-1-50", 50, 40 * TICK_S, "ab_test")
    for _ in range(ticks):
        scene.tick("ab_test", "ab_test-1-50", 50)
    return scene


def bandit(batches: int = 12) -> ExperimentScene:
    """Return a bandit whose shares move with every batch of four hours."""
    scene = ExperimentScene(candidate_truth=Truth(recovered=0.4))
    scene.begin("bandit", {"bandit": BANDIT})
    share = 50.0
    for number in range(1, batches + 1):
        step_id = f"bandit-1-{number:03d}"
        scene.shift(step_id, share, 4 * TICK_S, "bandit")
        for _ in range(4):
            if scene.tick("bandit", step_id, share).verdict == "promote":
                scene.shift(f"{scene.release_id}-done", 100)
                scene.end("completed", "recovered proved better")
                return scene
        share = min(90.0, round(share * scene.random.uniform(0.95, 1.2), 1))
    return scene


def shadow_then_ramp() -> ExperimentScene:
    """Return a candidate that was mirrored first, then ramped up to where errors took it back."""
    scene = ExperimentScene(candidate_truth=Truth(errors=0.3))
    scene.begin("canary", {"shadow": SHADOW, "ramp": RAMP})
    scene.shift("shadow-1-100", 0, 10 * TICK_S, "shadow")
    for number in range(1, 11):
        scene.tick("shadow", "shadow-1-100", 0, ended=number == 10)
    for share in (10, 50, 100):
        step_id = f"ramp-{share}"
        scene.shift(step_id, share, TICK_S, "ramp")
        found = scene.tick("ramp", step_id, share, ended=share == 100)
        if found.verdict == "hold":
            found = scene.tick("ramp", step_id, share, ended=share == 100, holds=1)
        if found.verdict == "roll_back":
            scene.shift(f"{scene.release_id}-restored", 0)
            scene.end("rolled_back", found.reason)
            break
    return scene
