"""Doorway: set an approval back that was made around Steward, and report it."""

from steward.bootstrap import app
from steward.contracts.incoming import Received
from steward.entrypoint import on_event
from steward.service.registry.package_status import reconcile_package


@on_event("SageMaker Model Package State Change")
def handler(received: Received) -> str:
    """Return what was found: foreign, in step, withdrawn or set back."""
    return reconcile_package(
        received.detail.model_package_arn,
        received.detail.model_package_group_name,
        received.detail.model_package_version,
        causation_id=received.id,
        environment=app().settings.steward_environment,
        state=app().state,
        registry=app().registry,
        clock=app().clock,
        ids=app().ids,
    )
