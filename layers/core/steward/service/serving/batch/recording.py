"""Use case: write down how a batch ended, with its event, also where its machine could not."""

from __future__ import annotations

import json
from typing import Any

from steward.contracts.events import BatchScored, BatchScoringFailed
from steward.contracts.incoming import ExecutionStatusChange, Received
from steward.contracts.steps.batch import BatchConclusion, BatchFailure, ConcludeBatch
from steward.domain.batch_runs import (
    BatchStatus,
    batch_of_execution,
    item_of_id,
    pinned,
    quarantine_folder,
    scores_folder,
    transform_job,
    work_folder,
)
from steward.domain.causes import readable_cause
from steward.domain.errors import EvidenceIncompleteError
from steward.ports import (
    Clock,
    ExecutionState,
    Hosting,
    Ids,
    Item,
    ObjectStore,
    OneOf,
    StateStore,
    Table,
    Update,
    Workflows,
)
from steward.service.emission import Cause, event
from steward.service.serving.batch.records import quarantine_of, record_of, told
from steward.service.serving.records import MAX_CAUSE

FILES_IN_EVENT = 20


def conclude_batch(
    command: ConcludeBatch,
    *,
    state: StateStore,
    objects: ObjectStore,
    hosting: Hosting,
    clock: Clock,
    ids: Ids,
    environment: str,
    data_bucket: str,
    artifacts_bucket: str | None = None,
) -> BatchConclusion:
    """Set the status of a batch and publish what happened, in one transaction; remove its model.

    The job of a failed one is stopped, should it still run.

    A repeated call changes nothing. An execution that was redriven may yet succeed: a failed batch
    becomes a delivered one, and never the other way round. What an execution wrote for a batch
    that was deleted meanwhile is removed.

    Args:
        artifacts_bucket: Has the work of a batch; None where the caller removes no objects.

    Raises:
        ConflictError: Somebody else ended it meanwhile.
    """
    record = record_of(state, command.project, command.batch_id)
    if record.get("model"):
        if command.outcome == "failed":
            # A task that times out does not stop its job, and transform jobs have no limit.
            hosting.stop_transforms(transform_job(environment, command.project, command.batch_id))
        hosting.remove_model(record["model"])
    before = BatchStatus(record["status"])
    if before is BatchStatus.DELETED and artifacts_bucket is not None:
        _remove_objects(record, objects, data_bucket, artifacts_bucket)
    if before in (BatchStatus.SUCCEEDED, BatchStatus.DELETED) or before.value == command.outcome:
        return BatchConclusion(status=before.value)
    now = clock.now().isoformat(timespec="milliseconds")
    changed: dict[str, Any] = {"status": command.outcome, "ended_at": now}
    payload: BatchScored | BatchScoringFailed
    if command.outcome == "succeeded":
        manifest = json.loads(objects.read(command.manifest_uri or ""))
        payload = _scored(record, command, manifest)
        changed["delivered"] = {**manifest, "manifest_uri": command.manifest_uri}
    else:
        failure = _readable(command.failure)
        kept = f"{quarantine_of(data_bucket, record)}/"
        quarantine = kept if failure.error == "ScoresRejectedError" else None
        changed |= {
            "failed_state": failure.state, "error": failure.error, "cause": failure.cause,
            "quarantine_uri": quarantine,
        }  # fmt: skip
        payload = BatchScoringFailed(
            batch_id=command.batch_id, version=record["version"], failed_state=failure.state,
            error=failure.error, cause=failure.cause, quarantine_uri=quarantine,
            execution_arn=command.execution_arn,
        )  # fmt: skip
    change = Update(
        Table.RUNS, {"project": command.project, "run_id": record["run_id"]}, set=changed,
        remove=("failed_state", "error", "cause") if "delivered" in changed else (),
        expect=(OneOf("status", (BatchStatus.RUNNING.value, before.value)),),
    )  # fmt: skip
    trigger = record["trigger"]
    cause = Cause(command.project, command.batch_id, trigger["event_id"], trigger["actor"])
    state.commit([change], [event(payload, cause, clock, ids)])
    return BatchConclusion(status=command.outcome)


