"""Task: call the candidate until it is warm; nobody counts these calls."""

import time

from steward.bootstrap import app
from steward.contracts.steps.serving import WarmedEndpoint, WarmEndpoint
from steward.entrypoint import step
from steward.service.serving.warming import warm_endpoint


@step(WarmEndpoint)
def handler(command: WarmEndpoint) -> WarmedEndpoint:
    """Return how many calls it took and what the last one lasted."""
    return warm_endpoint(
        command,
        state=app().state,
        objects=app().objects,
        endpoints=app().endpoints,
        timer=time.perf_counter,
    )
