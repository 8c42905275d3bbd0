"""Function URL: a project's configuration and code; whoever IAM verified is their author."""

from steward.bootstrap import app
from steward.domain.errors import MalformedEventError
from steward.entrypoint import Request, Response, on_request
from steward.service.training.source import Caller, push_source, retire_features, show_project


@on_request
def handler(request: Request) -> Response:
    """``POST`` pushes, ``GET ?project=`` shows, ``DELETE ?...&group=`` retires features."""
    settings = app().settings
    if request.method == "GET":
        return Response(200, show_project(request.query, state=app().state))
    if request.method not in ("POST", "DELETE"):
        raise MalformedEventError(
            f"{request.method} is not possible here", field="method", allowed="GET, POST, DELETE"
        )
    caller = Caller(request.caller_arn, request.request_id, settings.roles_of_persons)
    if request.method == "DELETE":
        retired = retire_features(
            request.query, caller, state=app().state, clock=app().clock, ids=app().ids
        )
        return Response(200, retired)
    pushed = push_source(
        request.json(),
        caller,
        state=app().state,
        objects=app().objects,
        clock=app().clock,
        ids=app().ids,
        artifacts_bucket=settings.need("artifacts_bucket"),
        environment=settings.steward_environment,
    )
    return Response(200, pushed)
