"""Doorway: bring decisions into SageMaker Model Registry; nowhere else is Approved set."""

from steward.bootstrap import app
from steward.contracts.incoming import Received, Scheduled
from steward.entrypoint import on_event
from steward.service.registry.package_status import apply_decision
from steward.service.registry.sweep import apply_missing_decisions


@on_event("VersionApproved", "VersionRejected", "Scheduled Event")
def handler(received: Received) -> str | dict[str, int]:
    """Return the package's status; on schedule, how many lost decisions were applied."""
    if isinstance(received.detail, Scheduled):
        return apply_missing_decisions(
            environment=app().settings.steward_environment,
            state=app().state,
            registry=app().registry,
            objects=app().objects,
        ).as_dict()
    return apply_decision(
        received.own.project,
        received.detail.version,
        state=app().state,
        registry=app().registry,
        objects=app().objects,
    )
