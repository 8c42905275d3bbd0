"""Task: move the traffic of one step."""

from steward.bootstrap import app
from steward.contracts.steps.serving import ShiftTraffic, TrafficShift
from steward.entrypoint import step
from steward.service.serving.release_steps import shift_traffic


@step(ShiftTraffic)
def handler(command: ShiftTraffic) -> TrafficShift:
    """Return the route's version and how long to watch it."""
    return shift_traffic(command, state=app().state, clock=app().clock, ids=app().ids)
