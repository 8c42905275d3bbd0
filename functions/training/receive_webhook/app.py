"""Function URL without IAM: what a project's forge signed with the project's secret."""

from steward.bootstrap import app
from steward.entrypoint import Request, Response, on_public_request
from steward.service.training.integration.forges import Hook, receive_webhook


@on_public_request
def handler(request: Request) -> Response:
    """``POST /<project>``: a push is taken once, a ping answered."""
    hook = Hook(request.method, request.path, request.headers, request.body, request.request_id)
    answered = receive_webhook(
        hook, state=app().state, secrets=app().secrets, clock=app().clock, ids=app().ids
    )
    return Response(answered.status, answered.body)
