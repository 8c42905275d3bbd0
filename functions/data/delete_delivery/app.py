"""Function URL: what is kept of a delivery, and its deletion on purpose."""

from steward.bootstrap import app
from steward.contracts.approval import parse_request
from steward.contracts.deletion import DeleteDelivery, ShowDelivery
from steward.domain.errors import MalformedEventError
from steward.entrypoint import Request, Response, on_request
from steward.service.data.deletion import Erasure, delete_delivery, show_delivery


@on_request
def handler(request: Request) -> Response:
    """``GET ?project=&delivery=`` shows what would go; ``POST`` deletes it."""
    settings = app().settings
    erasure = Erasure(
        state=app().state,
        objects=app().objects,
        clock=app().clock,
        ids=app().ids,
        data_bucket=settings.need("data_bucket"),
        artifacts_bucket=settings.need("artifacts_bucket"),
    )
    if request.method == "GET":
        return Response(200, show_delivery(parse_request(ShowDelivery, request.query), erasure))
    if request.method != "POST":
        raise MalformedEventError(
            f"{request.method} is not possible here", field="method", allowed="GET, POST"
        )
    command = parse_request(DeleteDelivery, request.json())
    deleted = delete_delivery(command, request.caller_arn, request.request_id, erasure)
    return Response(200, deleted)
