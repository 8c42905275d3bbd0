"""Gateway: answer a prediction request through the route of its project."""

import time
from functools import cache

from steward.bootstrap import app
from steward.entrypoint import Request, Response, on_request
from steward.service.serving.gateway import Gateway, project_in_path
from steward.service.serving.telemetry import Telemetry


@cache
def gateway() -> Gateway:
    """Return the gateway of this process, which keeps routes between requests."""
    return Gateway(
        state=app().state,
        endpoints=app().endpoints,
        features=app().feature_reader,
        assignments=lambda: app().assignments,
        mirror=app().mirror_queue,
        telemetry=Telemetry(app().metric_log),
        clock=app().clock,
        ids=app().ids,
        timer=time.monotonic,
    )


@on_request
def handler(request: Request) -> Response:
    """Answer ``POST /<project>``."""
    if request.method != "POST":
        return Response(405, {"error": "MethodNotAllowed", "allowed": "POST"}, {"allow": "POST"})
    prediction = gateway().answer(project_in_path(request.path), request.body)
    return Response(200, prediction.as_dict())
