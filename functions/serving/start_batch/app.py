"""Doorway: a schedule, an accepted delivery or a person has files scored, each input once."""

from typing import Any

from steward.bootstrap import app
from steward.contracts.incoming import Received
from steward.contracts.steps.batch import BatchConclusion, ConcludeBatch
from steward.entrypoint import on_event
from steward.service.serving.batch.recording import conclude_batch
from steward.service.serving.batch.starting import Ports, asked_by, start_batch


@on_event("BatchScoringRequested", "DatasetAccepted", "Batch Scoring Due")
def handler(received: Received) -> dict[str, Any]:
    """Return what came of it."""
    settings = app().settings
    ports = Ports(
        app().state,
        app().objects,
        app().workflows,
        app().clock,
        app().ids,
        machine=settings.need("batch_machine"),
        data_bucket=settings.need("data_bucket"),
        conclude=conclude,
    )
    return start_batch(asked_by(received), ports)


def conclude(command: ConcludeBatch) -> BatchConclusion:
    """Record the end of a batch whose status event was lost."""
    return conclude_batch(
        command,
        state=app().state,
        objects=app().objects,
        hosting=app().hosting,
        clock=app().clock,
        ids=app().ids,
        environment=app().settings.steward_environment,
        data_bucket=app().settings.need("data_bucket"),
    )
