"""Doorway of a schedule and of SageMaker: endpoints that routes name are as they were made."""

from steward.bootstrap import app
from steward.contracts.incoming import Received
from steward.entrypoint import on_event
from steward.service.serving.reconciling import Reconciler, reconcile_endpoints


@on_event("Scheduled Event", "SageMaker Endpoint State Change")
def handler(received: Received) -> dict[str, object]:
    """Return what was found and done: one project's endpoints, or those of all."""
    return reconcile_endpoints(
        received,
        Reconciler(
            state=app().state,
            environment=app().settings.steward_environment,
            hosting=app().hosting,
            workflows=app().workflows,
            clock=app().clock,
            ids=app().ids,
            machine=app().settings.need("rollback_machine"),
            causation_id=received.id,
        ),
    )
