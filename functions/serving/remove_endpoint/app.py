"""Task: delete an endpoint unless a route needs it."""

from steward.bootstrap import app
from steward.contracts.steps.serving import RemovedEndpoint, RemoveEndpoint
from steward.entrypoint import step
from steward.service.serving.rollback import remove_endpoint


@step(RemoveEndpoint)
def handler(command: RemoveEndpoint) -> RemovedEndpoint:
    """Return whether it is gone."""
    return remove_endpoint(command, state=app().state, endpoints=app().endpoints)
