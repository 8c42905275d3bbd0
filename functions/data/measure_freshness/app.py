"""Doorway of a schedule: how old the newest rows of feature groups are."""

from steward.bootstrap import app
from steward.contracts.incoming import Received
from steward.entrypoint import on_event
from steward.service.data.feature_freshness import measure_freshness


@on_event("Scheduled Event")
def handler(received: Received) -> dict[str, float]:
    """Return the age in seconds by version; the metrics are lines of the log."""
    del received
    return measure_freshness(state=app().state, clock=app().clock, metrics=app().metric_log)
