"""Use case: begin, queue or suppress the run that a trigger asks for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from steward.contracts.events import (
    DeliveryReceived,
    Payload,
    TrainingFailed,
    TrainingQueued,
    TrainingStarted,
    TrainingSuppressed,
)
from steward.domain.errors import (
    ConflictError,
    JobImageMissingError,
    ProjectNotFoundError,
    RejectedError,
)
from steward.domain.names import PRIMARY
from steward.domain.runs import (
    RETRYABLE,
    DeliveryStatus,
    Head,
    Lease,
    Queue,
    RunStatus,
    Start,
    Suppress,
    Work,
    decide,
)
from steward.domain.tables import source_of
from steward.ports import (
    Absent,
    Change,
    Clock,
    Equals,
    Ids,
    Item,
    JobImage,
    ObjectStore,
    Put,
    StateStore,
    Table,
    Update,
    Workflows,
)
from steward.service.emission import Cause, event
from steward.service.suppression import record_suppressed
from steward.service.training.budget import estimate_or_refusal
from steward.service.training.ledger import (
    feature_pins,
    head_of,
    judged_by,
    lease_of,
    new_run,
    pin_lists,
    put_head,
    put_run,
    run_of,
    set_status,
    take_lock,
    usable_deliveries,
    wait_behind,
)
from steward.service.training.policy import as_judged_now, policy_or_refusal
from steward.service.training.triggers import Trigger

if TYPE_CHECKING:
    from steward.domain.project import Project

TRIES = 5
_NOTHING = Suppress("", RunStatus.FAILED, "")


@dataclass(frozen=True)
class Ports:
    """What starting and concluding runs works with.

    Attributes:
        artifacts_bucket: Where the lists of the runs' deliveries are written.
    """

    state: StateStore
    objects: ObjectStore
    workflows: Workflows
    job_image: JobImage
    clock: Clock
    ids: Ids
    machine: str
    artifacts_bucket: str
    environment: str

    def now(self) -> str:
        """Return the time as items and events hold it."""
        return self.clock.now().isoformat(timespec="milliseconds")


def start_training(trigger: Trigger, ports: Ports) -> dict[str, Any]:
    """Handle a trigger; the same event may come again at any point and changes nothing more.

    A delivery is recorded first, under the digest of its bytes. Then run, key head, lock and
    event are written in one transaction, and the execution starts under the run's id. A crash
    between the two is healed by the event's retry, or by any later event for the same work:
    whoever finds the run running starts it under the same name, which does nothing when it runs.

    Returns:
        ``outcome`` (started, queued, suppressed or failed) and what there is to say about it.

    Raises:
        ProjectNotFoundError: No such project is configured.
        ConflictError: Others changed the state five times in a row; AWS tries again.
    """
    configured = ports.state.get(Table.PROJECTS, {"project": trigger.project})
    if configured is None:
        raise ProjectNotFoundError(
            f"no project {trigger.project!r} is configured", field="project",
            value=trigger.project, allowed="a project added with `steward project add`",
        )  # fmt: skip
    if trigger.delivery is not None:
        sources = configured["config"]["data"].get("sources", {})
        source = source_of(trigger.delivery.path, sources)
        if source != PRIMARY:
            return {"outcome": "ignored", "reason": f"{source} trains nothing by itself"}
        refused = _record_delivery(trigger, configured, ports)
        if refused is not None:
            return _suppress(trigger, "", refused, ports)
    starting = (configured["config"].get("training") or {}).get("start_on")
    if trigger.kind != "request" and starting is not None and trigger.kind not in starting:
        return {"outcome": "kept", "reason": f"training.start_on does not name {trigger.kind}"}
    return begin(trigger, configured, ports, handover=None)


def begin(
    trigger: Trigger, configured: Item, ports: Ports, *, handover: str | None
) -> dict[str, Any]:
    """Decide on the project's current work and carry the decision out.

    Args:
        handover: Id of the run that ended and still holds the lock, which then passes on.
    """
    for attempt in range(TRIES):
        try:
            return _begin_once(trigger, configured, ports, handover)
        except ConflictError:
            if attempt == TRIES - 1:
                raise
    raise AssertionError("unreachable")


def _begin_once(
    trigger: Trigger, configured: Item, ports: Ports, handover: str | None
) -> dict[str, Any]:
    from steward.domain.project import parse_project  # large, and few events need it

    project = parse_project(configured["config"])
    accepted, pending = usable_deliveries(ports.state, project.project)
    if not accepted and not pending:
        suppress = replace(_NOTHING, reason="no delivery is there to train on")
        return _suppress(trigger, "", suppress, ports)
    image, missing = _image(ports.job_image)
    policy, refused = policy_or_refusal(ports.state, project)
    failed = missing or refused
    configured = {**configured, "policy": policy}
    pins = feature_pins(ports.state, project)
    work = Work(
        project.project, frozenset(accepted + pending), judged_by(configured),
        configured["code_digest"], image, pins.views, pins.deliveries,
    )  # fmt: skip
    head = head_of(ports.state, project.project, work.key)
    lease = lease_of(ports.state, project.project)
    if lease is not None and lease.owner == handover:
        lease = replace(lease, expires_at=0.0)
    counted = as_judged_now(head, trigger, policy, state=ports.state, now=ports.clock.now())
    decision = decide(work.key, counted, lease, ports.clock.now().timestamp())
    if isinstance(decision, Suppress):
        return _found(trigger, work, decision, ports)
    if head is not None and head.status in RETRYABLE:
        tried = run_of(ports.state, project.project, head.run_id)
        if tried is not None and tried["trigger"]["event_id"] == trigger.event_id:
            return {"outcome": tried["status"], "run_id": head.run_id, "again": True}
    if failed is not None:
        return _fail_at_once(trigger, work, head, decision, configured, failed, ports)
    if isinstance(decision, Queue):
        assert lease is not None
        return _queue(trigger, work, head, lease, decision, configured, ports)
    return _start(trigger, work, project, head, lease, decision, configured, ports)


def _image(job_image: JobImage) -> tuple[str, JobImageMissingError | None]:
    try:
        return job_image.uri(), None
    except JobImageMissingError as error:
        return "", error


def _record_delivery(trigger: Trigger, configured: Item, ports: Ports) -> Suppress | None:
    """Record the delivered bytes once; return a reason when they may not lead to a run."""
    delivered = trigger.delivery
    assert delivered is not None
    digest = ports.objects.sha256(delivered.bucket, delivered.key, delivered.version_id)
    key = {"project": trigger.project, "delivery_id": digest}
    received = {"status": DeliveryStatus.RECEIVED.value, "received_at": ports.now()}
    item = {
        **key, **received, "bucket": delivered.bucket, "key": delivered.key,
        "version_id": delivered.version_id, "size": delivered.size,
    }  # fmt: skip
    payload = DeliveryReceived(
        delivery_id=digest, bucket=delivered.bucket, key=delivered.key,
        version_id=delivered.version_id,
    )  # fmt: skip
    cause = Cause(trigger.project, digest[:12], trigger.event_id, trigger.actor)
    events = [event(payload, cause, ports.clock, ports.ids)]
    try:
        ports.state.commit([Put(Table.DELIVERIES, item, expect=(Absent(),))], events)
        return None
    except ConflictError:
        known = ports.state.get(Table.DELIVERIES, key)
    if known is not None and known["status"] == DeliveryStatus.DELETED:
        return Suppress("", RunStatus.FAILED, "these bytes were deleted on purpose")
    if known is None or known["status"] != DeliveryStatus.REJECTED:
        return None
    if known.get("judged_under") == judged_by(configured):
        return Suppress(
            known.get("judged_by", ""), RunStatus.FAILED,
            f"these bytes were rejected under the same rules: {known.get('report_uri')}",
        )  # fmt: skip
    again = Update(Table.DELIVERIES, key, set=received, expect=(Equals("status", known["status"]),))
    ports.state.commit([again], events)
    return None


def _start(
    trigger: Trigger,
    work: Work,
    project: Project,
    head: Head | None,
    lease: Lease | None,
    decision: Start,
    configured: Item,
    ports: Ports,
) -> dict[str, Any]:
    expected, over = estimate_or_refusal(ports.state, project, ports.clock.now())
    configured = {**configured, "estimate": expected}
    if over is not None:
        return _fail_at_once(
            trigger, work, head, decision, configured, over, ports, RunStatus.REFUSED
        )
    run, changes = _run_changes(trigger, work, head, decision, RunStatus.RUNNING, configured, ports)
    now_s = ports.clock.now().timestamp()
    changes.append(take_lock(project, run, lease, now_s))
    payload = TrainingStarted(
        run_id=decision.run_id, run_key=work.key, trigger=trigger.kind,
        execution_arn=run["execution_arn"], author=run["author"],
        config_digest=run["config_digest"], code_digest=run["code_digest"],
        code_uri=run["code_uri"], image=run["image"],
    )  # fmt: skip
    ports.state.commit(changes, [_event(payload, trigger, decision.run_id, ports)])
    start_execution(run, ports)
    return {"outcome": "started", "run_id": decision.run_id, "superseded": decision.superseded}


def _queue(
    trigger: Trigger,
    work: Work,
    head: Head | None,
    lease: Lease,
    decision: Queue,
    configured: Item,
    ports: Ports,
) -> dict[str, Any]:
    run, changes = _run_changes(trigger, work, head, decision, RunStatus.WAITING, configured, ports)
    now_s = ports.clock.now().timestamp()
    changes.append(wait_behind(work.project, run, lease, now_s))
    payload = TrainingQueued(
        run_id=decision.run_id, run_key=work.key, behind=decision.behind,
        superseded=decision.superseded,
    )  # fmt: skip
    ports.state.commit(changes, [_event(payload, trigger, decision.run_id, ports)])
    owner = run_of(ports.state, work.project, decision.behind)
    if owner is not None and owner["status"] == RunStatus.RUNNING:
        start_execution(owner, ports)
    return {
        "outcome": "queued", "run_id": decision.run_id, "behind": decision.behind,
        "superseded": decision.superseded,
    }  # fmt: skip


def _fail_at_once(
    trigger: Trigger,
    work: Work,
    head: Head | None,
    decision: Start | Queue,
    configured: Item,
    missing: RejectedError,
    ports: Ports,
    status: RunStatus = RunStatus.FAILED,
) -> dict[str, Any]:
    """Record a run that cannot begin: no image, a policy that refuses the project, no budget.

    The deliveries stay for the next one.
    """
    at_fault = replace(decision, superseded=None)
    run, changes = _run_changes(trigger, work, head, at_fault, status, configured, ports)
    ending = {
        "failed_state": "StartTraining", "error": type(missing).__name__,
        "cause": missing.message, "execution_arn": "",
    }  # fmt: skip
    run.update(**ending, ended_at=ports.now(), refusal=missing.as_dict())
    payload = TrainingFailed(run_id=decision.run_id, **ending)
    ports.state.commit(changes, [_event(payload, trigger, decision.run_id, ports)])
    return {"outcome": status.value, "run_id": decision.run_id, "reason": missing.message}


def _run_changes(
    trigger: Trigger,
    work: Work,
    head: Head | None,
    decision: Start | Queue,
    status: RunStatus,
    configured: Item,
    ports: Ports,
) -> tuple[dict[str, Any], list[Change]]:
    """Return the run's item and the changes that write it and supersede the waiting one."""
    run = new_run(
        decision.run_id, decision.attempt, status, work=work,
        lists=pin_lists(work, ports.objects, ports.artifacts_bucket), configured=configured,
        trigger=trigger, machine=ports.machine, now=ports.now(),
    )  # fmt: skip
    changes: list[Change] = []
    waited = run_of(ports.state, work.project, decision.run_id)
    if waited is None:
        changes.append(put_run(run))
    else:
        # The run that waited begins; who asked for it stays on its record.
        run = {**waited, **run, "trigger": waited["trigger"], "queued_at": waited["queued_at"]}
        changes.append(Put(Table.RUNS, run, expect=(Equals("status", waited["status"]),)))
    changes.append(put_head(work, head, decision.run_id, decision.attempt, status))
    if decision.superseded is not None:
        old = run_of(ports.state, work.project, decision.superseded)
        if old is not None and old["status"] == RunStatus.WAITING:
            ending = {"ended_at": ports.now(), "superseded_by": decision.run_id}
            superseding = set_status(old, RunStatus.SUPERSEDED, ending)
            if old["run_key"] == work.key:
                superseding = superseding[:1]
            changes.extend(superseding)
    return run, changes


