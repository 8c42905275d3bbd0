"""Task: bring the next chunks of a delivery into a version of a feature group."""

import time

from steward.bootstrap import app
from steward.contracts.steps.data import MaterialiseChunk, MaterialisedChunk
from steward.domain.workspace import scratch
from steward.entrypoint import step
from steward.service.data.feature_chunks import Workbench
from steward.service.data.feature_revival import materialise


@step(MaterialiseChunk)
def handler(command: MaterialiseChunk) -> MaterialisedChunk:
    """Return how far it is; the machine calls again until it is done."""
    settings = app().settings
    until = time.monotonic() + settings.task_seconds
    with scratch(settings.aws_lambda_function_memory_size) as limits:
        bench = Workbench(
            state=app().state,
            objects=app().objects,
            records=app().feature_records,
            clock=app().clock,
            ids=app().ids,
            limits=limits,
            data_bucket=settings.need("data_bucket"),
            seconds_left=lambda: until - time.monotonic(),
            metrics=app().metric_log,
        )
        return materialise(command, bench)
