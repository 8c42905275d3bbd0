"""Queue consumer: messages are signed and sent to other systems."""

from functools import cache

from steward.bootstrap import app
from steward.domain.errors import StewardError
from steward.entrypoint import LambdaEvent, logger, on_batch
from steward.service.registry.webhooks import Poster, WebhookPorts


@cache
def poster() -> Poster:
    """Return the sender of this process."""
    settings = app().settings
    local = settings.steward_environment == "local"
    ports = WebhookPorts(app().state, app().clock, settings.steward_stack, local)
    return Poster(app().webhook_sender, app().secrets, app().webhook_queue, ports)


@on_batch
def handler(records: list[LambdaEvent]) -> list[str]:
    """Return the ids of the messages to send again, and in the end to put aside."""
    failed = []
    for record in records:
        try:
            done = poster().post(record)
        except (StewardError, ValueError, KeyError) as error:
            logger().error("message not sent", extra={"reason": str(error)})
            done = False
        if not done:
            failed.append(str(record["messageId"]))
    return failed