def start_execution(run: Item, ports: Ports) -> None:
    """Start a run's execution, or find it started: its name is the run's id."""
    payload = {
        "project": run["project"],
        "run_id": run["run_id"],
        "correlation_id": run["run_id"],
        "causation_id": run["trigger"]["event_id"],
        "actor": run["trigger"]["actor"],
    }
    try:
        ports.workflows.start(ports.machine, run["run_id"], payload)
    except ConflictError:
        # It ran and ended; its status event concludes the run.
        return


def _found(trigger: Trigger, work: Work, decision: Suppress, ports: Ports) -> dict[str, Any]:
    run = run_of(ports.state, work.project, decision.run_id)
    if run is not None and decision.status is RunStatus.RUNNING:
        start_execution(run, ports)
    if run is not None and run["trigger"]["event_id"] == trigger.event_id:
        outcome = "queued" if decision.status is RunStatus.WAITING else "started"
        return {"outcome": outcome, "run_id": decision.run_id, "again": True}
    return _suppress(trigger, work.key, decision, ports)


def _suppress(trigger: Trigger, run_key: str, decision: Suppress, ports: Ports) -> dict[str, Any]:
    """Record a suppressed trigger once, with its event."""
    status = decision.status.value if decision.run_id else "none"
    payload = TrainingSuppressed(
        run_key=run_key, existing_run_id=decision.run_id, existing_status=status,
        trigger=trigger.kind, reason=decision.reason,
    )  # fmt: skip
    about = {
        "kind": trigger.kind, "event_id": trigger.event_id, "actor": trigger.actor,
        "cause": trigger.cause,
    }  # fmt: skip
    record_suppressed(
        ports.state, ports.now(), trigger.project, about, run_key=run_key,
        existing_run_id=decision.run_id, existing_status=status, reason=decision.reason,
        events=[_event(payload, trigger, decision.run_id or trigger.event_id, ports)],
    )  # fmt: skip
    return {
        "outcome": "suppressed", "existing_run_id": decision.run_id, "existing_status": status,
        "reason": decision.reason,
    }  # fmt: skip


def _event(payload: Payload, trigger: Trigger, correlation_id: str, ports: Ports) -> Any:
    cause = Cause(trigger.project, correlation_id, trigger.event_id, trigger.actor)
    return event(payload, cause, ports.clock, ports.ids)
