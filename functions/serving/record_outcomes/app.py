"""Function URL: outcomes of predictions, as a JSON list."""

from steward.bootstrap import app
from steward.entrypoint import Request, Response, on_request
from steward.service.serving.gateway import project_in_path
from steward.service.serving.outcomes import record_outcomes


@on_request
def handler(request: Request) -> Response:
    """Record ``POST /<project>`` and say which rows were refused or repeated."""
    if request.method != "POST":
        return Response(405, {"error": "MethodNotAllowed", "allowed": "POST"}, {"allow": "POST"})
    answer = record_outcomes(
        project_in_path(request.path),
        request.json(),
        caller=request.caller_arn,
        request_id=request.request_id,
        state=app().state,
        objects=app().objects,
        clock=app().clock,
        ids=app().ids,
        capture_bucket=app().settings.need("capture_bucket"),
    )
    return Response(200, answer)
