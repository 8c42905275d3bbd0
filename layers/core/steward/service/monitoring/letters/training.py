"""Letters about what came of data, training, integration and staging."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steward.contracts import events
from steward.domain.mails import training
from steward.domain.mails.layout import Letter
from steward.domain.mails.training import BrokenRule
from steward.service.monitoring.letters.occasion import ON_CALL, OWNER, Letters, Occasion

if TYPE_CHECKING:
    pass


def _dataset_rejected(occasion: Occasion) -> Letter:
    data: events.DatasetRejected = occasion.data
    return training.dataset_rejected(
        occasion.where,
        key=data.key,
        delivery_id=data.delivery_id,
        quarantine_uri=data.quarantine_uri,
        report_uri=data.report_uri,
        rules=[
            BrokenRule(found.rule, found.column, found.count, found.message, found.examples)
            for found in data.violations
        ],
        table_name=data.table,
    )


def _held(occasion: Occasion) -> Letter:
    data: events.CandidateHeld = occasion.data
    return training.candidate_held(
        occasion.where, run_id=data.run_id, verdict=data.verdict, reasons=data.reasons,
        reused=occasion.reused(data.run_id),
    )  # fmt: skip


def _training_failed(occasion: Occasion) -> Letter | None:
    """Say why a run failed, but for rejected deliveries: of each of them the owner has mail."""
    data: events.TrainingFailed = occasion.data
    if (data.failed_state, data.error) == ("ValidateDeliveries", "DatasetRejectedError"):
        return None
    return training.training_failed(
        occasion.where, run_id=data.run_id, **failure(data), reused=occasion.reused(data.run_id)
    )


def _integration_failed(occasion: Occasion) -> Letter:
    data: events.IntegrationFailed = occasion.data
    told = data.model_dump(exclude={"integration_id"})
    return training.integration_failed(occasion.where, **told)


def _staging_failed(occasion: Occasion) -> Letter:
    data: events.StagingFailed = occasion.data
    return training.staging_failed(occasion.where, data.version, **failure(data))


def failure(
    data: events.TrainingFailed | events.StagingFailed | events.ReleaseFailed | events.TickFailed,
) -> dict[str, str]:
    """Return what every letter about a failure says of it."""
    return {
        "failed_state": data.failed_state,
        "error": data.error,
        "cause": data.cause,
        "execution_arn": data.execution_arn,
    }


LETTERS: Letters = {
    "DatasetRejected": ((OWNER,), _dataset_rejected),
    "CandidateHeld": ((OWNER,), _held),
    "TrainingFailed": ((ON_CALL, OWNER), _training_failed),
    "IntegrationFailed": ((OWNER,), _integration_failed),
    "StagingFailed": ((ON_CALL, OWNER), _staging_failed),
}
