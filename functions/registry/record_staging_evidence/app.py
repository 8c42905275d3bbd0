"""Doorway: freeze the evidence of a staged version and ask for approval."""

from steward.bootstrap import app
from steward.contracts.events import StagingFailed
from steward.contracts.incoming import Received
from steward.entrypoint import on_event
from steward.service.registry.staging_evidence import (
    record_staging_evidence,
    record_staging_failure,
)


@on_event("VersionStaged", "StagingFailed")
def handler(received: Received) -> str:
    """Return the state of the version afterwards."""
    if isinstance(received.detail, StagingFailed):
        return record_staging_failure(
            received.own.project,
            received.detail,
            causation_id=received.id,
            state=app().state,
            clock=app().clock,
            ids=app().ids,
        )
    return record_staging_evidence(
        received.own.project,
        received.detail,
        causation_id=received.id,
        state=app().state,
        objects=app().objects,
        clock=app().clock,
        ids=app().ids,
        artifacts_bucket=app().settings.need("artifacts_bucket"),
    )
