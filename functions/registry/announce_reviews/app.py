"""Doorway of a schedule: tell of every review that is due."""

from steward.bootstrap import app
from steward.contracts.incoming import Received
from steward.entrypoint import on_event
from steward.service.registry.reviews import announce_reviews


@on_event("Scheduled Event")
def handler(received: Received) -> dict[str, int]:
    """Return how many reviews were announced."""
    return announce_reviews(
        causation_id=received.id, state=app().state, clock=app().clock, ids=app().ids
    )
