"""Use cases: a tick of an experiment begins and ends, one at a time."""

from __future__ import annotations

from typing import Any

from steward.contracts.events import Event, TickFailed
from steward.contracts.incoming import ExecutionStatusChange, Received, TickDue
from steward.contracts.steps.serving import (
    ConcludeRelease,
    ConcludeTick,
    Failure,
    TickConclusion,
)
from steward.domain.errors import ConflictError, RejectedError
from steward.domain.experiments.ticks import (
    LEASE_S,
    RUNNING,
    LeaveTick,
    TakeTick,
    Tick,
    next_tick,
    schedule_name,
    tick_of_execution,
)
from steward.domain.locks import release_lock
from steward.domain.releases import ReleaseStatus
from steward.domain.runs import execution_arn
from steward.ports import (
    Clock,
    Condition,
    Equals,
    Ids,
    Item,
    Schedules,
    StateStore,
    Table,
    Update,
    Workflows,
)
from steward.service.emission import Cause, event
from steward.service.serving.experiments import head_key
from steward.service.serving.leasing import ensure_started
from steward.service.serving.records import readable, release_of
from steward.service.serving.release_end import end_release
from steward.service.serving.staging import execution_failure

MOST_FAILED_TICKS = 6
"""Ticks that may fail in a row before the release is given up: nobody watches it meanwhile."""

RACES = 4


def start_tick(
    received: Received,
    *,
    state: StateStore,
    workflows: Workflows,
    schedules: Schedules,
    clock: Clock,
    machine: str,
) -> dict[str, Any]:
    """Take the next tick of an experiment and start its execution, or say why not.

    The lease is one conditional write, so that of two firings one wins; the execution is
    named after the tick, so that a crash before it starts is healed by the next firing. One
    firing that is delivered twice counts once, by the time that Scheduler gives it. Each tick
    prolongs the lease of the release's lock. An experiment that has ended ends its schedule.
    """
    due = received.detail
    assert isinstance(due, TickDue)
    release = state.get(Table.RELEASES, {"project": due.project, "release_id": due.release_id})
    head = state.get(Table.EXPERIMENTS, head_key(due.project, due.release_id))
    if release is None or head is None or head["status"] != RUNNING:
        schedules.delete(schedule_name(due.project, due.release_id))
        return {"ended": due.release_id}
    if release.get("restored_at"):
        return {"left": f"release {due.release_id} is being rolled back"}
    now_s = clock.now().timestamp()
    decision = next_tick(head, now_s, _status_of(workflows, head))
    if isinstance(decision, LeaveTick):
        return {"left": decision.reason}
    tick = Tick(due.project, due.release_id, decision.number)
    if isinstance(decision, TakeTick):
        lost = _take(state, head, release, tick, received.time, now_s, machine)
        if lost is not None:
            return {"left": lost}
    return _start(tick, release, workflows, machine)


def _start(tick: Tick, release: Item, workflows: Workflows, machine: str) -> dict[str, Any]:
    payload = {
        "project": tick.project,
        "version": release["version"],
        "release_id": tick.release_id,
        "correlation_id": release["correlation_id"],
        "tick": tick.number,
    }
    try:
        return {"started": workflows.start(machine, tick.execution_name, payload)}
    except ConflictError:
        return {"left": f"{tick.execution_name} was started before"}


def _status_of(workflows: Workflows, head: Item) -> str | None:
    """Return the status of the last tick's execution, None where there never was one."""
    arn = head.get("tick_execution")
    if arn is None or head.get("tick_lease_until") is None:
        return None
    try:
        return workflows.status(arn)
    except RejectedError:
        return None


def _take(
    state: StateStore,
    head: Item,
    release: Item,
    tick: Tick,
    due_at: str,
    now_s: float,
    machine: str,
) -> str | None:
    """Take the lease and prolong that of the release's lock; return why that was not possible."""
    if head.get("tick_due") == due_at:
        return f"the firing of {due_at} was taken"
    lock = Update(
        Table.LOCKS,
        {"lock": release_lock(tick.project)},
        set={"lease_expires_at": int(now_s) + int(release["lease_s"])},
        expect=(Equals("owner", tick.release_id),),
    )
    taken = Update(
        Table.EXPERIMENTS,
        head_key(tick.project, tick.release_id),
        set={
            "tick": tick.number,
            "tick_due": due_at,
            "tick_lease_until": int(now_s) + LEASE_S,
            "tick_execution": execution_arn(machine, tick.execution_name),
        },
        expect=(
            Equals("status", RUNNING),
            Equals("tick", head.get("tick")),
            Equals("tick_lease_until", head.get("tick_lease_until")),
        ),
    )
    try:
        state.commit([taken, lock])
    except ConflictError:
        return f"tick {tick.number} was taken by another firing"
    return None


