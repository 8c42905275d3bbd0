"""Use case: begin, or suppress, the batch that a schedule, a delivery or a person asks for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from steward.contracts.events import BatchScoringFailed, BatchScoringRequested, DatasetAccepted
from steward.contracts.incoming import BatchDue, Received
from steward.contracts.steps.batch import ConcludeBatch
from steward.domain.batch_runs import (
    BatchStatus,
    Begin,
    PinnedFile,
    Suppress,
    batch_id,
    batch_item,
    batch_key,
    decide,
    execution_name,
)
from steward.domain.errors import (
    BatchInputRefusedError,
    ConflictError,
    MalformedEventError,
    NoStableVersionError,
    ProjectNotFoundError,
    RejectedError,
)
from steward.domain.runs import execution_arn
from steward.ports import (
    Absent,
    Clock,
    Ids,
    Item,
    ObjectStore,
    Put,
    StateStore,
    Table,
    Workflows,
)
from steward.service.emission import Cause, event
from steward.service.serving.batch.pinning import pin_delivery, pin_prefix, require_undeleted
from steward.service.serving.batch.recording import batch_left_running
from steward.service.serving.batch.records import latest_attempt, rules_of
from steward.service.serving.records import route_of, version_of
from steward.service.suppression import record_suppressed

if TYPE_CHECKING:
    from steward.domain.batch_declaration import Batch
    from steward.domain.project import Project

TRIES = 5


@dataclass(frozen=True)
class Ports:
    """What beginning a batch works with.

    Attributes:
        machine: ARN of ``score_batch``.
        conclude: Records how a batch ended, as the status event has it done.
    """

    state: StateStore
    objects: ObjectStore
    workflows: Workflows
    clock: Clock
    ids: Ids
    machine: str
    data_bucket: str
    conclude: Callable[[ConcludeBatch], object]

    def now(self) -> str:
        """Return the time as items hold it."""
        return self.clock.now().isoformat(timespec="milliseconds")


@dataclass(frozen=True)
class Asked:
    """Who asks for a batch, and what is not as it is declared.

    Attributes:
        kind: ``schedule``, ``delivery`` or ``request``.
        request_id: By which who asked finds what came of it.
        delivery_id: The one that is scored; None for the newest.
        prefix: Scored in place of the declared input.
    """

    kind: str
    project: str
    event_id: str
    actor: str
    cause: str
    request_id: str = ""
    table: str = ""
    delivery_id: str | None = None
    prefix: str | None = None

    def trigger(self) -> dict[str, str]:
        """Return it as records hold it."""
        return {
            "kind": self.kind, "event_id": self.event_id, "actor": self.actor,
            "cause": self.cause, "request_id": self.request_id,
        }  # fmt: skip


def asked_by(received: Received) -> Asked:
    """Return what an event asks for.

    Raises:
        MalformedEventError: It asks for no batch.
    """
    match received.detail:
        case BatchDue(project=project):
            return Asked("schedule", project, received.id, "schedule", "the schedule is due")
        case DatasetAccepted() as accepted:
            return Asked(
                "delivery", received.own.project, received.id, received.own.actor,
                f"{accepted.key} was accepted", table=accepted.table,
                delivery_id=accepted.delivery_id,
            )  # fmt: skip
        case BatchScoringRequested() as wanted:
            return Asked(
                "request", received.own.project, received.id, received.own.actor,
                wanted.reason or "asked for", wanted.request_id, prefix=wanted.prefix,
            )  # fmt: skip
    raise MalformedEventError(
        f"{received.detail_type!r} asks for no batch", field="detail-type",
        value=received.detail_type, allowed="BatchScoringRequested",
    )  # fmt: skip


def start_batch(asked: Asked, ports: Ports) -> dict[str, Any]:
    """Pin version and input, and score them unless that is done or under way.

    The record is written under a key that follows from version, bytes and parameters, then the
    execution starts under the record's name; a crash between the two is healed by the event's
    retry. What cannot begin is a failed batch that says why, with its event.

    Raises:
        ProjectNotFoundError: No such project is configured.
        ConflictError: Others changed the state five times in a row; AWS tries again.
    """
    configured = ports.state.get(Table.PROJECTS, {"project": asked.project})
    if configured is None and asked.kind == "delivery":
        return {"outcome": "ignored", "reason": f"no project {asked.project} is configured"}
    if configured is None:
        raise ProjectNotFoundError(
            f"no project {asked.project!r} is configured", field="project", value=asked.project,
            allowed="a project added with `steward project add`",
        )  # fmt: skip
    if asked.kind == "delivery" and not _is_wanted(asked, configured["config"].get("batch")):
        return {"outcome": "ignored", "reason": "the project scores no such delivery"}
    from steward.domain.project import parse_project  # large, and few deliveries need it

    project = parse_project(configured["config"])
    for attempt in range(TRIES):
        try:
            return _start_once(asked, project, ports)
        except ConflictError:
            if attempt == TRIES - 1:
                raise
    raise AssertionError("unreachable")


def _is_wanted(asked: Asked, declared: dict[str, Any] | None) -> bool:
    if not declared or not declared.get("on_delivery"):
        return False
    return bool((declared.get("input") or {}).get("source") == asked.table)


def _start_once(asked: Asked, project: Project, ports: Ports) -> dict[str, Any]:
    version: int | None = None
    try:
        version = _stable_version(ports.state, project.project)
        rules = rules_of(ports.state, version_of(ports.state, project.project, version))
        batch = _declared(project, asked)
        files = _pinned(asked, project, batch, ports)
        require_undeleted(ports.state, project.project, files)
    except RejectedError as error:
        return _refuse(asked, project, version, error, ports)
    key = batch_key(project.project, version, files, _parameters(rules, batch))
    latest = latest_attempt(ports.state, project.project, key)
    if latest is not None and latest["trigger"]["event_id"] == asked.event_id:
        if latest["status"] == BatchStatus.RUNNING:
            _start_execution(latest, ports)
        return {"outcome": "started", "batch_id": latest["batch_id"], "again": True}
    match decide(latest, ports.clock.now() if asked.kind == "request" else None):
        case Suppress() as known:
            running = latest if known.status is BatchStatus.RUNNING else None
            if running is not None and not _start_execution(running, ports):
                raise ConflictError(f"batch {known.batch_id} had ended; look again")
            return _suppress(asked, key, known, ports)
        case Begin(attempt=attempt):
            record = _record(asked, project, batch, version, files, key, attempt, ports)
            ports.state.commit([Put(Table.RUNS, record, expect=(Absent(),))])
            _start_execution(record, ports)
            return {"outcome": "started", "batch_id": record["batch_id"], "version": version}


def _stable_version(state: StateStore, project: str) -> int:
    """Return who answers now: a candidate under release has not proved itself yet."""
    route = route_of(state, project)
    if route is None:
        raise NoStableVersionError(
            f"{project} has no version in production", field="project", value=project,
            allowed="a project with a released version",
        )  # fmt: skip
    return route.stable.version


def _declared(project: Project, asked: Asked) -> Batch:
    from steward.domain.batch_declaration import Batch, BatchInput

    if project.batch is not None:
        return project.batch
    if asked.prefix is None:
        raise BatchInputRefusedError(
            f"{project.project} declares no batch", field="batch", value=None,
            allowed="a section `batch` in project.yaml, or files to score",
        )  # fmt: skip
    return Batch(
        input=BatchInput(prefix=asked.prefix), instance_type=project.training.instance_type
    )


def _pinned(asked: Asked, project: Project, batch: Batch, ports: Ports) -> list[PinnedFile]:
    prefix = asked.prefix or batch.input.prefix
    if prefix is not None:
        return pin_prefix(ports.objects, ports.data_bucket, project.project, prefix)
    source = batch.input.source or ""
    return pin_delivery(ports.state, ports.objects, project, source, asked.delivery_id)


def _parameters(rules: Project, batch: Batch) -> dict[str, Any]:
    """Return what decides a batch's result beside version and bytes."""
    return {
        "output": batch.output, "checks": batch.checks.model_dump(mode="json"),
        "entity_id": rules.data.entity_id,
        "features": [column.model_dump(mode="json") for column in rules.model_features],
    }  # fmt: skip


