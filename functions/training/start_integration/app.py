"""Doorway: begin or suppress the integration of a commit that arrived."""

from typing import Any

from steward.bootstrap import app
from steward.contracts.incoming import Received
from steward.entrypoint import on_event
from steward.service.training.integration.starting import (
    Ignored,
    Ports,
    commit_of,
    start_integration,
)


@on_event("CodeCommit Repository State Change", "CommitReceived")
def handler(received: Received) -> dict[str, Any]:
    """Return what came of the commit."""
    settings = app().settings
    commit = commit_of(
        received,
        environment=settings.steward_environment,
        person_roles=settings.roles_of_persons,
    )
    if isinstance(commit, Ignored):
        return {"outcome": "ignored", "reason": commit.reason}
    machine = settings.need("integration_machine")
    ports = Ports(app().state, app().workflows, app().clock, app().ids, machine)
    return start_integration(commit, ports)
