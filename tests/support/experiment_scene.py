"""An experiment as its records tell it: simulated entities, frozen cohorts, the real judge.

Plans, records, judgements and what follows them are made by the domain's own functions; items and
objects are laid out as releases and ticks write them. So whatever reads experiments can be tried
on weeks of history in a second.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from steward.domain.digests import canonical_json
from steward.domain.experiments.arm_statistics import ArmStatistics, statistics_of
from steward.domain.experiments.bandit import Batch, next_shares
from steward.domain.experiments.cohorts import (
    FrozenCohort,
    cohort_item,
    experiment_item,
    experiment_prefix,
    span_of,
    verdict_item,
)
from steward.domain.experiments.judged_step import JudgedStep, judged_step
from steward.domain.experiments.plan import PAIRED, ExperimentPlan
from steward.domain.guardrails import Counts, StepStatistics
from steward.domain.release_declaration import Release
from steward.domain.strategies import Planned, plan_for
from steward.domain.strategies.bandit import batch_id
from steward.domain.strategies.experiment_plans import experiment_plans
from steward.domain.strategies.following import Following, Standing, following
from steward.domain.versions import version_item
from steward.ports import Item, Table, Update
from steward.service.serving.experiments import new_head, propensities
from steward.service.serving.judging import assemble_record
from support.fakes import FakeClock, FakeObjects, FakeState

PROJECT, ARTIFACTS = "diabetes", "artifacts"
STABLE, CANDIDATE = "stable", "candidate"
TICK_S, WINDOW_S = 3600, 6 * 3600
HISTOGRAMS = {
    "prediction_up": tuple(i / 20 for i in range(21)),
    "prediction_down": tuple(i / 20 for i in range(21)),
    "prediction_difference": tuple(i / 20 for i in range(-20, 21)),
}
METRICS: list[dict[str, Any]] = [
    {
        "name": "recovered", "kind": "binary", "value": "outcome", "window_s": WINDOW_S,
        "no_outcome": "zero", "expected": 0.3, "goal": {"smallest_effect": 0.02},
    },
    {
        "name": "stay_days", "kind": "mean", "value": "outcome", "window_s": WINDOW_S,
        "higher_is_better": False, "expected": 6.0, "standard_deviation": 1.5, "goal": {},
    },
]  # fmt: skip


def declared(strategy: str, **fields: Any) -> Release:
    """Return what a project declares, with hourly ticks and cohorts of an hour."""
    experiment = strategy in ("ab_test", "bandit")
    return Release.model_validate(
        {
            "strategy": strategy, "tick_s": TICK_S, "cohort_s": TICK_S, "lateness_s": 300,
            "metrics": METRICS[: 2 if strategy == "ab_test" else 1] if experiment else [],
            **fields,
        }
    )  # fmt: skip


@dataclass(frozen=True)
class Truth:
    """What the simulated world is like for one version."""

    recovered: float = 0.3
    stay_days: float = 6.0
    errors: float = 0.01
    slow: float = 0.02
    prediction: float = 0.35


@dataclass
class _Hour:
    """Entities first exposed within one tick: per metric and arm a value each."""

    step_id: str
    span: str
    due: float
    propensities: dict[str, float]
    exposures: dict[str, int]
    values: dict[str, dict[str, list[float]]]


@dataclass
class ExperimentScene:
    """One release of version 2 beside version 1.

    Attributes:
        release: What the project declares.
        per_tick: Entities first exposed within a tick.
        lost: Share of the candidate's captures that are lost on the way (a sample-ratio fault).
    """

    release: Release = field(default_factory=lambda: declared("ab_test"))
    candidate: Truth = Truth(recovered=0.42, stay_days=5.8)
    stable: Truth = Truth()
    per_tick: int = 120
    lost: float = 0.0
    seed: int = 7
    state: FakeState = field(default_factory=FakeState)
    objects: FakeObjects = field(default_factory=FakeObjects)
    clock: FakeClock = field(default_factory=FakeClock)

    release_id = "00000002-1"

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.prefix = experiment_prefix(ARTIFACTS, PROJECT, self.release_id)
        self._waiting: list[_Hour] = []
        self._fast: dict[str, dict[str, dict[str, int]]] = {}
        self._cohorts: list[FrozenCohort] = []
        self._route_version = 1
        self.plan = plan_for(self.release, "gateway", ["age"], first=False)
        self.plans = experiment_plans(self.release, self.plan, self.per_tick / TICK_S)
        for version in (1, 2):
            self._register(version)
        self.state.put(Table.PROJECTS, {"project": PROJECT, "config": {}})
        first = {"step_id": "all_at_once-1-100", "shares": {"1": 100.0}, "at": self.now,
                 "route_version": 1}  # fmt: skip
        self.state.put(Table.RELEASES, {
            "project": PROJECT, "release_id": "00000001-1", "version": 1, "stable_version": None,
            "status": "completed", "strategy": "all_at_once", "started_at": self.now,
            "ended_at": self.now, "shifts": [first], "verdicts": [], "evidence_digest": "d" * 64,
        })  # fmt: skip
        self.clock.advance(24 * 3600)
        record = {
            "project": PROJECT, "release_id": self.release_id, "version": 2, "stable_version": 1,
            "strategy": self.plan.strategy, "status": "running", "started_at": self.now,
            "shifts": [], "verdicts": [], "evidence_digest": "d" * 64,
            "plan": self.plan.model_dump(mode="json"), "plan_digest": self.plan.digest,
        }  # fmt: skip
        self.state.put(Table.RELEASES, record)
        head = new_head(record, self.release, self.plan, self.plans, router="gateway",
                        stable_version=1, started_at=self.now)  # fmt: skip
        self.state.put(Table.EXPERIMENTS, head)
        self._enter(0)

    @property
    def now(self) -> str:
        """The clock's time as it is stored."""
        return self.clock.now().isoformat(timespec="milliseconds")

    @property
    def head(self) -> Item:
        """The experiment's head item."""
        key = {"project": PROJECT, "item": experiment_item(self.release_id)}
        return self.state.get(Table.EXPERIMENTS, key) or {}

    @property
    def record(self) -> Item:
        """The release's record."""
        key = {"project": PROJECT, "release_id": self.release_id}
        return self.state.get(Table.RELEASES, key) or {}

    @property
    def verdicts(self) -> list[Item]:
        """The items of all verdicts."""
        prefix = f"{self.release_id}#verdict#"
        return self.state.query(Table.EXPERIMENTS, PROJECT, prefix=prefix)

    # A tick

    def play(self, ticks: int = 400) -> ExperimentScene:
        """Let ticks pass until the experiment ends, or for so many."""
        for _ in range(ticks):
            if self.head["status"] != "running":
                break
            self.tick()
        return self

    def tick(self) -> None:
        """Let an hour of traffic pass, freeze what is due, judge, and do what follows."""
        step = self.plan.steps[self.head["step_index"]]
        self._expose(step)
        self.clock.advance(TICK_S)
        self._change(tick=self.head["tick"] + 1)
        self._freeze()
        judged, then = self._judge(step)
        self._follow(step, judged, then)

    def _enter(self, index: int, share: float | None = None) -> None:
        """Begin a step, or a bandit's batch with a share in percent."""
        step, head = self.plan.steps[index], self.head
        share = step.share if share is None else share
        step_id = step.step_id if step.floor is None else batch_id(step.step_id, head["batch"])
        self._move(step_id, {"1": 100.0 - share, "2": share})
        entered = {"step_id": step_id, "phase": step.phase, "index": index, "at": self.now,
                   "propensities": propensities(share)}  # fmt: skip
        changed = {"step_index": index, "step_id": step_id, "phase": step.phase,
                   "batch_tick": head["tick"], "steps": [*head["steps"], entered]}  # fmt: skip
        if not head["steps"] or head["step_index"] != index:
            changed |= {"step_tick": head["tick"], "holds": 0}
        self._change(**changed)

    def _move(self, step_id: str, shares: dict[str, float]) -> None:
        self._route_version += 1
        shift = {"step_id": step_id, "shares": shares, "at": self.now,
                 "route_version": self._route_version}  # fmt: skip
        self._change_release(shifts=[*self.record["shifts"], shift], step_id=step_id)
        self._write_route(step_id, shares)

    def _write_route(self, step_id: str, shares: dict[str, float]) -> None:
        arms = [
            {"version": int(v), "endpoint": f"v{v}", "share": s,
             "role": "candidate" if v == "2" and len(shares) > 1 else "stable"}
            for v, s in shares.items()
        ]  # fmt: skip
        self.state.put(Table.ROUTES, {
            "project": PROJECT, "release_id": self.release_id, "step_id": step_id, "arms": arms,
            "route_version": self._route_version, "salt": "s",
        })  # fmt: skip

    def _expose(self, step: Planned) -> None:
        step_id = self.head["step_id"]
        chances = self.head["steps"][-1]["propensities"]
        exposures, values = {STABLE: 0, CANDIDATE: 0}, dict[str, dict[str, list[float]]]()
        fast = self._fast.setdefault(
            step_id, {arm: {"units": 0, "errors": 0, "slow": 0} for arm in (CANDIDATE, STABLE)}
        )
        for _ in range(self.per_tick):
            arm = CANDIDATE if self.random.random() < chances[CANDIDATE] else STABLE
            drawn = self._drawn(self.candidate if arm == CANDIDATE else self.stable)
            fast[arm]["units"] += 1
            fast[arm]["errors"] += int(drawn.pop("errors"))
            fast[arm]["slow"] += int(drawn.pop("slow"))
            if arm == CANDIDATE and self.random.random() < self.lost:
                continue
            exposures[arm] += 1
            for name, value in drawn.items():
                values.setdefault(name, {STABLE: [], CANDIDATE: []})[arm].append(value)
        if step.mirror_percent:
            values |= self._pairs()
        now = self.clock.now()
        due = now.timestamp() + TICK_S + WINDOW_S + self.release.lateness_s
        self._waiting.append(_Hour(step_id, span_of(now, TICK_S), due, chances, exposures, values))

    def _drawn(self, truth: Truth) -> dict[str, float]:
        chance, normal = self.random.random, self.random.gauss
        prediction = min(1.0, max(0.0, normal(truth.prediction, 0.15)))
        return {
            "errors": float(chance() < truth.errors), "slow": float(chance() < truth.slow),
            "recovered": float(chance() < truth.recovered),
            "stay_days": max(0.0, normal(truth.stay_days, 1.5)),
            "prediction_up": prediction, "prediction_down": prediction,
        }  # fmt: skip

    def _pairs(self) -> dict[str, dict[str, list[float]]]:
        both = [(self._drawn(self.candidate), self._drawn(self.stable))
                for _ in range(self.per_tick)]  # fmt: skip
        names = {"errors": "errors", "slow": "slow", "prediction_difference": "prediction_up"}
        return {
            name: {PAIRED: [new[drawn] - old[drawn] for new, old in both]}
            for name, drawn in names.items()
        }

    def _freeze(self) -> None:
        now = self.clock.now().timestamp()
        due = [hour for hour in self._waiting if hour.due <= now]
        self._waiting = [hour for hour in self._waiting if hour.due > now]
        phases = {step["step_id"]: step["phase"] for step in self.head["steps"]}
        for hour in due:
            wanted = {metric.name for metric in self.plans[phases[hour.step_id]].metrics}
            entities = sum(hour.exposures.values())
            frozen = FrozenCohort(
                step_id=hour.step_id, span=hour.span, window_s=WINDOW_S, frozen_at=self.now,
                propensities=hour.propensities, exposures=hour.exposures,
                statistics={
                    name: {arm: _frozen(name, drawn) for arm, drawn in arms.items()}
                    for name, arms in hour.values.items()
                    if name in wanted
                },
                counts={
                    "requests": 3 * entities, "repeated": 2, "other_arm": 0,
                    "outcomes": entities - 5, "repeated_outcomes": 4, "unknown_outcomes": 1,
                    "late_outcomes": 3, "unusable_values": 0,
                },
            )  # fmt: skip
            self._cohorts.append(frozen)
            uri = f"{self.prefix}cohorts/{frozen.cohort_id}.json"
            self.objects.write(uri, canonical_json(frozen.model_dump(mode="json")))
            self.state.put(Table.EXPERIMENTS, {
                "project": PROJECT, "item": cohort_item(self.release_id, frozen.cohort_id),
                "uri": uri, "digest": frozen.digest, "frozen_at": frozen.frozen_at,
                "step_id": frozen.step_id, "span": frozen.span, "window_s": WINDOW_S,
                "exposures": frozen.exposures, "counts": frozen.counts,
            })  # fmt: skip

    # A judgement

    def _judge(self, step: Planned) -> tuple[JudgedStep, Following]:
        head = self.head
        fast = self._fast[head["step_id"]]
        if step.limits.concurrent and step.phase != "shadow":
            head["fast"][head["step_id"]] = fast
        passed_s = (head["tick"] - head["step_tick"]) * TICK_S
        due = passed_s >= step.due_after_s(head["holds"])
        rest = self.plan.steps[head["step_index"] + 1 :]
        ended = due and not any(later.phase == step.phase for later in rest)
        units = fast[CANDIDATE]
        statistics = StepStatistics(
            release_id=self.release_id, step_id=head["step_id"], share=step.share,
            since=head["steps"][-1]["at"], until=self.now, holds=head["holds"],
            counts=Counts(requests=3 * units["units"], errors=units["errors"],
                          slow=units["slow"]),
            alarms={}, standing=[], limits=step.limits, due=due,
        )  # fmt: skip
        plan: ExperimentPlan | None = self.plans.get(step.phase)
        record = assemble_record(head, step.phase, self._cohorts, holds=head["holds"], ended=ended)
        judged = judged_step(statistics, plan, record if plan else None)
        batch_s = step.batch_s
        over = batch_s is not None and (head["tick"] - head["batch_tick"]) * TICK_S >= batch_s
        standing = Standing(head["step_index"], head["holds"], due, over)
        then = following(self.plan, standing, judged.decision.verdict)
        number = head["verdicts"] + 1
        uri = f"{self.prefix}verdicts/{number:06d}.json"
        self.objects.write(uri, judged.content())
        self.state.put(Table.EXPERIMENTS, {
            "project": PROJECT, "item": verdict_item(self.release_id, number),
            "release_id": self.release_id, "number": number, "tick": head["tick"],
            "step_id": head["step_id"], "phase": step.phase, "holds": head["holds"],
            "verdict": judged.decision.verdict, "reason": judged.decision.reason,
            "numbers": judged.decision.numbers, "next": then.next,
            "digest": judged.decision.digest, "uri": uri, "at": self.now,
        })  # fmt: skip
        self._change(verdicts=number, fast=head["fast"], holds=then.holds)
        return judged, then

    def _follow(self, step: Planned, judged: JudgedStep, then: Following) -> None:
        match then.next:
            case "shift" if step.floor is not None and judged.plan and judged.record:
                goal = judged.plan.goals[0].metric.name
                batches = [
                    Batch(shares=s.propensities, statistics=s.statistics[goal])
                    for s in judged.record.steps
                    if goal in s.statistics
                ]
                shares = next_shares(batches, [CANDIDATE, STABLE], step.floor)
                self._change(batch=self.head["batch"] + 1)
                self._enter(then.index, round(100 * shares[CANDIDATE], 6))
            case "shift":
                self._enter(then.index)
            case "complete":
                self._end("completed", {"2": 100.0})
            case "roll_back":
                self._move(f"{self.release_id}-restored", {"1": 100.0})
                self._change_release(restored_at=self.now, cause=judged.decision.reason)
                self._end("rolled_back", {"1": 100.0})
            case "end":
                why = f"{judged.decision.verdict}: {judged.decision.reason}"
                self._change_release(cause=why)
                self._end("not_promoted", {"1": 100.0})

    def _end(self, status: str, shares: dict[str, float]) -> None:
        self._write_route(f"{self.record['step_id']}-done", shares)
        self._change_release(status=status, ended_at=self.now)
        self._change(status="ended", ended_at=self.now, outcome=status)

    def _change(self, **fields: Any) -> None:
        key = {"project": PROJECT, "item": experiment_item(self.release_id)}
        self.state.commit([Update(Table.EXPERIMENTS, key, set=fields)])

    def _change_release(self, **fields: Any) -> None:
        key = {"project": PROJECT, "release_id": self.release_id}
        self.state.commit([Update(Table.RELEASES, key, set=fields)])

    def _register(self, version: int) -> None:
        vote = {"identity": "000000000000/ada", "principal_arn": "arn", "decision": "approve",
                "at": self.now, "comment": "calibrated"}  # fmt: skip
        self.state.put(Table.VERSIONS, {
            "project": PROJECT, "item": version_item(version), "version": version,
            "state": "approved", "approvals": [vote], "evidence_digest": "d" * 64,
            "evidence_uri": f"s3://{ARTIFACTS}/evidence/{PROJECT}/{version}/evidence.json",
        })  # fmt: skip


