"""Doorway: mail to people by role. Replayed events are history and send nothing."""

from steward.bootstrap import app
from steward.contracts.incoming import Received
from steward.entrypoint import on_event
from steward.service.monitoring.notifications import NOTIFIES_OF, notify_people


@on_event(*NOTIFIES_OF, once=True)
def handler(received: Received) -> list[str]:
    """Return the roles that were written to."""
    return notify_people(
        received,
        state=app().state,
        mail=app().mail,
        environment=app().settings.steward_environment,
        region=app().settings.aws_region,
    )
