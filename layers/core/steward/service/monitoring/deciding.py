"""Use case: what follows an alarm, a schedule, new data and the outcome of an attempt."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from steward.contracts import events as e
from steward.contracts.incoming import Received
from steward.domain.errors import ConflictError
from steward.domain.monitoring.declaration import Retraining
from steward.domain.monitoring.records import RETRAINING
from steward.domain.monitoring.retraining import (
    Action,
    Code,
    Decision,
    Kind,
    Outcome,
    Policy,
    State,
    Trigger,
    decide,
    ended,
    started,
)
from steward.domain.names import PRIMARY
from steward.domain.runs import DeliveryStatus, RunStatus
from steward.ports import (
    Absent,
    Clock,
    Condition,
    Equals,
    Ids,
    Item,
    Put,
    StateStore,
    Table,
)
from steward.service.emission import Cause, event

TRIES = 6
ACTOR = "monitoring"
"""Who asks for runs and rollbacks by itself."""

START_ON = ("delivery", "commit", "drift", "performance", "bias", "schedule")
_ALARMS: dict[type[e.Payload], Kind] = {
    e.DriftDetected: Kind.DRIFT,
    e.PerformanceDegraded: Kind.PERFORMANCE,
    e.BiasDrifted: Kind.BIAS,
}
_OUTCOMES: dict[type[e.Payload], Outcome] = {
    e.TrainingFailed: Outcome.FAILED,
    e.StagingFailed: Outcome.FAILED,
    e.VersionRejected: Outcome.NOT_PROMOTED,
    e.ApprovalExpired: Outcome.NOT_PROMOTED,
    e.ReleaseNotPromoted: Outcome.NOT_PROMOTED,
    e.ReleaseRolledBack: Outcome.PROVED_WORSE,
    e.ReleaseFailed: Outcome.FAILED,
    e.ReleaseCompleted: Outcome.PROMOTED,
}


@dataclass
class Memory:
    """What is remembered of a project's retraining.

    Attributes:
        state: As the decision keeps it.
        run: Run of the attempt in flight; None until it has begun.
        waiting: Triggers that are asked again, by kind.
        told: By kind the cause and the brake that people were told of.
        scheduled_s: When the schedule asked last.
        number: Guards every write.
    """

    state: State = field(default_factory=State)
    run: str | None = None
    waiting: dict[str, dict[str, Any]] = field(default_factory=dict)
    told: dict[str, str] = field(default_factory=dict)
    scheduled_s: float | None = None
    number: int = 0


@dataclass
class Decider:
    """One event's decision about one project."""

    state: StateStore
    clock: Clock
    ids: Ids
    project: str
    causation_id: str
    said: list[e.Payload] = field(default_factory=list)

    def now_s(self) -> float:
        """Return the time in seconds."""
        return self.clock.now().timestamp()


def decide_retraining(
    received: Received, *, state: StateStore, clock: Clock, ids: Ids
) -> dict[str, Any]:
    """Decide what an event leads to; the same event may come again and changes nothing more.

    Alarms and schedules ask for a run; what must wait is asked again when data come and by the
    stack's schedule; what became of the attempt in flight feeds the breaker. Memory and events
    are one transaction.
    """
    if received.meta is None:
        projects = [str(item["project"]) for item in state.scan(Table.PROJECTS)]
        return {name: _decided(received, name, state, clock, ids) for name in projects}
    name = received.meta.project
    return {name: _decided(received, name, state, clock, ids)}


def _decided(
    received: Received, project: str, state: StateStore, clock: Clock, ids: Ids
) -> list[str]:
    for attempt in range(TRIES):
        decider = Decider(state, clock, ids, project, received.id)
        configured = state.get(Table.PROJECTS, {"project": project})
        if configured is None:
            return []
        key = {"project": project, "item": RETRAINING}
        item = state.get(Table.MONITORING, key)
        memory = _memory(item)
        before = _plain(memory)
        _apply(decider, memory, configured, received)
        if _plain(memory) == before and not decider.said:
            return []
        try:
            _commit(decider, memory, item)
        except ConflictError:
            if attempt == TRIES - 1:
                raise
            continue
        return [type(one).__name__ for one in decider.said]
    raise AssertionError("unreachable")


def _memory(item: Item | None) -> Memory:
    if item is None:
        return Memory()
    return Memory(
        state=State.from_dict(item["state"]), run=item.get("run"),
        waiting=dict(item.get("waiting") or {}), told=dict(item.get("told") or {}),
        scheduled_s=item.get("scheduled_s"), number=int(item["number"]),
    )  # fmt: skip


def _plain(memory: Memory) -> dict[str, Any]:
    return {**asdict(memory), "state": memory.state.as_dict()}


