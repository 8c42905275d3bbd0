"""Doorway of the ledger's queue: its one writer."""

from steward.bootstrap import app
from steward.entrypoint import LambdaEvent, on_batch
from steward.service.audit.appending import Appender, append_messages


@on_batch
def handler(messages: list[LambdaEvent]) -> list[str]:
    """Return the ids of the messages to deliver again."""
    return append_messages(
        messages,
        Appender(
            ledger=app().ledger,
            objects=app().objects,
            clock=app().clock,
            bucket=app().settings.need("ledger_bucket"),
        ),
    )
