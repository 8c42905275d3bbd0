"""Let traffic follow the route: as a task one look; at the end of a release until it does."""

import time
from typing import Any

from steward.bootstrap import app
from steward.contracts.incoming import Received
from steward.contracts.steps.serving import ApplyRoute, RouteApplied
from steward.entrypoint import on_event, step, task_or_event
from steward.service.serving.applying import apply_route, settle, sweep


@step(ApplyRoute)
def look(command: ApplyRoute) -> RouteApplied:
    """Return whether traffic flows as the route says."""
    return apply_route(command, state=app().state, router=app().traffic_router, clock=app().clock)


@on_event("ReleaseCompleted", "ReleaseRolledBack", "ReleaseFailed", "ReleaseNotPromoted",
          "Scheduled Event")  # fmt: skip
def notice(received: Received) -> Any:
    """Settle the project of a release that ended, or every project."""
    ports: dict[str, Any] = {
        "state": app().state, "router": app().traffic_router, "clock": app().clock,
        "sleep": time.sleep,
    }  # fmt: skip
    if received.meta is None:
        return sweep(**ports)
    return settle(received.meta.project, **ports)


handler = task_or_event(look, notice)
