"""Use case: judge a release from frozen statistics, and keep all that the verdict follows from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

from steward.contracts.events import VerdictReached
from steward.contracts.steps.serving import JudgeStep, RollbackStart, StepVerdict
from steward.domain.errors import (
    ConflictError,
    EvidenceIncompleteError,
    InvalidStatisticsError,
    ReleaseEndedError,
)
from steward.domain.experiments.arm_statistics import ArmStatistics
from steward.domain.experiments.bandit import Batch, next_shares
from steward.domain.experiments.cohorts import (
    FrozenCohort,
    cohorts_of,
    experiment_prefix,
    verdict_item,
)
from steward.domain.experiments.judged_step import JudgedStep, judged_step
from steward.domain.experiments.plan import ExperimentPlan, ExperimentRecord, StepRecord
from steward.domain.guardrails import Counts, StepStatistics
from steward.domain.releases import applied_field, rollback_name
from steward.domain.routes import Route
from steward.domain.strategies.experiment_plans import CANDIDATE, ERRORS, SLOW, STABLE
from steward.domain.strategies.following import Following, Standing, following
from steward.domain.strategies.plan import Plan, Planned
from steward.ports import (
    Absent,
    Alarms,
    Clock,
    Equals,
    Ids,
    Item,
    ObjectStore,
    Put,
    RoleCounts,
    StateStore,
    Table,
    TrafficMetrics,
    Update,
)
from steward.service.emission import Cause, event
from steward.service.serving.experiments import head_key, head_of, step_ids
from steward.service.serving.records import plan_of, route_of, running
from steward.service.serving.release_steps import guardrail_alarms

KEPT_VERDICTS = 30
"""Verdicts in the release's own item; all of them are items of the experiment."""

READERS = 8
"""Cohorts that are read at a time."""

SMALLEST = 1e-120
"""Numbers nearer to 0 are told as 0: DynamoDB holds none below 1e-130."""


def fast_statistics(counts: Item) -> dict[str, ArmStatistics]:
    """Return errors and slow answers of one arm's entities at their first exposure.

    Raises:
        InvalidStatisticsError: More units failed or were slow than there were.
    """
    n = counts["units"]
    return {
        name: ArmStatistics(n=n, y=counts[name], y2=counts[name], d=n, d2=n, yd=counts[name])
        for name in (ERRORS, SLOW)
    }


def assemble_record(
    head: Item, phase: str, cohorts: Sequence[FrozenCohort], *, holds: int, ended: bool
) -> ExperimentRecord:
    """Return the record of a phase from its head item and its frozen cohorts.

    Errors and slow answers come from what metrics counted; they are frozen once the step is
    left. Captured metrics and first exposures come from the cohorts, added up in the order of
    their ids, so that equal cohorts give equal bytes. Metrics count an entity once in each
    execution environment of the gateway, so that only captured exposures say whether the arms
    are exposed in the intended shares; those of the shortest window, which holds the most.

    Args:
        head: The experiment's head item.
        phase: Of whose steps the record is.
        cohorts: Frozen cohorts; those of other phases are left out.
        holds: Times that the present step was prolonged.
        ended: Whether the planned end is reached.

    Raises:
        InvalidStatisticsError: Statistics that no data can have.
        RejectedError: A cohort has exposures of an arm that the step has not.
    """
    of_step: dict[str, list[FrozenCohort]] = {step_id: [] for step_id in step_ids(head, phase)}
    for cohort in sorted(cohorts, key=lambda cohort: cohort.cohort_id):
        if cohort.step_id in of_step:
            of_step[cohort.step_id].append(cohort)
    shortest = min((c.window_s for found in of_step.values() for c in found), default=0)
    steps = []
    for step in head["steps"]:
        if step["phase"] != phase:
            continue
        statistics: dict[str, dict[str, ArmStatistics]] = {}
        for arm, counts in sorted(head["fast"].get(step["step_id"], {}).items()):
            for name, frozen in fast_statistics(counts).items():
                statistics.setdefault(name, {})[arm] = frozen
        exposures: dict[str, int] = {}
        for cohort in of_step[step["step_id"]]:
            if cohort.window_s == shortest:
                for arm, count in cohort.exposures.items():
                    exposures[arm] = exposures.get(arm, 0) + count
            _add(statistics, cohort)
        steps.append(
            StepRecord(
                step_id=step["step_id"], propensities=step["propensities"],
                exposures=exposures, statistics=statistics,
            )
        )  # fmt: skip
    return ExperimentRecord(steps=tuple(steps), holds=holds, ended=ended)


