"""Function URL: a project's configuration and code; whoever IAM verified is their author."""

import secrets

from steward.bootstrap import app
from steward.domain.errors import MalformedEventError
from steward.entrypoint import Request, Response, on_request
from steward.service.training.source import Caller, push_source, retire_features, show_project


def _of_commits(request: Request, caller: Caller) -> Response:
    """Ask for a commit, or connect or disconnect the forge that commits come from."""
    from steward.domain.webhooks import SECRET_BYTES
    from steward.service.training.integration import forges, requesting

    settings = app().settings
    if request.method == "PUT" and "commit_id" in (request.json() or {}):
        asked = requesting.request_commit(
            request.json(),
            caller,
            state=app().state,
            clock=app().clock,
            ids=app().ids,
            environment=settings.steward_environment,
        )
        return Response(202, asked)
    ports = forges.ForgePorts(
        app().state,
        app().secrets,
        app().clock,
        app().ids,
        settings.steward_stack,
        settings.hosts_of_sources,
        settings.steward_environment == "local",
    )
    if request.method == "DELETE":
        return Response(200, forges.disconnect_forge(request.query, ports))
    random = secrets.token_bytes(SECRET_BYTES)
    return Response(200, forges.connect_forge(request.json(), caller, random, ports))


@on_request
def handler(request: Request) -> Response:
    """``POST`` pushes, ``GET`` shows, ``PUT`` connects a forge or asks for a commit."""
    settings = app().settings
    caller = Caller(request.caller_arn, request.request_id, settings.roles_of_persons)
    match request.method:
        case "GET":
            return Response(200, show_project(request.query, state=app().state))
        case "PUT":
            return _of_commits(request, caller)
        case "DELETE" if "forge" in request.query:
            return _of_commits(request, caller)
        case "DELETE":
            retired = retire_features(
                request.query, caller, state=app().state, clock=app().clock, ids=app().ids
            )
            return Response(200, retired)
        case "POST":
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
    raise MalformedEventError(
        f"{request.method} is not possible here", field="method", allowed="GET, POST, PUT, DELETE"
    )