def _record(
    asked: Asked, project: Project, batch: Batch, version: int, files: list[PinnedFile],
    key: str, attempt: int, ports: Ports,
) -> Item:  # fmt: skip
    name, now = batch_id(key, attempt), ports.now()
    execution = execution_name(project.project, name)
    return {
        "project": project.project, "run_id": batch_item(key, attempt), "batch_id": name,
        "batch_key": key, "attempt": attempt, "status": BatchStatus.RUNNING.value,
        "version": version, "version_stable_at": now, "input": [asdict(file) for file in files],
        "batch": batch.model_dump(mode="json"), "trigger": asked.trigger(), "started_at": now,
        "batch_arn": execution_arn(ports.machine, execution), "execution_name": execution,
    }  # fmt: skip


def _start_execution(record: Item, ports: Ports) -> bool:
    """Start the execution, or find it started: its name is the record's; return whether it runs.

    One that has ended is concluded here: had its status event come, nobody would start it.
    """
    payload = {
        "project": record["project"], "batch_id": record["batch_id"],
        "correlation_id": record["batch_id"], "causation_id": record["trigger"]["event_id"],
        "actor": record["trigger"]["actor"],
    }  # fmt: skip
    try:
        ports.workflows.start(ports.machine, record["execution_name"], payload)
    except ConflictError:
        ended = batch_left_running(
            record, workflows=ports.workflows, objects=ports.objects,
            data_bucket=ports.data_bucket,
        )  # fmt: skip
        if ended is not None:
            ports.conclude(ended)
            return False
    return True