def _add(statistics: dict[str, dict[str, ArmStatistics]], cohort: FrozenCohort) -> None:
    for name, arms in sorted(cohort.statistics.items()):
        known = statistics.setdefault(name, {})
        for arm, frozen in sorted(arms.items()):
            known[arm] = known[arm].merge(frozen) if arm in known else frozen


def frozen_cohorts(
    state: StateStore, objects: ObjectStore, project: str, release_id: str, steps: Sequence[str]
) -> list[FrozenCohort]:
    """Return the frozen cohorts of some steps, each checked against its digest.

    Every look reads all of them anew, side by side, so that a verdict follows from nothing but
    what was frozen; ``docs/cohorts.md`` says what that costs.

    Raises:
        EvidenceIncompleteError: An object is missing or is not what was frozen.
    """
    prefix, found = cohorts_of(release_id), []
    wanted = [
        pointer
        for pointer in state.query(Table.EXPERIMENTS, project, prefix=prefix)
        if pointer["item"].removeprefix(prefix).split("/")[0] in steps
    ]
    with ThreadPoolExecutor(READERS) as pool:
        contents = list(pool.map(objects.read, [pointer["uri"] for pointer in wanted]))
    for pointer, content in zip(wanted, contents, strict=True):
        cohort = FrozenCohort.model_validate(json.loads(content))
        if cohort.digest != pointer["digest"]:
            raise EvidenceIncompleteError(
                f"{pointer['uri']} is not the cohort that was frozen", field="digest",
                value=cohort.digest, allowed=pointer["digest"],
            )  # fmt: skip
        found.append(cohort)
    return found


def judge_release(
    command: JudgeStep,
    *,
    state: StateStore,
    objects: ObjectStore,
    alarms: Alarms,
    metrics: TrafficMetrics,
    clock: Clock,
    ids: Ids,
    artifacts_bucket: str,
    environment: str,
) -> StepVerdict:
    """Freeze the statistics of the present step, judge them and say what follows.

    Everything that the verdict follows from is written as one object that is never replaced;
    head item, verdict item, the release's own item and ``VerdictReached`` are one transaction.

    Raises:
        ReleaseEndedError: The release was ended, or somebody else changed the route.
        EvidenceIncompleteError: A frozen cohort is missing or was changed.
        ConflictError: Somebody else judged meanwhile.
    """
    release = running(state, command.project, command.release_id)
    head = head_of(state, command.project, command.release_id)
    plan = plan_of(release)
    look = _Look(command, release, head, plan, clock.now())
    route = route_of(state, command.project)
    left = (command.release_id, look.step_id)
    if route is None or (route.release_id, route.step_id) != left:
        raise ReleaseEndedError(f"the route of {command.project} was changed by somebody else")
    states = alarms.states(guardrail_alarms(environment, command.project))
    standing = [name for name in release["standing_alarms"] if states.get(name) == "ALARM"]
    statistics, fast = _counted(look, route, metrics, states, standing)
    if fast is not None:
        head["fast"][look.step_id] = fast
    experiment = head["plans"].get(look.step.phase)
    record = None
    if experiment is not None:
        cohorts = []
        if plan.captured:
            wanted = step_ids(head, look.step.phase)
            cohorts = frozen_cohorts(state, objects, command.project, command.release_id, wanted)
        record = assemble_record(head, look.step.phase, cohorts, holds=look.holds, ended=look.ended)
    judged = judged_step(
        statistics,
        ExperimentPlan.model_validate(experiment) if experiment is not None else None,
        record,
    )
    then = following(plan, look.standing, judged.decision.verdict)
    number, uri = _kept(judged, head, objects, artifacts_bucket)
    verdict = look.verdict_item(judged, then, number, uri)
    share = _next_share(look, then, judged)
    _record(look, then, verdict, judged, standing, share, state=state, clock=clock, ids=ids)
    return look.answer(then, judged, uri)


