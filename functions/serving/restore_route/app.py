"""Task: take all traffic from a version by one conditional write."""

from steward.bootstrap import app
from steward.contracts.steps.serving import RestoredRoute, RestoreRoute
from steward.entrypoint import step
from steward.service.serving.rollback import restore_route


@step(RestoreRoute)
def handler(command: RestoreRoute) -> RestoredRoute:
    """Return what serves now."""
    return restore_route(
        command,
        state=app().state,
        environment=app().settings.steward_environment,
        router=app().traffic_router,
        clock=app().clock,
        ids=app().ids,
    )
