"""Doorway: what each event tells of lineage, into the graph."""

from steward.bootstrap import app
from steward.contracts.incoming import Received
from steward.entrypoint import on_event
from steward.service.governance.lineage import record_lineage
from steward.service.governance.lineage_facts import TELLING


@on_event(*TELLING, "Object Created")
def handler(received: Received) -> list[str]:
    """Return the nodes that the event told of."""
    return record_lineage(received, state=app().state, objects=app().objects).names()