class _Look:
    """One look at a release: where it stands, by the command or else by its head item."""

    def __init__(
        self, command: JudgeStep, release: Item, head: Item, plan: Plan, now: datetime
    ) -> None:
        self.command, self.release, self.head, self.plan, self.now = (
            command, release, head, plan, now,
        )  # fmt: skip
        self.index = head["step_index"] if command.step_index is None else command.step_index
        self.holds = head["holds"] if command.holds is None else command.holds
        self.step: Planned = plan.steps[self.index]
        self.step_id = release["shifts"][-1]["step_id"] if release["shifts"] else ""
        last = release["shifts"][-1]
        followed = release.get(applied_field(last["route_version"]))
        self.shifted_at = datetime.fromisoformat(followed or last["at"])

    @property
    def due(self) -> bool:
        """Whether the bake is over: by the scheduler's ticks, or since the machine waited."""
        if not self.plan.ticked:
            return True
        passed_s = (self.head["tick"] - self.head["step_tick"]) * self.plan.tick_s
        return bool(passed_s >= self.step.due_after_s(self.holds))

    @property
    def ended(self) -> bool:
        """Whether the phase has nothing after this."""
        after = self.plan.steps[self.index + 1 :]
        return self.due and not any(step.phase == self.step.phase for step in after)

    @property
    def standing(self) -> Standing:
        batch_s, head = self.step.batch_s, self.head
        passed_s = (head["tick"] - head["batch_tick"]) * self.plan.tick_s
        return Standing(
            index=self.index,
            holds=self.holds,
            due=self.due,
            batch_over=batch_s is not None and passed_s >= batch_s,
            first=self.release["stable_version"] is None,
        )

    def verdict_item(self, judged: JudgedStep, then: Following, number: int, uri: str) -> Item:
        numbers = {
            name: value if abs(value) >= SMALLEST else 0.0
            for name, value in judged.decision.numbers.items()
        }
        return {
            "project": self.command.project,
            "item": verdict_item(self.command.release_id, number),
            "release_id": self.command.release_id,
            "number": number,
            "tick": self.head["tick"],
            "step_id": self.step_id,
            "phase": self.step.phase,
            "holds": self.holds,
            "verdict": judged.decision.verdict,
            "reason": judged.decision.reason,
            "numbers": numbers,
            "next": then.next,
            "digest": judged.decision.digest,
            "uri": uri,
            "at": self.now.isoformat(timespec="milliseconds"),
        }

    def answer(self, then: Following, judged: JudgedStep, uri: str) -> StepVerdict:
        command, release = self.command, self.release
        attempt = int(release.get("failed_rollbacks", 0)) + 1
        step = self.plan.steps[then.index]
        return StepVerdict(
            next=then.next,
            step_index=then.index,
            holds=then.holds,
            bake_s=(step.hold_s or step.bake_s) if then.next == "hold" else step.bake_s,
            verdict=judged.decision.verdict,
            reason=judged.decision.reason,
            statistics_uri=uri,
            digest=judged.decision.digest,
            rollback=RollbackStart(
                name=rollback_name(command.project, command.release_id, attempt),
                input={
                    "project": command.project,
                    "version": command.version,
                    "release_id": command.release_id,
                    "cause": f"guardrail: {judged.decision.reason}",
                    "triggered_at": self.now.isoformat(timespec="milliseconds"),
                    "correlation_id": command.correlation_id,
                    "causation_id": release["execution_arn"],
                    "actor": "steward",
                },
            ),
        )


def _counted(
    look: _Look,
    route: Route,
    metrics: TrafficMetrics,
    states: dict[str, str],
    standing: list[str],
) -> tuple[StepStatistics, Item | None]:
    """Return what absolute limits judge, and the first exposures by arm where both answer."""
    project, role = look.command.project, "candidate" if route.candidate else "stable"
    answering = "shadow" if look.step.phase == "shadow" else role
    own = metrics.counts(project, answering, look.shifted_at, look.now)
    fast: Item | None = None
    if look.step.limits.concurrent and look.step.phase != "shadow":
        beside = metrics.counts(project, "stable", look.shifted_at, look.now)
        fast = {CANDIDATE: _units(own), STABLE: _units(beside)}
    statistics = StepStatistics(
        release_id=look.command.release_id,
        step_id=look.step_id,
        share=route.candidate.share if route.candidate else look.step.share,
        since=look.shifted_at.isoformat(timespec="milliseconds"),
        until=look.now.isoformat(timespec="milliseconds"),
        holds=look.holds,
        counts=Counts(requests=own.requests, errors=own.errors, slow=own.slow),
        alarms=states if role == "candidate" else {},
        standing=standing,
        limits=look.step.limits,
        due=look.due,
    )
    return statistics, fast