def _commit(decider: Decider, memory: Memory, item: Item | None) -> None:
    expected: tuple[Condition, ...] = (Absent(),)
    if item is not None:
        expected = (Equals("number", item["number"]),)
    kept = {
        "project": decider.project, "item": RETRAINING, "state": memory.state.as_dict(),
        "run": memory.run, "waiting": memory.waiting, "told": memory.told,
        "scheduled_s": memory.scheduled_s, "number": memory.number + 1,
        "at": decider.clock.now().isoformat(timespec="milliseconds"),
    }  # fmt: skip
    correlation = memory.run or decider.causation_id
    cause = Cause(decider.project, correlation, decider.causation_id, ACTOR)
    said = [event(one, cause, decider.clock, decider.ids) for one in decider.said]
    decider.state.commit([Put(Table.MONITORING, kept, expected)], said)


def _apply(decider: Decider, memory: Memory, configured: Item, received: Received) -> None:
    detail = received.detail
    kind = _ALARMS.get(type(detail))
    if kind is not None:
        _alarm(decider, memory, configured, kind, detail)
    elif isinstance(detail, e.AlarmCleared) and detail.role == "candidate":
        return  # what the project's own alarm asked for still waits
    elif isinstance(detail, e.AlarmCleared):
        _forget(memory, detail.kind)
    elif isinstance(detail, e.TrainingStarted | e.TrainingQueued):
        _attach(memory, decider, detail)
    elif isinstance(detail, e.TrainingSuppressed):
        if memory.state.flight is not None and memory.run is None and detail.trigger in START_ON:
            _end(decider, memory, Outcome.SUPERSEDED)
    elif isinstance(detail, e.CandidateHeld):
        worse = detail.verdict == "worse"
        _outcome(decider, memory, received, Outcome.PROVED_WORSE if worse else Outcome.NOT_PROMOTED)
    elif type(detail) in _OUTCOMES:
        _outcome(decider, memory, received, _OUTCOMES[type(detail)])
    else:  # new data, or the schedule
        _follow(decider, memory)
        _ask_again(decider, memory, configured)


def _alarm(decider: Decider, memory: Memory, configured: Item, kind: Kind, detail: Any) -> None:
    if detail.action == "roll_back":
        told = f"{getattr(detail, 'kind', kind)} of version {detail.version}: {detail.sentence}"
        decider.said.append(e.RollbackRequested(reason=told[:1000], version=detail.version))
        return
    if detail.action != "retrain":
        return
    name = getattr(detail, "kind", kind)
    cause = f"{name} of version {detail.version} since {detail.since}"
    since_s = datetime.fromisoformat(detail.window).timestamp()
    memory.waiting[kind.value] = {"cause": cause, "since_s": since_s}
    _ask(decider, memory, configured, kind)


def _forget(memory: Memory, alarm: str) -> None:
    """Forget what an alarm asked for that is over; that of attributions asks as drift does."""
    kind = Kind.DRIFT.value if alarm == "attribution" else alarm
    waiting = memory.waiting.get(kind)
    is_its_own = waiting is None or str(waiting["cause"]).startswith(f"{alarm} ")
    if is_its_own:
        memory.waiting.pop(kind, None)
        memory.told.pop(kind, None)


def _ask_again(decider: Decider, memory: Memory, configured: Item) -> None:
    declared = _declared(configured)
    now_s = decider.now_s()
    if declared.every_s is not None:
        last = memory.scheduled_s
        if last is None:
            memory.scheduled_s = now_s
        elif now_s >= last + declared.every_s:
            memory.scheduled_s = now_s
            at = datetime.fromtimestamp(now_s, UTC).isoformat(timespec="seconds")
            memory.waiting.setdefault(
                Kind.SCHEDULE.value, {"cause": f"the schedule of {at}", "since_s": now_s}
            )
    for kind in (Kind.PERFORMANCE, Kind.DRIFT, Kind.BIAS, Kind.SCHEDULE):
        if kind.value in memory.waiting:
            _ask(decider, memory, configured, kind)


def _ask(decider: Decider, memory: Memory, configured: Item, kind: Kind) -> None:
    """Ask for a run; a trigger that must wait stays, one that is refused is dropped."""
    asked = memory.waiting[kind.value]
    trigger = Trigger(
        kind, asked["cause"], float(asked["since_s"]),
        expected_usd=expected_dollars(decider.state, decider.project),
    )  # fmt: skip
    now_s = decider.now_s()
    rows = labelled_rows(decider.state, decider.project)
    decision = decide(
        trigger, memory.state, _policy(_declared(configured)), now_s=now_s, labelled_rows=rows
    )
    training = configured["config"].get("training") or {}
    if kind.value not in training.get("start_on", START_ON):
        why = f"training.start_on does not name {kind.value}"
        _refuse(decider, memory, trigger, Decision(Action.SUPPRESS, Code.READY, why), "start_on")
        return
    if decision.action is Action.START:
        attempt = f"retrain-{memory.number + 1}"
        memory.state = started(
            memory.state, trigger, decision, attempt, now_s=now_s, labelled_rows=rows
        )
        memory.run = None
        memory.waiting.pop(kind.value)
        memory.told.pop(kind.value, None)
        decider.said.append(
            e.RetrainingRequested(
                kind=kind.value, cause=trigger.cause, attempt=attempt, reason=decision.reason,
                expected_usd=trigger.expected_usd,
            )
        )  # fmt: skip
        return
    _refuse(decider, memory, trigger, decision, decision.code.value)


