"""Use case: a person starts a run, takes a failed one up again, or cancels one."""

from __future__ import annotations

from typing import Any

from steward.contracts.events import TrainingFailed, TrainingResumed, TrainingStarted
from steward.contracts.run_change import ChangeRun
from steward.domain.errors import (
    ConflictError,
    MalformedEventError,
    ProjectNotFoundError,
    RunNotFoundError,
)
from steward.domain.locks import training_lock
from steward.domain.names import run_id as run_id_of
from steward.domain.runs import Lease, RunStatus
from steward.ports import Change, Equals, Item, Table, Update
from steward.service.emission import Cause, event
from steward.service.training.ledger import (
    head_of,
    lease_of,
    lists_of,
    new_run,
    put_head,
    put_run,
    run_of,
    set_status,
    take_lock,
    work_of,
)
from steward.service.training.start import Ports, begin, start_execution
from steward.service.training.triggers import Trigger

CANCELLED = "RunCancelled"
"""Error of an execution that a person stopped."""
_BY_EVENT = "Execution"
"""State that is named where the machine could not record its failure itself."""
_ENDED_BADLY = frozenset({"FAILED", "TIMED_OUT", "ABORTED"})


def change_run(command: ChangeRun, actor: str, request_id: str, ports: Ports) -> dict[str, Any]:
    """Do what a person asks; the same request again finds it done.

    Raises:
        ProjectNotFoundError: No such project is configured.
        RunNotFoundError: The project has no such run.
        MalformedEventError: To resume or cancel, a run has to be named.
        ConflictError: The run is not in a state for that, or another one holds the lock.
    """
    if command.action == "start":
        return _start(command, actor, request_id, ports)
    if command.run_id is None:
        raise MalformedEventError(f"which run is to {command.action}?", field="run_id")
    run = run_of(ports.state, command.project, command.run_id)
    if run is None or "run_key" not in run:
        raise RunNotFoundError(
            f"{command.project} has no run {command.run_id!r}", field="run_id",
            value=command.run_id, allowed="a run that `steward runs list` shows",
        )  # fmt: skip
    if command.action == "cancel":
        return _cancel(run, command.reason, actor, ports)
    return _resume(run, command.reason, actor, request_id, ports)


def _start(command: ChangeRun, actor: str, request_id: str, ports: Ports) -> dict[str, Any]:
    configured = ports.state.get(Table.PROJECTS, {"project": command.project})
    if configured is None:
        raise ProjectNotFoundError(
            f"no project {command.project!r} is configured", field="project",
            value=command.project, allowed="a project added with `steward project add`",
        )  # fmt: skip
    trigger = Trigger(
        "request", command.project, request_id, actor, command.reason, use_cache=command.use_cache
    )
    return begin(trigger, configured, ports, handover=None)


def _resume(run: Item, reason: str, actor: str, request_id: str, ports: Ports) -> dict[str, Any]:
    """Redrive the execution where AWS can; otherwise begin the next attempt at the same work.

    A machine that recorded its own failure ended in a Fail state, to which a redrive would only
    return. The next attempt finds the finished steps in the step cache, so neither way repeats
    one.
    """
    if run["status"] == RunStatus.RUNNING:
        return _heal(run, ports)
    if run["status"] != RunStatus.FAILED:
        raise ConflictError(f"run {run['run_id']} is {run['status']}; only a failed run resumes")
    head = head_of(ports.state, run["project"], run["run_key"])
    if head is None or head.run_id != run["run_id"]:
        latest = head.run_id if head is not None else "none"
        raise ConflictError(f"{latest} is the latest attempt at the work of {run['run_id']}")
    lease = _free_lease(run["project"], ports)
    by_event = run.get("failed_state") == _BY_EVENT
    if by_event and ports.workflows.is_redrivable(run["execution_arn"]):
        return _redrive(run, reason, actor, request_id, lease, ports)
    return _again(run, reason, actor, request_id, lease, ports)


def _free_lease(project: str, ports: Ports) -> Lease | None:
    """Return the lock as it is read, which nobody holds.

    Raises:
        ConflictError: A run holds it, or waits for it.
    """
    lease = lease_of(ports.state, project)
    if lease is None:
        return None
    if lease.held(ports.clock.now().timestamp()):
        raise ConflictError(f"run {lease.owner} has the training lock; wait for it or cancel it")
    if lease.waiting is not None:
        raise ConflictError(f"run {lease.waiting} waits for the training lock; it comes first")
    return lease


