"""Doorway of a schedule: look at what the versions that serve were asked."""

from typing import Any

from steward.bootstrap import app
from steward.contracts.incoming import Received
from steward.entrypoint import on_event
from steward.service.monitoring.watching import start_watch


@on_event("Scheduled Event")
def handler(received: Received) -> dict[str, Any]:
    """Return the execution that was started, or why none was."""
    return start_watch(
        received,
        state=app().state,
        workflows=app().workflows,
        clock=app().clock,
        machine=app().settings.need("watch_machine"),
    )
