"""Decide what follows an alarm or a schedule: a run, a rollback, or a brake that says why not."""

from typing import Any

from steward.bootstrap import app
from steward.contracts.incoming import Received
from steward.entrypoint import on_event
from steward.service.monitoring.deciding import decide_retraining


@on_event(
    "DriftDetected", "PerformanceDegraded", "BiasDrifted", "AlarmCleared", "DatasetAccepted",
    "DeliveryReceived", "TrainingStarted", "TrainingQueued", "TrainingSuppressed",
    "TrainingFailed", "CandidateHeld", "StagingFailed", "VersionRejected", "ApprovalExpired",
    "ReleaseCompleted", "ReleaseNotPromoted", "ReleaseRolledBack", "ReleaseFailed",
    "Scheduled Event",
)  # fmt: skip
def handler(received: Received) -> dict[str, Any]:
    """Return what was said, by project."""
    return decide_retraining(received, state=app().state, clock=app().clock, ids=app().ids)
