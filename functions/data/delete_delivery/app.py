"""Function URL: what is kept of a delivery or of a batch's input, and its deletion on purpose."""

from steward.bootstrap import app
from steward.contracts.approval import parse_request
from steward.contracts.deletion import (
    DeleteBatchInput,
    DeleteDelivery,
    ShowBatchInput,
    ShowDelivery,
)
from steward.domain.errors import MalformedEventError
from steward.entrypoint import Request, Response, on_request
from steward.service.data.batch_deletion import delete_batch_input, show_batch_input
from steward.service.data.deletion import delete_delivery, show_delivery
from steward.service.data.erasing import Erasure


@on_request
def handler(request: Request) -> Response:
    """``GET ?project=&delivery=`` or ``&batch=`` shows what would go; ``POST`` deletes it."""
    settings = app().settings
    erasure = Erasure(
        state=app().state,
        objects=app().objects,
        workflows=app().workflows,
        hosting=app().hosting,
        clock=app().clock,
        ids=app().ids,
        data_bucket=settings.need("data_bucket"),
        artifacts_bucket=settings.need("artifacts_bucket"),
        environment=settings.steward_environment,
    )
    if request.method == "GET" and "batch" in request.query:
        return Response(
            200, show_batch_input(parse_request(ShowBatchInput, request.query), erasure)
        )
    if request.method == "GET":
        return Response(200, show_delivery(parse_request(ShowDelivery, request.query), erasure))
    if request.method != "POST":
        raise MalformedEventError(
            f"{request.method} is not possible here", field="method", allowed="GET, POST"
        )
    asked = request.json()
    if isinstance(asked, dict) and "batch_id" in asked:
        order = parse_request(DeleteBatchInput, asked)
        gone = delete_batch_input(order, request.caller_arn, request.request_id, erasure)
        return Response(200, gone)
    command = parse_request(DeleteDelivery, asked)
    deleted = delete_delivery(command, request.caller_arn, request.request_id, erasure)
    return Response(200, deleted)
