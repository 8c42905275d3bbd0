"""Doorway: one row of a feature group's source, streamed by an event."""

from typing import Any

from steward.bootstrap import app
from steward.contracts.incoming import Received
from steward.domain.workspace import scratch
from steward.entrypoint import on_event
from steward.service.data.feature_chunks import Workbench
from steward.service.data.feature_ingest import ingest_record


@on_event("FeatureRecordReceived")
def handler(received: Received) -> dict[str, Any]:
    """Return what came of the row in each version of its group."""
    settings = app().settings
    with scratch(settings.aws_lambda_function_memory_size) as limits:
        bench = Workbench(
            state=app().state,
            objects=app().objects,
            records=app().feature_records,
            clock=app().clock,
            ids=app().ids,
            limits=limits,
            data_bucket=settings.need("data_bucket"),
            seconds_left=lambda: settings.task_seconds,
            metrics=app().metric_log,
        )
        return ingest_record(received, bench)