def _redrive(
    run: Item, reason: str, actor: str, request_id: str, lease: Lease | None, ports: Ports
) -> dict[str, Any]:
    redrives = int(run.get("redrives") or 0) + 1
    changes = _running_again(run, redrives, {"by": actor, "reason": reason, "at": ports.now()})
    changes.append(_lock(run, lease, ports))
    payload = TrainingResumed(
        run_id=run["run_id"], execution_arn=run["execution_arn"], redrives=redrives
    )
    cause = Cause(run["project"], run["run_id"], request_id, actor)
    ports.state.commit(changes, [event(payload, cause, ports.clock, ports.ids)])
    ports.workflows.redrive(run["execution_arn"])
    return {"outcome": "redriven", "run_id": run["run_id"], "redrives": redrives}


def _running_again(run: Item, redrives: int, resumed: dict[str, str]) -> list[Change]:
    running, head = set_status(run, RunStatus.RUNNING, {"redrives": redrives, "resumed": resumed})
    assert isinstance(running, Update)
    gone = ("failed_state", "error", "cause", "ended_at")
    return [Update(Table.RUNS, running.key, running.set, gone, running.expect), head]


def _heal(run: Item, ports: Ports) -> dict[str, Any]:
    """Redrive what a crash left between the record and the redrive; leave alone what runs."""
    redriven = int(run.get("redrives") or 0)
    if not redriven or ports.workflows.status(run["execution_arn"]) not in _ENDED_BADLY:
        raise ConflictError(f"run {run['run_id']} is running")
    ports.workflows.redrive(run["execution_arn"])
    return {"outcome": "redriven", "run_id": run["run_id"], "redrives": redriven}


def _again(
    run: Item, reason: str, actor: str, request_id: str, lease: Lease | None, ports: Ports
) -> dict[str, Any]:
    """Begin the next attempt with everything pinned as it was."""
    work = work_of(run, ports.objects)
    head = head_of(ports.state, work.project, run["run_key"])
    attempt = int(run["attempt"]) + 1
    why = f"run {run['run_id']} is resumed: {reason}"
    trigger = Trigger("request", work.project, request_id, actor, why)
    made = new_run(
        run_id_of(run["run_key"], attempt), attempt, RunStatus.RUNNING, work=work,
        lists=lists_of(run), configured=run, trigger=trigger, machine=ports.machine,
        now=ports.now(),
    )  # fmt: skip
    made["resumes"] = run["run_id"]
    payload = TrainingStarted(
        run_id=made["run_id"], run_key=work.key, trigger=trigger.kind,
        execution_arn=made["execution_arn"], author=made["author"],
        config_digest=made["config_digest"], code_digest=made["code_digest"],
        code_uri=made["code_uri"], image=made["image"],
    )  # fmt: skip
    cause = Cause(work.project, made["run_id"], request_id, actor)
    changes: list[Change] = [
        put_run(made),
        put_head(work, head, made["run_id"], attempt, RunStatus.RUNNING),
        _lock(made, lease, ports),
    ]
    ports.state.commit(changes, [event(payload, cause, ports.clock, ports.ids)])
    start_execution(made, ports)
    return {"outcome": "started", "run_id": made["run_id"], "resumes": run["run_id"]}


def _lock(run: Item, lease: Lease | None, ports: Ports) -> Update:
    from steward.domain.project import parse_project  # large: paid when a run begins

    return take_lock(parse_project(run["config"]), run, lease, ports.clock.now().timestamp())


def _cancel(run: Item, reason: str, actor: str, ports: Ports) -> dict[str, Any]:
    """Stop a run's execution and with it its job, or take it out of the queue.

    What follows from the stop (the status, the event, the lock and the next run) comes with the
    execution's status event, as for any other end.
    """
    cause = f"{actor}: {reason}"
    if run["status"] == RunStatus.RUNNING:
        ports.workflows.stop(run["execution_arn"], CANCELLED, cause)
        return {"outcome": "stopping", "run_id": run["run_id"]}
    if run["status"] != RunStatus.WAITING:
        if run.get("error") == CANCELLED:
            return {"outcome": "cancelled", "run_id": run["run_id"], "again": True}
        raise ConflictError(f"run {run['run_id']} is {run['status']}; there is nothing to cancel")
    failure = {"failed_state": "Waiting", "error": CANCELLED, "cause": cause}
    payload = TrainingFailed(run_id=run["run_id"], execution_arn="", **failure)
    out_of_queue = Update(
        Table.LOCKS, {"lock": training_lock(run["project"])},
        remove=("waiting", "waiting_since"),
        expect=(Equals("waiting", {"run_id": run["run_id"]}),),
    )  # fmt: skip
    changes = set_status(run, RunStatus.FAILED, {**failure, "ended_at": ports.now()})
    told = event(
        payload, Cause(run["project"], run["run_id"], run["run_id"], actor), ports.clock, ports.ids
    )
    ports.state.commit([*changes, out_of_queue], [told])
    return {"outcome": "cancelled", "run_id": run["run_id"]}
