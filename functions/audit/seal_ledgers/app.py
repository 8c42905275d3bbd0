"""Doorway of a schedule and of people: heads over what came since the last ones, signed."""

from steward.bootstrap import app
from steward.contracts.incoming import Received
from steward.entrypoint import on_event
from steward.service.audit.sealing import Sealer


@on_event("Scheduled Event")
def handler(_received: Received) -> dict[str, object]:
    """Return what was sealed and what could not be."""
    return Sealer(
        ledger=app().ledger,
        objects=app().objects,
        key=app().sealing_key,
        state=app().state,
        clock=app().clock,
        ids=app().ids,
        bucket=app().settings.need("ledger_bucket"),
    ).seal_all()
