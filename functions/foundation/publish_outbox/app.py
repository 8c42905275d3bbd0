"""Doorway: put what transactions left in the outbox on the bus."""

from steward.bootstrap import app
from steward.entrypoint import LambdaEvent, on_batch
from steward.service.foundation import outbox


@on_batch
def handler(records: list[LambdaEvent]) -> list[str]:
    """Return the sequence numbers of the records to deliver again."""
    return outbox.publish_outbox(records, bus=app().bus, failures=app().failure_queue)
