"""Function URL: what is to be decided on a version, and a person's decision."""

from steward.bootstrap import app
from steward.contracts.approval import DecideVersion, ShowVersion, parse_request
from steward.entrypoint import Request, Response, on_request
from steward.service.registry.decisions import decide_version, show_version


@on_request
def handler(request: Request) -> Response:
    """GET shows the version with the digest that an approval names; POST decides."""
    if request.method == "GET":
        query = parse_request(ShowVersion, request.query)
        return Response(200, show_version(query, state=app().state))
    if request.method != "POST":
        return Response(405, {"error": "MethodNotAllowed", "allowed": "GET, POST"})
    decided = decide_version(
        parse_request(DecideVersion, request.json()),
        caller_arn=request.caller_arn,
        request_id=request.request_id,
        person_roles=app().settings.roles_of_persons,
        state=app().state,
        objects=app().objects,
        clock=app().clock,
        ids=app().ids,
    )
    return Response(200, decided)