def _units(counts: RoleCounts) -> Item:
    """Return one arm's units.

    Raises:
        InvalidStatisticsError: More units failed or were slow than there were.
    """
    for name, part in (("unit_errors", counts.unit_errors), ("unit_slow", counts.unit_slow)):
        if part > counts.units:
            raise InvalidStatisticsError(
                f"{name} is {part} of {counts.units} units", field=name, value=part,
                allowed=f"0 to {counts.units}",
            )  # fmt: skip
    return {"units": counts.units, ERRORS: counts.unit_errors, SLOW: counts.unit_slow}


def _kept(
    judged: JudgedStep, head: Item, objects: ObjectStore, artifacts_bucket: str
) -> tuple[int, str]:
    """Write a judgement where nothing is yet; return its number and place.

    One that was written by an attempt that then broke off keeps its number for good.
    """
    prefix = experiment_prefix(artifacts_bucket, head["project"], head["release_id"])
    number, content = head["verdicts"] + 1, judged.content()
    while True:
        uri = f"{prefix}verdicts/{number:06d}.json"
        if objects.write_once(uri, content):
            return number, uri
        number += 1


def _next_share(look: _Look, then: Following, judged: JudgedStep) -> float | None:
    """Return the candidate's share in a bandit's next batch, from all matured batches."""
    floor = look.step.floor
    if then.next != "shift" or floor is None or judged.plan is None or judged.record is None:
        return None
    goal = judged.plan.goals[0].metric
    batches = [
        Batch(shares=step.propensities, statistics=step.statistics[goal.name])
        for step in judged.record.steps
        if goal.name in step.statistics
    ]
    shares = next_shares(
        batches, [CANDIDATE, STABLE], floor, higher_is_better=goal.higher_is_better
    )
    return round(100 * shares[CANDIDATE], 6)


def _record(
    look: _Look,
    then: Following,
    verdict: Item,
    judged: JudgedStep,
    standing: list[str],
    next_share: float | None,
    *,
    state: StateStore,
    clock: Clock,
    ids: Ids,
) -> None:
    command, head, release = look.command, look.head, look.release
    last = {"phase": look.step.phase, "verdict": judged.decision.verdict}
    known = head.get("last_verdict") or {}
    changed: dict[str, Any] = {
        "fast": head["fast"], "verdicts": verdict["number"], "holds": then.holds,
        "last_verdict": last,
    }  # fmt: skip
    if next_share is not None:
        begun = len(step_ids(head, look.step.phase))  # by what was shifted to, however often judged
        changed |= {"batch": begun + 1, "next_share": next_share}
    told = VerdictReached(
        release_id=command.release_id,
        version=command.version,
        number=verdict["number"],
        step_id=look.step_id,
        phase=look.step.phase,
        verdict=judged.decision.verdict,
        previous=known.get("verdict") if known.get("phase") == look.step.phase else None,
        reason=judged.decision.reason,
        next=then.next,
        digest=judged.decision.digest,
        uri=verdict["uri"],
    )
    short = ("step_id", "holds", "verdict", "reason", "digest", "uri", "at")
    kept = [*release["verdicts"], {name: verdict[name] for name in short}][-KEPT_VERDICTS:]
    cause = Cause(command.project, command.correlation_id, release["execution_arn"])
    try:
        state.commit(
            [
                Put(Table.EXPERIMENTS, verdict, (Absent(),)),
                Update(
                    Table.EXPERIMENTS,
                    head_key(command.project, command.release_id),
                    set=changed,
                    expect=(Equals("verdicts", head["verdicts"]), Equals("status", "running")),
                ),
                Update(
                    Table.RELEASES,
                    {"project": command.project, "release_id": command.release_id},
                    set={"verdicts": kept, "standing_alarms": standing},
                    expect=(Equals("status", "running"), Equals("restored_at", None)),
                ),
            ],
            [event(told, cause, clock, ids)],
        )
    except ConflictError:
        running(state, command.project, command.release_id)
        raise
