"""Doorway of the queue of events: what they tell goes into the ledger's queue, by project."""

from steward.bootstrap import app
from steward.entrypoint import LambdaEvent, on_batch, parse_event
from steward.service.audit.queueing import queue_messages


@on_batch
def handler(messages: list[LambdaEvent]) -> list[str]:
    """Return the ids of the messages to deliver again."""
    return queue_messages(messages, parse=parse_event, queue=app().fact_queue)
