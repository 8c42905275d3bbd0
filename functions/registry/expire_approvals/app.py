"""Doorway of a schedule: expire requests past their time, set back approvals around Steward."""

from steward.bootstrap import app
from steward.contracts.incoming import Received
from steward.entrypoint import on_event
from steward.service.registry.sweep import sweep_approvals


@on_event("Scheduled Event")
def handler(received: Received) -> dict[str, int]:
    """Return how many versions were expired and set back."""
    return sweep_approvals(
        causation_id=received.id,
        environment=app().settings.steward_environment,
        state=app().state,
        registry=app().registry,
        clock=app().clock,
        ids=app().ids,
    ).as_dict()