def _refuse(
    asked: Asked, project: Project, version: int | None, error: RejectedError, ports: Ports
) -> dict[str, Any]:
    """Record a batch that cannot begin, once for an event, and tell of it."""
    key = hashlib.sha256(f"refused\n{project.project}\n{asked.event_id}".encode()).hexdigest()
    record: Item = {
        "project": project.project, "run_id": batch_item(key, 1), "batch_id": batch_id(key, 1),
        "batch_key": key, "attempt": 1, "status": BatchStatus.FAILED.value, "version": version,
        "input": [], "trigger": asked.trigger(), "started_at": ports.now(),
        "ended_at": ports.now(), "failed_state": "StartBatch", "error": type(error).__name__,
        "cause": error.message, "refusal": error.as_dict(), "batch_arn": "",
    }  # fmt: skip
    failed = BatchScoringFailed(
        batch_id=record["batch_id"], version=version, failed_state="StartBatch",
        error=type(error).__name__, cause=error.message, execution_arn="",
    )  # fmt: skip
    cause = Cause(project.project, record["batch_id"], asked.event_id, asked.actor)
    try:
        ports.state.commit(
            [Put(Table.RUNS, record, expect=(Absent(),))],
            [event(failed, cause, ports.clock, ports.ids)],
        )
    except ConflictError:
        return {"outcome": "failed", "batch_id": record["batch_id"], "again": True}
    return {"outcome": "failed", "batch_id": record["batch_id"], "reason": error.message}


def _suppress(asked: Asked, key: str, known: Suppress, ports: Ports) -> dict[str, Any]:
    """Record a suppressed trigger once."""
    record_suppressed(
        ports.state, ports.now(), asked.project, asked.trigger(), run_key=key,
        existing_run_id=known.batch_id, existing_status=known.status.value, reason=known.reason,
        batch_id=known.batch_id,
    )  # fmt: skip
    return {
        "outcome": "suppressed", "batch_id": known.batch_id, "status": known.status.value,
        "reason": known.reason,
    }  # fmt: skip
