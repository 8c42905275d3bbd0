"""Doorway: record and judge a delivery of another table than the primary one."""

from typing import Any

from steward.bootstrap import app
from steward.contracts.incoming import Received
from steward.domain.workspace import scratch
from steward.entrypoint import on_event
from steward.service.data.intake import receive_delivery
from steward.service.data.judging import Bench


@on_event("Object Created")
def handler(received: Received) -> dict[str, Any]:
    """Return what came of the delivery."""
    settings = app().settings
    with scratch(settings.aws_lambda_function_memory_size) as limits:
        bench = Bench(
            state=app().state,
            objects=app().objects,
            clock=app().clock,
            ids=app().ids,
            limits=limits,
            data_bucket=settings.need("data_bucket"),
            artifacts_bucket=settings.need("artifacts_bucket"),
        )
        return receive_delivery(received, bench)
