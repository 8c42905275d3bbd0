"""Function URL: subscribe other systems to events, by a verified caller."""

import secrets

from steward.bootstrap import app
from steward.contracts.registry import AddWebhook, RemoveWebhook, parse_webhook_request
from steward.domain.principals import identity_of
from steward.domain.webhooks import SECRET_BYTES
from steward.entrypoint import Request, Response, on_request
from steward.service.registry.webhooks import (
    WebhookPorts,
    add_webhook,
    remove_webhook,
    send_test,
)


@on_request
def handler(request: Request) -> Response:
    """Add, remove or test a subscription; a secret is in the answer to ``add`` alone."""
    if request.method != "POST":
        return Response(405, {"error": "MethodNotAllowed", "allowed": "POST"})
    asked = parse_webhook_request(request.json())
    actor = identity_of(request.caller_arn, app().settings.roles_of_persons)
    settings = app().settings
    local = settings.steward_environment == "local"
    ports = WebhookPorts(app().state, app().clock, settings.steward_stack, local)
    if isinstance(asked, AddWebhook):
        random = secrets.token_bytes(SECRET_BYTES)
        added = add_webhook(
            asked, actor=actor, random=random, ids=app().ids, secrets=app().secrets, ports=ports
        )
        return Response(201, added)
    if isinstance(asked, RemoveWebhook):
        return Response(200, remove_webhook(asked, secrets=app().secrets, ports=ports))
    queue = app().webhook_queue
    return Response(202, send_test(asked, actor=actor, ids=app().ids, queue=queue, ports=ports))
