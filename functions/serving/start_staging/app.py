"""Doorway: a registered version goes to staging, once."""

from steward.bootstrap import app
from steward.contracts.incoming import Received
from steward.entrypoint import on_event
from steward.service.serving.staging import start_staging


@on_event("VersionRegistered")
def handler(received: Received) -> dict[str, object]:
    """Return the execution that was started, or why none was."""
    return start_staging(
        received,
        state=app().state,
        workflows=app().workflows,
        clock=app().clock,
        machine=app().settings.need("staging_machine"),
    )
