"""Doorway: an alarm or a person takes a release back."""

from steward.bootstrap import app
from steward.contracts.incoming import Received
from steward.entrypoint import on_event
from steward.service.serving.rollback import start_rollback


@on_event("CloudWatch Alarm State Change", "RollbackRequested")
def handler(received: Received) -> dict[str, object]:
    """Return the execution that was started, or why none was."""
    return start_rollback(
        received,
        state=app().state,
        workflows=app().workflows,
        machine=app().settings.need("rollback_machine"),
        environment=app().settings.steward_environment,
    )
