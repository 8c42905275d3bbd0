"""Function URL: aliases, tags, descriptions and archiving, by a verified caller."""

from steward.bootstrap import app
from steward.contracts.registry import parse_registry_request
from steward.domain.principals import identity_of
from steward.entrypoint import Request, Response, on_request
from steward.service.registry.changes import change_version


@on_request
def handler(request: Request) -> Response:
    """Do what the body's ``action`` says, as the caller whom IAM has verified."""
    if request.method != "POST":
        return Response(405, {"error": "MethodNotAllowed", "allowed": "POST"})
    changed = change_version(
        parse_registry_request(request.json()),
        actor=identity_of(request.caller_arn, app().settings.roles_of_persons),
        request_id=request.request_id,
        state=app().state,
        clock=app().clock,
        ids=app().ids,
    )
    return Response(200, changed)
