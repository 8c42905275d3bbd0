"""Consumer: each event becomes a queued message for each subscription that wants it."""

from steward.bootstrap import app
from steward.contracts.incoming import Received
from steward.domain.webhooks import KINDS
from steward.entrypoint import on_event
from steward.service.registry.webhooks import queue_webhooks


@on_event(*KINDS)
def handler(received: Received) -> dict[str, int]:
    """Return how many messages were queued."""
    return queue_webhooks(received, state=app().state, queue=app().webhook_queue)
