"""Doorway: every event that tells a decision or a change goes into the ledger's queue."""

from steward.bootstrap import app
from steward.contracts.incoming import Received
from steward.entrypoint import on_event
from steward.service.audit.queueing import RECORDED, queue_fact


@on_event(*RECORDED)
def handler(received: Received) -> dict[str, str]:
    """Return which fact was queued."""
    return queue_fact(received, queue=app().fact_queue)