def _refuse(
    decider: Decider, memory: Memory, trigger: Trigger, decision: Decision, code: str
) -> None:
    """Say why there is no run, once a cause and brake."""
    kind = trigger.kind.value
    waits = decision.action is Action.WAIT
    if not waits:
        memory.waiting.pop(kind, None)
    mark = f"{code}: {trigger.cause}"
    if code == Code.SAME_CAUSE or memory.told.get(kind) == mark:
        return
    memory.told[kind] = mark
    at = decision.not_before_s
    decider.said.append(
        e.RetrainingSuppressed(
            kind=kind, cause=trigger.cause, code=code, reason=decision.reason, waits=waits,
            not_before=None
            if at is None
            else datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds"),
        )
    )  # fmt: skip


def _attach(memory: Memory, decider: Decider, detail: e.TrainingStarted | e.TrainingQueued) -> None:
    """Remember which run is the attempt in flight: the one that such a trigger began."""
    if memory.state.flight is None or memory.run is not None:
        return
    key = {"project": decider.project, "run_id": detail.run_id}
    run = decider.state.get(Table.RUNS, key) or {}
    if (run.get("trigger") or {}).get("attempt") == memory.state.flight.id:
        memory.run = detail.run_id


def _outcome(decider: Decider, memory: Memory, received: Received, outcome: Outcome) -> None:
    if memory.run is not None and received.own.correlation_id == memory.run:
        _end(decider, memory, outcome)


def _end(decider: Decider, memory: Memory, outcome: Outcome) -> None:
    flight = memory.state.flight
    assert flight is not None
    spent = dollars_of(decider.state, decider.project, memory.run) if memory.run else 0.0
    memory.state = ended(memory.state, flight.id, outcome, now_s=decider.now_s(), usd=spent or None)
    memory.run = None


def _follow(decider: Decider, memory: Memory) -> None:
    """Follow a run in flight that another run took the place of."""
    if memory.run is None:
        return
    key = {"project": decider.project, "run_id": memory.run}
    run = decider.state.get(Table.RUNS, key)
    if run is not None and run["status"] == RunStatus.SUPERSEDED:
        memory.run = run.get("superseded_by") or memory.run


def _declared(configured: Item) -> Retraining:
    monitoring = configured["config"].get("monitoring") or {}
    return Retraining.model_validate(monitoring.get("retraining") or {})


def _policy(declared: Retraining) -> Policy:
    return Policy(
        minimum_new_rows=declared.minimum_new_rows, debounce_s=declared.debounce_s,
        cooldown_s=declared.cooldown_s, per_day=declared.per_day,
        budget_usd_per_day=declared.budget_usd_per_day, breaker_after=declared.breaker_after,
    )  # fmt: skip


def labelled_rows(state: StateStore, project: str) -> int:
    """Return the rows that a run could train on: accepted ones, and those that wait for a run.

    What waits was not judged yet: its rows are estimated by its size, at the accepted rows per
    byte; where nothing was accepted yet, as one row in a hundred bytes.
    """
    items = [
        item
        for item in state.query(Table.DELIVERIES, project)
        if item.get("table", PRIMARY) == PRIMARY
    ]
    accepted = [item for item in items if item["status"] == DeliveryStatus.ACCEPTED]
    waiting = [item for item in items if item["status"] == DeliveryStatus.RECEIVED]
    rows = sum(int(item.get("rows") or 0) for item in accepted)
    size = sum(int(item.get("size") or 0) for item in accepted)
    share = rows / size if rows and size else 0.01
    return rows + sum(max(1, int(share * int(item.get("size") or 0))) for item in waiting)


def expected_dollars(state: StateStore, project: str) -> float:
    """Return what an attempt is expected to cost: what the last run with a job did cost."""
    runs = state.query(Table.COSTS, project, prefix="job#", newest_first=True, limit=20)
    newest = max(runs, key=lambda item: str(item.get("at") or ""), default=None)
    return dollars_of(state, project, str(newest["run_id"])) if newest else 0.0


def dollars_of(state: StateStore, project: str, run: str) -> float:
    """Return what was recorded of a run's cost."""
    entries = state.query(Table.COSTS, project)
    return sum(float(item["dollars"] or 0) for item in entries if item.get("run_id") == run)
