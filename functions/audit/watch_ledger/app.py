"""Doorway of the ledger table's stream: what is written once and yet changes is told."""

from steward.bootstrap import app
from steward.entrypoint import LambdaEvent, on_batch
from steward.service.audit.watching import Watcher


@on_batch
def handler(records: list[LambdaEvent]) -> list[str]:
    """Return no record: what cannot be told now raises, and the batch comes again."""
    Watcher(state=app().state, clock=app().clock, ids=app().ids).watch(records)
    return []
