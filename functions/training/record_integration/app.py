"""Task and doorway: write down how an integration ended, also where its machine could not."""

from typing import Any

from steward.bootstrap import app
from steward.contracts.incoming import Received
from steward.contracts.steps.integration import RecordedIntegration, RecordIntegration
from steward.entrypoint import on_event, step, task_or_event
from steward.service.training.integration.recording import (
    conclude_integration,
    record_integration,
)


@step(RecordIntegration)
def task(command: RecordIntegration) -> RecordedIntegration:
    """Return the outcome, which is the machine's output."""
    return record_integration(command, state=app().state, clock=app().clock, ids=app().ids)


@on_event("Step Functions Execution Status Change")
def event(received: Received) -> dict[str, Any]:
    """Return what was recorded of an execution that ended."""
    return conclude_integration(
        received.detail, state=app().state, clock=app().clock, ids=app().ids
    )


handler = task_or_event(task, event, task_key="integration_id")
