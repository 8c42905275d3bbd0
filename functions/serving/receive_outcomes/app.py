"""Doorway: outcomes as files, or one by one as events."""

from typing import Any

from steward.bootstrap import app
from steward.contracts.incoming import Received
from steward.entrypoint import on_event
from steward.service.serving.outcome_files import Intake, receive_outcomes


@on_event("Object Created", "OutcomeObserved")
def handler(received: Received) -> dict[str, Any]:
    """Return what came of the outcomes."""
    intake = Intake(
        state=app().state,
        objects=app().objects,
        clock=app().clock,
        ids=app().ids,
        data_bucket=app().settings.need("data_bucket"),
        capture_bucket=app().settings.need("capture_bucket"),
    )
    return receive_outcomes(received, intake)
