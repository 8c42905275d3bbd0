"""Function URL: files from elsewhere become a version, by a verified caller."""

from steward.bootstrap import app
from steward.contracts.approval import parse_request
from steward.contracts.registry import ImportVersion
from steward.entrypoint import Request, Response, on_request
from steward.service.registry.imports import ImportPorts, import_version


@on_request
def handler(request: Request) -> Response:
    """Register what the body names; the caller is its author."""
    if request.method != "POST":
        return Response(405, {"error": "MethodNotAllowed", "allowed": "POST"})
    registered = import_version(
        parse_request(ImportVersion, request.json()),
        caller_arn=request.caller_arn,
        person_roles=app().settings.roles_of_persons,
        ports=ImportPorts(
            state=app().state,
            objects=app().objects,
            registry=app().registry,
            job_image=app().job_image,
            clock=app().clock,
            ids=app().ids,
            environment=app().settings.steward_environment,
            data_bucket=app().settings.need("data_bucket"),
            artifacts_bucket=app().settings.need("artifacts_bucket"),
        ),
    )
    return Response(200, registered.model_dump())
