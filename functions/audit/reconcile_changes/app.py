"""Doorway of a schedule: calls in CloudTrail's history that no event brought."""

from datetime import timedelta

from steward.bootstrap import app
from steward.contracts.incoming import Received
from steward.entrypoint import on_event
from steward.service.audit.matching import Matcher, reconcile


@on_event("Scheduled Event")
def handler(_received: Received) -> dict[str, int]:
    """Return how many calls were found, by what became of them."""
    matcher = Matcher(
        ledger=app().ledger,
        state=app().state,
        clock=app().clock,
        ids=app().ids,
        place=app().settings.audited_place,
    )
    lookback = timedelta(minutes=app().settings.lookback_minutes)
    return reconcile(matcher, app().api_calls, lookback=lookback)
