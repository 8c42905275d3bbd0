"""Doorway of a schedule and of people: endpoints that cost and do nothing."""

from steward.bootstrap import app
from steward.contracts.incoming import Received
from steward.entrypoint import on_event
from steward.service.serving.reaping import Reaper, reap_endpoints


@on_event("Scheduled Event", "ReapingRequested")
def handler(received: Received) -> dict[str, object]:
    """Return what was found and done: one project's endpoints, or those of all."""
    settings = app().settings
    return reap_endpoints(
        received,
        Reaper(
            state=app().state,
            environment=app().settings.steward_environment,
            hosting=app().hosting,
            endpoints=app().endpoints,
            metrics=app().endpoint_metrics,
            workflows=app().workflows,
            clock=app().clock,
            ids=app().ids,
            machine=settings.need("release_machine"),
            role_arn=settings.need("endpoint_role_arn"),
            causation_id=received.id,
            actor=received.meta.actor if received.meta else "steward",
        ),
    )