def conclude_tick(
    command: ConcludeTick,
    *,
    state: StateStore,
    workflows: Workflows,
    clock: Clock,
    ids: Ids,
    release_machine: str,
) -> TickConclusion:
    """Free the lease of a tick, once, and record how it went.

    A tick that failed is told, and the next one goes on; after ``MOST_FAILED_TICKS`` in a row
    the release is ended as failed, traffic back on the stable version, because nobody could
    judge it meanwhile.
    """
    for race in range(RACES):
        head = state.get(Table.EXPERIMENTS, head_key(command.project, command.release_id))
        release = release_of(state, command.project, command.release_id)
        if head is None or head.get("tick") != command.tick or head.get("tick_lease_until") is None:
            return TickConclusion(concluded=False, status=release["status"])
        failed = int(head.get("failed_ticks", 0)) + 1 if command.failure else 0
        changed: Item = {
            "failed_ticks": failed,
            "last_tick_at": clock.now().isoformat(timespec="milliseconds"),
        }
        events: list[Event] = []
        if command.failure is not None:
            events.append(_told_failure(command, command.failure, failed, clock, ids))
        expect: tuple[Condition, ...] = (
            Equals("tick", command.tick),
            Equals("tick_lease_until", head["tick_lease_until"]),
        )
        freed = Update(
            Table.EXPERIMENTS, head_key(command.project, command.release_id), set=changed,
            remove=("tick_lease_until",), expect=expect,
        )  # fmt: skip
        try:
            state.commit([freed], events)
            break
        except ConflictError:
            if race == RACES - 1:
                raise
    if failed >= MOST_FAILED_TICKS and command.failure is not None:
        _give_up(command, command.failure, state=state, clock=clock, ids=ids)
        ensure_started(command.project, state=state, workflows=workflows, machine=release_machine)
    release = release_of(state, command.project, command.release_id)
    return TickConclusion(concluded=True, status=release["status"], failed_in_a_row=failed)


def _told_failure(
    command: ConcludeTick, failure: Failure, failed: int, clock: Clock, ids: Ids
) -> Event:
    told = readable(failure)
    payload = TickFailed(
        release_id=command.release_id,
        version=command.version,
        tick=command.tick,
        in_a_row=failed,
        allowed=MOST_FAILED_TICKS,
        failed_state=told.state,
        error=told.error,
        cause=told.cause,
        execution_arn=command.execution_arn,
    )
    cause = Cause(command.project, command.correlation_id, command.causation_id)
    return event(payload, cause, clock, ids)


def _give_up(
    command: ConcludeTick, failure: Failure, *, state: StateStore, clock: Clock, ids: Ids
) -> None:
    told = readable(failure)
    cause = f"{MOST_FAILED_TICKS} ticks failed in a row, the last one: {told.cause}"
    for race in range(RACES):
        release = release_of(state, command.project, command.release_id)
        if release["status"] != ReleaseStatus.RUNNING or release.get("restored_at"):
            return
        try:
            end_release(
                ConcludeRelease(
                    project=command.project, version=command.version,
                    release_id=command.release_id, correlation_id=command.correlation_id,
                    causation_id=command.causation_id, execution_arn=command.execution_arn,
                    failure=Failure(state=told.state, error=told.error, cause=cause),
                ),
                release, state=state, clock=clock, ids=ids, take_back=True,
            )  # fmt: skip
            return
        except ConflictError:
            if race == RACES - 1:
                raise


def tick_that_ended(received: Received, *, state: StateStore) -> ConcludeTick | None:
    """Return how to conclude a tick whose machine ended without doing so itself.

    None where it was concluded, or the execution was started by hand.
    """
    change = received.detail
    assert isinstance(change, ExecutionStatusChange)
    tick = tick_of_execution(change.name)
    if tick is None:
        return None
    head = state.get(Table.EXPERIMENTS, head_key(tick.project, tick.release_id))
    if head is None or head.get("tick_execution") != change.execution_arn:
        return None
    release = release_of(state, tick.project, tick.release_id)
    return ConcludeTick(
        project=tick.project,
        version=release["version"],
        release_id=tick.release_id,
        correlation_id=release["correlation_id"],
        causation_id=received.id,
        execution_arn=change.execution_arn,
        tick=tick.number,
        failure=execution_failure(change),
    )
