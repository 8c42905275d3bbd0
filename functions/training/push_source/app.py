"""Function URL: a project's configuration and code; whoever IAM verified is their author."""

import secrets

from steward.bootstrap import app
from steward.domain.errors import MalformedEventError
from steward.domain.webhooks import SECRET_BYTES
from steward.entrypoint import Request, Response, on_request
from steward.service.training.integration.forges import (
    ForgePorts,
    connect_forge,
    disconnect_forge,
)
from steward.service.training.source import Caller, push_source, retire_features, show_project


def _forge_ports() -> ForgePorts:
    settings = app().settings
    local = settings.steward_environment == "local"
    return ForgePorts(
        app().state,
        app().secrets,
        app().clock,
        app().ids,
        settings.steward_stack,
        settings.hosts_of_sources,
        local,
    )


@on_request
def handler(request: Request) -> Response:
    """``POST`` pushes, ``GET`` shows, ``PUT`` connects a forge, ``DELETE`` ends one or features."""
    settings = app().settings
    caller = Caller(request.caller_arn, request.request_id, settings.roles_of_persons)
    match request.method:
        case "GET":
            return Response(200, show_project(request.query, state=app().state))
        case "PUT":
            random = secrets.token_bytes(SECRET_BYTES)
            return Response(200, connect_forge(request.json(), caller, random, _forge_ports()))
        case "DELETE" if "forge" in request.query:
            return Response(200, disconnect_forge(request.query, _forge_ports()))
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
