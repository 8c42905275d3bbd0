"""Function URL: a person records that a model was reviewed."""

from steward.bootstrap import app
from steward.contracts.approval import RecordReview, parse_request
from steward.entrypoint import Request, Response, on_request
from steward.service.registry.reviews import record_review


@on_request
def handler(request: Request) -> Response:
    """POST records; who reviewed is the verified caller."""
    if request.method != "POST":
        return Response(405, {"error": "MethodNotAllowed", "allowed": "POST"})
    recorded = record_review(
        parse_request(RecordReview, request.json()),
        caller_arn=request.caller_arn,
        request_id=request.request_id,
        person_roles=app().settings.roles_of_persons,
        state=app().state,
        clock=app().clock,
        ids=app().ids,
    )
    return Response(200, recorded)
