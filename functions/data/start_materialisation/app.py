"""Doorway: bring accepted deliveries into the versions of feature groups that are made of them."""

from typing import Any

from steward.bootstrap import app
from steward.contracts.incoming import Received
from steward.entrypoint import on_event
from steward.service.data.feature_materialisation import Starter, start_materialisation


@on_event("DatasetAccepted", "FeatureGroupVersioned")
def handler(received: Received) -> dict[str, Any]:
    """Return the executions that were started, and the work that was not to be done."""
    starter = Starter(
        state=app().state,
        workflows=app().workflows,
        clock=app().clock,
        machine=app().settings.need("materialisation_machine"),
    )
    return start_materialisation(received, starter)
