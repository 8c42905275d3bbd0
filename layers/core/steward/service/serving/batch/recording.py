"""Use case: write down how a batch ended, with its event, also where its machine could not."""

from __future__ import annotations

import json
from typing import Any

from steward.contracts.events import BatchScored, BatchScoringFailed
from steward.contracts.incoming import ExecutionStatusChange, Received
from steward.contracts.steps.batch import BatchConclusion, BatchFailure, ConcludeBatch
from steward.domain.batch_runs import BatchStatus, batch_of_execution, item_of_id, transform_job
from steward.ports import Clock, Hosting, Ids, Item, ObjectStore, OneOf, StateStore, Table, Update
from steward.service.emission import Cause, event
from steward.service.serving.batch.records import pinned, quarantine_of, record_of, told

FILES_IN_EVENT = 20
MOST_CAUSE = 1000


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
) -> BatchConclusion:
    """Set the status of a batch and publish what happened, in one transaction; remove its model.

    The job of a failed one is stopped, should it still run.

    A repeated call changes nothing. An execution that was redriven may yet succeed: a failed batch
    becomes a delivered one, and never the other way round.

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
    if before is BatchStatus.SUCCEEDED or before.value == command.outcome:
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
    cause = failure.cause
    try:
        document = json.loads(cause)
    except ValueError:
        document = None
    if isinstance(document, dict):
        cause = str(document.get("FailureReason") or document.get("errorMessage") or cause)
    return failure.model_copy(update={"cause": cause[:MOST_CAUSE]})


def batch_that_ended(received: Received, *, state: StateStore) -> ConcludeBatch | None:
    """Return how to conclude a batch whose machine ended without doing so itself.

    None where it was concluded, or the execution was started by hand.
    """
    change = received.detail
    assert isinstance(change, ExecutionStatusChange)
    found = batch_of_execution(change.name)
    if found is None:
        return None
    project, batch = found
    record = state.get(Table.RUNS, {"project": project, "run_id": item_of_id(batch)})
    if record is None or record["status"] != BatchStatus.RUNNING:
        return None
    words = {"TIMED_OUT": "it ran out of time", "ABORTED": "it was stopped"}
    return ConcludeBatch(
        project=project, batch_id=batch, correlation_id=batch, outcome="failed",
        execution_arn=change.execution_arn,
        failure=BatchFailure(
            state="ScoreBatch", error=change.error or f"States.{change.status.title()}",
            cause=change.cause or words.get(change.status, "it failed"),
        ),
    )  # fmt: skip
