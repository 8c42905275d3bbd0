"""Function URL: what a project has running, and its removal."""

from steward.bootstrap import app
from steward.contracts.approval import parse_request
from steward.contracts.removal import RemoveProject
from steward.domain.errors import MalformedEventError
from steward.domain.principals import identity_of
from steward.entrypoint import Request, Response, on_request
from steward.service.serving.removal import Removal, remove_project, show_removal


@on_request
def handler(request: Request) -> Response:
    """``GET ?project=`` shows what would go; ``POST`` deletes it."""
    settings = app().settings
    removal = Removal(
        state=app().state,
        resources=app().project_resources,
        workflows=app().workflows,
        clock=app().clock,
        ids=app().ids,
        stack=settings.steward_stack,
        environment=settings.steward_environment,
    )
    if request.method == "GET":
        project = parse_request(RemoveProject, request.query).project
        return Response(200, show_removal(project, removal))
    if request.method != "POST":
        raise MalformedEventError(
            f"{request.method} is not possible here", field="method", allowed="GET, POST"
        )
    project = parse_request(RemoveProject, request.json()).project
    actor = identity_of(request.caller_arn, settings.roles_of_persons)
    return Response(200, remove_project(project, actor, request.request_id, removal))
