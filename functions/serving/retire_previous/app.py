"""Sweep: previous versions whose retention is over are deleted."""

from steward.bootstrap import app
from steward.contracts.incoming import Received
from steward.entrypoint import on_event
from steward.service.serving.release_end import retire_previous


@on_event("Scheduled Event")
def handler(_: Received) -> dict[str, object]:
    """Return the endpoints that were deleted."""
    return retire_previous(state=app().state, endpoints=app().endpoints, clock=app().clock)
