"""Use case: write down how an integration ended, with its event."""

from __future__ import annotations

import json
from typing import Any

from steward.contracts.events import (
    CommitIntegrated,
    IntegrationFailed,
    IntegrationSuperseded,
    Payload,
)
from steward.contracts.incoming import ExecutionStatusChange
from steward.contracts.steps.integration import RecordedIntegration, RecordIntegration
from steward.domain.causes import readable_cause
from steward.domain.integrations import IntegrationStatus
from steward.ports import Clock, Equals, Ids, Item, StateStore, Table, Update
from steward.service.emission import Cause, event
from steward.service.training.integration.records import is_over, newest_of, record_of, told

MAX_CAUSE = 4000


def record_integration(
    command: RecordIntegration, *, state: StateStore, clock: Clock, ids: Ids
) -> RecordedIntegration:
    """Set the record's status and publish what happened, in one transaction.

    A repeated call for an integration that has ended changes nothing.

    Raises:
        ConflictError: Somebody else ended it meanwhile.
    """
    record = record_of(state, command.project, command.integration_id)
    run_id = command.training.run_id if command.training else ""
    recorded = RecordedIntegration(outcome=command.outcome, run_id=run_id)
    if is_over(record):
        return recorded
    now = clock.now().isoformat(timespec="milliseconds")
    set_: dict[str, Any] = {"status": command.outcome, "ended_at": now}
    if command.training is not None:
        set_ |= {
            "training_run_id": run_id, "training_outcome": command.training.outcome,
            "training_reason": command.training.reason, "step": "Report",
        }  # fmt: skip
    if command.outcome == "failed":
        set_ |= {
            "step": command.failed_state, "error": command.error,
            "cause": readable_cause(command.cause or "", MAX_CAUSE),
        }  # fmt: skip
    change = Update(
        Table.RUNS, {"project": command.project, "run_id": command.integration_id}, set=set_,
        expect=(Equals("status", IntegrationStatus.RUNNING.value),),
    )  # fmt: skip
    payload = _payload(command, record, state)
    cause = Cause(command.project, command.correlation_id, command.integration_id, record["author"])
    state.commit([change], [event(payload, cause, clock, ids)])
    return recorded


def _payload(command: RecordIntegration, record: Item, state: StateStore) -> Payload:
    about = told(record)
    if command.outcome == "succeeded":
        assert command.training is not None
        return CommitIntegrated(
            **about, code_digest=command.code_digest or "",
            config_digest=command.config_digest or "", run_id=command.training.run_id,
            outcome=command.training.outcome,
        )  # fmt: skip
    if command.outcome == "superseded":
        newest = newest_of(state, command.project, record["branch"])
        return IntegrationSuperseded(
            integration_id=record["run_id"], branch=record["branch"],
            commit_id=record["commit_id"],
            superseded_by=newest.integration_id if newest else "",
        )  # fmt: skip
    found = record.get("tests") or {}
    failed = found.get("failed", []) if command.failed_state == "JudgeTests" else []
    return IntegrationFailed(
        **about, step=command.failed_state or "", error=command.error or "",
        cause=readable_cause(command.cause or "", MAX_CAUSE), execution_arn=command.execution_arn,
        failed_tests=failed,
    )  # fmt: skip


def conclude_integration(
    change: ExecutionStatusChange, *, state: StateStore, clock: Clock, ids: Ids
) -> dict[str, Any]:
    """Record what the machine could not: that it was aborted or ran out of time.

    An execution that wrote its own end changes nothing here.
    """
    given = json.loads(change.input or "{}")
    project, integration_id = given.get("project"), given.get("integration_id")
    if not project or not integration_id:
        return {"outcome": "ignored", "reason": f"{change.name} is no integration"}
    record = record_of(state, project, integration_id)
    if is_over(record):
        return {"outcome": record["status"], "again": True}
    command = RecordIntegration(
        project=project, integration_id=integration_id, correlation_id=integration_id,
        outcome="failed", execution_arn=change.execution_arn,
        failed_state=str(record.get("step") or "IntegrateCommit"),
        error=change.error or f"States.{change.status.title().replace('_', '')}",
        cause=change.cause or f"the execution ended as {change.status}",
    )  # fmt: skip
    return record_integration(command, state=state, clock=clock, ids=ids).model_dump()
