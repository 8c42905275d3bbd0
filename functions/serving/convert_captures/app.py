"""Doorway: SageMaker's data capture becomes exposures."""

from typing import Any

from steward.bootstrap import app
from steward.contracts.incoming import Received
from steward.entrypoint import on_event
from steward.service.serving.converting import Conversion, convert_captures


@on_event("Object Created")
def handler(received: Received) -> dict[str, Any]:
    """Return what came of the captured requests."""
    conversion = Conversion(
        state=app().state,
        environment=app().settings.steward_environment,
        objects=app().objects,
        data_bucket=app().settings.need("data_bucket"),
        capture_bucket=app().settings.need("capture_bucket"),
    )
    return convert_captures(received, conversion)
