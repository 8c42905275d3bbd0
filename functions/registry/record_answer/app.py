"""Promotions bus: what the next environment answered to an offer is kept, and told here."""

from steward.bootstrap import app
from steward.contracts.incoming import Received
from steward.domain.offers import neighbours
from steward.entrypoint import on_event
from steward.service.registry.offering import record_answer


@on_event("OfferAnswered")
def handler(received: Received) -> object:
    """Record the answer once."""
    return record_answer(
        received,
        goals=neighbours(app().settings.promote_to),
        state=app().state,
        clock=app().clock,
        ids=app().ids,
    )
