"""Recorder: say on the commit itself what came of it."""

from typing import Any

from steward.bootstrap import app
from steward.contracts.incoming import Received
from steward.entrypoint import on_event
from steward.service.training.integration.reporting import report_commit


@on_event("CommitIntegrated", "IntegrationFailed", "IntegrationSuperseded")
def handler(received: Received) -> dict[str, Any]:
    """Return where it was said."""
    return report_commit(
        received,
        state=app().state,
        repositories=app().repositories,
        secrets=lambda: app().secrets,
        sender=app().webhook_sender,
        environment=app().settings.steward_environment,
    )