def _frozen(name: str, values: list[float]) -> ArmStatistics:
    paired = (-1.0, -1.0, 0.0, 0.0, 1.0, 1.0) if name in ("errors", "slow") else None
    return statistics_of(values, edges=HISTOGRAMS.get(name, paired))


# Stories

DAYS = 86_400


def won() -> ExperimentScene:
    """Return a test that the candidate won."""
    release = declared("ab_test", ab_test={"duration_s": 3 * DAYS})
    return ExperimentScene(release, candidate=Truth(recovered=0.38, stay_days=5.8)).play()


def harmful() -> ExperimentScene:
    """Return a test that the candidate's errors ended."""
    return ExperimentScene(declared("ab_test"), candidate=Truth(errors=0.08)).play()


def mismatched() -> ExperimentScene:
    """Return a test in which a quarter of the candidate's captures are lost."""
    return ExperimentScene(declared("ab_test"), candidate=Truth(), lost=0.25).play(40)


def running() -> ExperimentScene:
    """Return a test that goes on."""
    release = declared(
        "ab_test", ab_test={"duration_s": 4 * DAYS},
        guardrails={"must_prove": "non_inferiority", "prediction_margin": 0.1},
    )  # fmt: skip
    return ExperimentScene(release, candidate=Truth(recovered=0.32)).play(20)


def bandit() -> ExperimentScene:
    """Return a bandit whose shares move with every batch of four hours."""
    release = declared("bandit", bandit={"duration_s": 4 * DAYS, "batch_s": 4 * TICK_S})
    return ExperimentScene(release, candidate=Truth(recovered=0.36), per_tick=60).play()


def shadow_then_ramp() -> ExperimentScene:
    """Return a candidate that was mirrored for a day and then ramped up until errors ended it."""
    release = declared(
        "canary", shadow_first=True, bake_s=2 * TICK_S,
        shadow={"duration_s": DAYS, "max_difference": 0.2},
    )  # fmt: skip
    scene = ExperimentScene(release, candidate=Truth(errors=0.01))
    while scene.head["step_index"] == 0 and scene.head["status"] == "running":
        scene.tick()
    scene.candidate = Truth(errors=0.3)
    return scene.play()
