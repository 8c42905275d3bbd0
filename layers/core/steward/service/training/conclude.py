"""Use case: what follows from the end of an execution, and from a job's change of state."""

from __future__ import annotations

import json
from typing import Any

from steward.contracts.events import TrainingFailed
from steward.contracts.incoming import ExecutionStatusChange, TrainingJobStateChange
from steward.domain.errors import ConflictError, MalformedEventError, ProjectNotFoundError
from steward.domain.locks import training_lock
from steward.domain.names import job_of
from steward.domain.runs import RunStatus, job_moved_on
from steward.ports import Delete, Equals, Item, Table, Update
from steward.service.emission import Cause, event
from steward.service.training.ledger import lease_of, run_of, set_status
from steward.service.training.start import Ports, begin, start_execution
from steward.service.training.triggers import Trigger

_ENDED = {"SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"}
_ERRORS = {"TIMED_OUT": "States.Timeout", "ABORTED": "ExecutionAborted"}
_CAUSES = {
    "TIMED_OUT": "the execution ran longer than its machine allows",
    "ABORTED": "the execution was stopped",
    "FAILED": "the execution failed before it could record why",
}


def conclude_execution(
    change: ExecutionStatusChange, event_id: str, ports: Ports
) -> dict[str, Any]:
    """End a run whose execution ended: record what the machine could not, pass the lock on.

    Timeouts and aborts cannot be caught in a machine, so the run still says running; then it
    fails here, with its event. After that the waiting run begins, its key computed anew from all
    deliveries that are pending by now. A repeated event finds nothing left to do.

    Raises:
        MalformedEventError: The execution's input names no run of ours.
    """
    if change.state_machine_arn != ports.machine:
        return {"ignored": f"{change.state_machine_arn} is not the training machine"}
    if change.status not in _ENDED:
        return {"ignored": f"status {change.status} ends nothing"}
    project = _project(change)
    run = run_of(ports.state, project, change.name)
    if run is None:
        raise MalformedEventError(
            f"project {project} has no run {change.name}", field="detail.name",
            value=change.name, allowed="the id of a started run",
        )  # fmt: skip
    if change.redrive_count < int(run.get("redrives") or 0):
        return {"ignored": f"{change.name} was redriven since"}
    ended = _end(run, change, event_id, ports)
    return {"run_id": change.name, "ended_here": ended, **_pass_on(run, event_id, ports)}


def record_job_state(change: TrainingJobStateChange, ports: Ports) -> dict[str, Any]:
    """Note a training job's status on its run; repeated and late events change nothing."""
    job = job_of(ports.environment, change.training_job_name)
    run = run_of(ports.state, job[0], job[1]) if job else None
    if run is None:
        return {"ignored": f"{change.training_job_name} is no job of a run"}
    known = run.get("training_job") or {}
    same = known.get("name") == change.training_job_name
    if same and not job_moved_on(known.get("status"), change.training_job_status):
        return {"run_id": run["run_id"], "known": known.get("status")}
    noted = {
        "name": change.training_job_name, "arn": change.training_job_arn,
        "status": change.training_job_status, "noted_at": ports.now(),
    }  # fmt: skip
    key = {"project": run["project"], "run_id": run["run_id"]}
    expected = Equals("training_job", run.get("training_job"))
    ports.state.commit([Update(Table.RUNS, key, set={"training_job": noted}, expect=(expected,))])
    return {"run_id": run["run_id"], "training_job": change.training_job_status}


def _project(change: ExecutionStatusChange) -> str:
    try:
        project = json.loads(change.input or "")["project"]
    except (ValueError, KeyError, TypeError):
        project = None
    if not isinstance(project, str):
        raise MalformedEventError(
            "the execution's input names no project", field="detail.input",
            value=(change.input or "")[:200], allowed="the input that start_training writes",
        )  # fmt: skip
    return project


def _end(run: Item, change: ExecutionStatusChange, event_id: str, ports: Ports) -> bool:
    """Set the status that the machine could not set; return whether that was needed."""
    if run["status"] != RunStatus.RUNNING:
        return False
    failure = {
        "failed_state": "Execution",
        "error": change.error or _ERRORS.get(change.status, "OutcomeNotRecorded"),
        "cause": change.cause or _CAUSES.get(change.status, "it ended without an outcome"),
    }
    payload = TrainingFailed(
        run_id=run["run_id"], execution_arn=change.execution_arn,
        failed_state=failure["failed_state"], error=failure["error"],
        cause=failure["cause"][:4000],
    )  # fmt: skip
    cause = Cause(run["project"], run["run_id"], event_id)
    changes = set_status(run, RunStatus.FAILED, {**failure, "ended_at": ports.now()})
    try:
        ports.state.commit(changes, [event(payload, cause, ports.clock, ports.ids)])
    except ConflictError:
        # The machine's own record or a duplicate of this event was faster.
        return False
    return True


def _pass_on(run: Item, event_id: str, ports: Ports) -> dict[str, Any]:
    """Give the lock to the waiting run, or free it."""
    project, run_id = run["project"], run["run_id"]
    lease = lease_of(ports.state, project)
    if lease is None:
        return {"lock": "free"}
    if lease.owner != run_id:
        owner = run_of(ports.state, project, lease.owner)
        if owner is not None and owner["status"] == RunStatus.RUNNING:
            start_execution(owner, ports)
        return {"lock": f"held by {lease.owner}"}
    if lease.waiting is None:
        return _free(project, run_id, None, ports)
    waiting = run_of(ports.state, project, lease.waiting)
    configured = ports.state.get(Table.PROJECTS, {"project": project})
    if configured is None:
        raise ProjectNotFoundError(f"no project {project!r} is configured", field="project")
    trigger = _trigger_of(waiting, project, event_id)
    begun = begin(trigger, configured, ports, handover=run_id)
    if begun["outcome"] in ("started", "queued"):
        return {"lock": "passed on", **begun}
    # Nothing was left to do for it: its work is done, or cannot begin.
    waiting = run_of(ports.state, project, lease.waiting)
    if waiting is not None and waiting["status"] == RunStatus.WAITING:
        reason = {"ended_at": ports.now(), "cause": str(begun.get("reason", ""))}
        ports.state.commit(set_status(waiting, RunStatus.SUPERSEDED, reason))
    return {**_free(project, run_id, lease.waiting, ports), **begun}


def _trigger_of(waiting: Item | None, project: str, event_id: str) -> Trigger:
    if waiting is None:
        return Trigger("request", project, event_id, "steward", "a run waited")
    known = waiting["trigger"]
    return Trigger(known["kind"], project, known["event_id"], known["actor"], known["cause"])


def _free(project: str, owner: str, waiting: str | None, ports: Ports) -> dict[str, Any]:
    expected = Equals("waiting", {"run_id": waiting} if waiting else None)
    free = Delete(
        Table.LOCKS, {"lock": training_lock(project)}, expect=(Equals("owner", owner), expected)
    )
    ports.state.commit([free])
    return {"lock": "freed"}
