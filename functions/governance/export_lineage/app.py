"""Doorway: what each event tells of lineage, into SageMaker's own lineage."""

from steward.bootstrap import app
from steward.contracts.incoming import Received
from steward.entrypoint import on_event
from steward.service.governance.lineage_export import export_lineage
from steward.service.governance.lineage_facts import TELLING


@on_event(*TELLING)
def handler(received: Received) -> list[str]:
    """Return the ARNs of the entities that the event is about."""
    return export_lineage(
        received,
        tracking=app().lineage_tracking,
        stack=app().settings.steward_stack,
        environment=app().settings.steward_environment,
    )