def _remove_objects(
    record: Item, objects: ObjectStore, data_bucket: str, artifacts_bucket: str
) -> None:
    project, batch = record["project"], record["batch_id"]
    places = (
        (data_bucket, scores_folder(project, record["batch"]["output"], record["batch_key"])),
        (data_bucket, quarantine_folder(project, batch)),
        (artifacts_bucket, work_folder(project, batch)),
    )
    for bucket, folder in places:
        for info in list(objects.versions(bucket, folder)):
            assert info.version_id is not None
            objects.remove(bucket, info.key, info.version_id)


def _scored(record: Item, command: ConcludeBatch, manifest: dict[str, Any]) -> BatchScored:
    files = pinned(record)
    return BatchScored(
        batch_id=command.batch_id, batch_key=record["batch_key"], version=record["version"],
        input=told(files, FILES_IN_EVENT), more_input=max(0, len(files) - FILES_IN_EVENT),
        rows=manifest["rows"], refused_rows=manifest["refused_rows"],
        scores_uri=manifest["scores_uri"], scores_sha256=manifest["scores_sha256"],
        manifest_uri=command.manifest_uri or "", least=manifest["least"], most=manifest["most"],
        mean=manifest["mean"], transform_job=manifest["transform_job"],
        execution_arn=command.execution_arn,
    )  # fmt: skip


def _readable(failure: BatchFailure | None) -> BatchFailure:
    """Return a failure whose cause a person can read: a job's reason, a function's message."""
    if failure is None:
        return BatchFailure(state="unknown", error="unknown", cause="the machine gave no reason")
    return failure.model_copy(update={"cause": readable_cause(failure.cause, MAX_CAUSE)})


def batch_that_ended(received: Received, *, state: StateStore) -> ConcludeBatch | None:
    """Return how to conclude a batch whose machine ended without doing so itself.

    None where it was concluded, or the execution was started by hand. One that was deleted
    meanwhile may have left a job, a model and objects.
    """
    change = received.detail
    assert isinstance(change, ExecutionStatusChange)
    found = batch_of_execution(change.name)
    if found is None:
        return None
    project, batch = found
    record = state.get(Table.RUNS, {"project": project, "run_id": item_of_id(batch)})
    if record is None or record["status"] not in (BatchStatus.RUNNING, BatchStatus.DELETED):
        return None
    ended = ExecutionState(change.status, change.error or "", change.cause or "")
    return _failed(project, batch, change.execution_arn, ended)


def batch_left_running(
    record: Item, *, workflows: Workflows, objects: ObjectStore, data_bucket: str
) -> ConcludeBatch | None:
    """Return how to conclude a batch by its execution, None while that runs.

    For a batch whose status event was lost: until it is concluded, nobody gets it scored again.

    Raises:
        AccessDeniedError: The caller may not look at executions.
        ThrottledError: Step Functions asks to try again.
    """
    project, batch, arn = record["project"], record["batch_id"], record["batch_arn"]
    found = workflows.find(arn)
    if found is not None and not found.has_ended:
        return None
    if found is not None and found.status == "SUCCEEDED":
        folder = scores_folder(project, record["batch"]["output"], record["batch_key"])
        manifest = f"s3://{data_bucket}/{folder}manifest.json"
        if _delivered_by(batch, manifest, objects):
            return ConcludeBatch(
                project=project, batch_id=batch, correlation_id=batch, outcome="succeeded",
                execution_arn=arn, manifest_uri=manifest,
            )  # fmt: skip
    return _failed(project, batch, arn, found)


def _delivered_by(batch: str, manifest_uri: str, objects: ObjectStore) -> bool:
    """Return whether this attempt delivered; others deliver into the same folder."""
    try:
        return bool(json.loads(objects.read(manifest_uri))["batch_id"] == batch)
    except EvidenceIncompleteError:
        return False


_WORDS = {
    "TIMED_OUT": "it ran out of time", "ABORTED": "it was stopped",
    "SUCCEEDED": "it ended and delivered nothing",
}  # fmt: skip


def _failed(project: str, batch: str, arn: str, ended: ExecutionState | None) -> ConcludeBatch:
    if ended is None:
        ended = ExecutionState("Lost", cause="its execution is not known any more")
    status = ended.status.title().replace("_", "")
    return ConcludeBatch(
        project=project, batch_id=batch, correlation_id=batch, outcome="failed",
        execution_arn=arn,
        failure=BatchFailure(
            state="ScoreBatch", error=ended.error or f"States.{status}",
            cause=ended.cause or _WORDS.get(ended.status, "it failed"),
        ),
    )  # fmt: skip
