"""Doorway: what each event tells of lineage, into the graph and as OpenLineage events."""

from steward.bootstrap import app
from steward.contracts.incoming import Received
from steward.entrypoint import on_event
from steward.service.governance.lineage import record_lineage
from steward.service.governance.lineage_facts import TELLING
from steward.service.governance.open_lineage import Writer


@on_event(*TELLING, "Object Created")
def handler(received: Received) -> dict[str, list[str]]:
    """Return the nodes that the event told of and the OpenLineage events that it made due."""
    facts = record_lineage(
        received,
        state=app().state,
        objects=app().objects,
        environment=app().settings.steward_environment,
    )
    writer = Writer(
        state=app().state,
        objects=app().objects,
        clock=app().clock,
        ids=app().ids,
        bucket=app().settings.need("artifacts_bucket"),
        stack=app().settings.steward_stack,
    )
    return {"nodes": facts.names(), "open_lineage": writer.write_due(received)}
