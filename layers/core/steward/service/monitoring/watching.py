"""Use cases: a watch begins and ends, one at a time."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from steward.contracts.events import WatchFailed
from steward.contracts.incoming import ExecutionStatusChange, Received
from steward.contracts.steps.monitoring import (
    ConcludedWatch,
    ConcludeWatch,
    FailedProject,
    WatchFailure,
)
from steward.domain.errors import ConflictError, RejectedError
from steward.domain.monitoring.records import ALL, HEAD, KEPT_FOR, RUN_LEASE_S, run_item, run_of
from steward.domain.runs import execution_arn
from steward.ports import (
    Absent,
    Clock,
    Equals,
    Ids,
    Item,
    Put,
    StateStore,
    Table,
    Update,
    Workflows,
)
from steward.service.emission import Cause, event

_ENDED = ("SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED")
TRIES = 4


def start_watch(
    received: Received, *, state: StateStore, workflows: Workflows, clock: Clock, machine: str
) -> dict[str, Any]:
    """Start the watch that a schedule asks for, or say why not.

    A firing that comes twice, or late, is known by its time. While a watch runs none begins
    beside it: the next one finds what this one left. A watch whose execution never began is begun
    by the same firing's retry, under the same name.
    """
    run = run_of(datetime.fromisoformat(received.time))
    now_s = clock.now().timestamp()
    known = state.get(Table.MONITORING, {"project": ALL, "item": run_item(run)})
    if known is not None and known["status"] != "running":
        return {"suppressed": f"watch {run} has {known['status']}"}
    if known is None:
        left = _take(state, workflows, run, received.time, now_s, machine)
        if left is not None:
            return {"suppressed": left}
    payload = {"project": ALL, "run": run, "due_at": received.time}
    try:
        return {"started": workflows.start(machine, f"watch-{run}", payload)}
    except ConflictError:
        return {"suppressed": f"watch {run} was started before"}


def _take(
    state: StateStore, workflows: Workflows, run: str, due_at: str, now_s: float, machine: str
) -> str | None:
    """Take the one place of a watch; return why that was not possible."""
    key = {"project": ALL, "item": HEAD}
    head = state.get(Table.MONITORING, key)
    if head is not None and head.get("running") and not _is_over(head, workflows, now_s):
        return f"watch {head['running']} is running"
    place = {"running": run, "lease_until": int(now_s) + RUN_LEASE_S}
    arn = execution_arn(machine, f"watch-{run}")
    item = {
        "project": ALL, "item": run_item(run), "status": "running", "due_at": due_at,
        "execution_arn": arn, "expires_at": int(now_s + KEPT_FOR.total_seconds()),
    }  # fmt: skip
    expected = (Absent(),) if head is None else (Equals("running", head.get("running")),)
    try:
        state.commit(
            [
                Put(Table.MONITORING, item, (Absent(),)),
                Update(Table.MONITORING, key, set={**place, "execution_arn": arn}, expect=expected),
            ]
        )
    except ConflictError:
        return "another firing was faster"
    return None


def _is_over(head: Item, workflows: Workflows, now_s: float) -> bool:
    if float(head.get("lease_until") or 0) < now_s:
        return True
    try:
        return workflows.status(head["execution_arn"]) in _ENDED
    except RejectedError:
        return False  # not begun yet: its own firing begins it, or the lease ends


def conclude_watch(
    command: ConcludeWatch, *, state: StateStore, clock: Clock, ids: Ids
) -> ConcludedWatch:
    """Free the place and say which projects could not be looked at, once.

    Their windows are looked at by the next watch: nothing is lost by a failure but time.
    """
    key = {"project": ALL, "item": run_item(command.run)}
    for _ in range(TRIES):
        item = state.get(Table.MONITORING, key)
        if item is None or item["status"] != "running":
            return ConcludedWatch(run=command.run, status=item["status"] if item else "unknown")
        failed = _failures(command)
        status = "failed" if command.failure else "partly failed" if failed else "succeeded"
        ended = {"status": status, "ended_at": clock.now().isoformat(timespec="milliseconds")}
        changes: list[Any] = [
            Update(Table.MONITORING, key, set=ended, expect=(Equals("status", "running"),))
        ]
        head_key = {"project": ALL, "item": HEAD}
        head = state.get(Table.MONITORING, head_key)
        if head is not None and head.get("running") == command.run:
            expected = (Equals("running", command.run),)
            changes.append(Update(Table.MONITORING, head_key, remove=("running",), expect=expected))
        events = [
            event(
                WatchFailed(
                    run=command.run, error=one.error, cause=one.cause,
                    execution_arn=command.execution_arn,
                ),
                Cause(one.project, command.run, command.execution_arn), clock, ids,
            )
            for one in failed[:50]
        ]  # fmt: skip
        try:
            state.commit(changes, events)
        except ConflictError:
            continue
        return ConcludedWatch(run=command.run, status=status)
    raise ConflictError(f"others kept changing watch {command.run}")


def _failures(command: ConcludeWatch) -> list[FailedProject]:
    """Return what is to be said: of projects, of captured objects, of the watch as a whole."""
    failed = list(command.failed)
    if command.failed_chunks:
        told = (
            f"{command.failed_chunks} groups of captured objects could not be profiled; the next"
            " watch tries again"
        )
        failed.append(FailedProject(project=ALL, error="ProfileChunk", cause=told))
    if command.failure is not None:
        told = f"{command.failure.state}: {command.failure.cause}"
        failed.append(FailedProject(project=ALL, error=command.failure.error, cause=told))
    return failed


def watch_that_ended(received: Received, *, state: StateStore) -> ConcludeWatch | None:
    """Return how to conclude a watch whose machine could not, None where there is nothing to do."""
    change = received.detail
    assert isinstance(change, ExecutionStatusChange)
    if not change.name.startswith("watch-"):
        return None
    run = change.name.removeprefix("watch-")
    item = state.get(Table.MONITORING, {"project": ALL, "item": run_item(run)})
    if item is None or item["status"] != "running":
        return None
    failure = None
    if change.status != "SUCCEEDED":
        failure = WatchFailure(
            state="", error=change.error or change.status, cause=(change.cause or "")[:1000]
        )
    return ConcludeWatch(run=run, execution_arn=change.execution_arn, failure=failure)
