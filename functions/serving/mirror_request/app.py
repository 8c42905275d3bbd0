"""Queue consumer: the shadow version answers copies of requests, unseen."""

import time
from functools import cache

from steward.bootstrap import app
from steward.domain.errors import StewardError
from steward.entrypoint import LambdaEvent, logger, on_batch
from steward.service.serving.shadow import ShadowAnswers
from steward.service.serving.telemetry import Telemetry


@cache
def answers() -> ShadowAnswers:
    """Return the answers of this process, which remember the entities that were seen."""
    return ShadowAnswers(
        endpoints=app().endpoints,
        features=app().feature_reader,
        telemetry=Telemetry(app().metric_log),
        clock=app().clock,
        timer=time.monotonic,
    )


@on_batch
def handler(records: list[LambdaEvent]) -> list[str]:
    """Return the ids of the messages to deliver again, and in the end to put aside."""
    failed = []
    for record in records:
        try:
            answers().answer(record["body"])
        except StewardError as error:
            logger().error("copy not answered", extra={"reason": str(error)})
            failed.append(str(record["messageId"]))
    return failed
