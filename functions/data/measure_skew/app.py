"""Doorway of a schedule: compare what models were served with what training would have seen."""

from functools import cache

from steward.bootstrap import app
from steward.contracts.incoming import Received
from steward.domain.online_engine import OnlineEngine
from steward.domain.workspace import scratch
from steward.entrypoint import on_event
from steward.service.data.skew import SkewMeasurement

engine = cache(OnlineEngine)


@on_event("Scheduled Event")
def handler(_received: Received) -> dict[str, object]:
    """Return how many reads were compared and how many values differ."""
    settings = app().settings
    with scratch(settings.aws_lambda_function_memory_size) as limits:
        report = SkewMeasurement(
            state=app().state,
            objects=app().objects,
            clock=app().clock,
            engine=engine(),
            limits=limits,
            environment=settings.steward_environment,
            data_bucket=settings.need("data_bucket"),
            capture_bucket=settings.need("capture_bucket"),
            artifacts_bucket=settings.need("artifacts_bucket"),
            metrics=app().metric_log,
        ).run()
    return report.as_dict()
