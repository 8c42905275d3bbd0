"""Doorway: an experiment's schedule fires, and one tick of it is played at a time."""

from steward.bootstrap import app
from steward.contracts.incoming import Received
from steward.entrypoint import on_event
from steward.service.serving.ticking import start_tick


@on_event("Scheduled Event")
def handler(received: Received) -> dict[str, object]:
    """Return the execution that was started, or why none was."""
    return start_tick(
        received,
        state=app().state,
        workflows=app().workflows,
        schedules=app().schedules,
        clock=app().clock,
        machine=app().settings.need("tick_machine"),
    )
