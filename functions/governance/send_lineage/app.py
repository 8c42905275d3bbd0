"""Doorway: written OpenLineage events go on to the backend that the stack names."""

from steward.bootstrap import app
from steward.contracts.incoming import Received
from steward.entrypoint import on_event
from steward.service.governance.lineage_export import send_lineage


@on_event("LineageEventWritten")
def handler(received: Received) -> str:
    """Return the event's URI."""
    return send_lineage(received, objects=app().objects, backend=app().lineage_backend)
