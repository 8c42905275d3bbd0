"""Record how a batch ended: as a task of its machine, or when that ended without."""

from typing import Any

from steward.bootstrap import app
from steward.contracts.incoming import Received
from steward.contracts.steps.batch import BatchConclusion, ConcludeBatch
from steward.entrypoint import on_event, step, task_or_event
from steward.service.serving.batch.recording import batch_that_ended, conclude_batch


@step(ConcludeBatch)
def conclude(command: ConcludeBatch) -> BatchConclusion:
    """Return the status of the batch."""
    return conclude_batch(
        command,
        state=app().state,
        environment=app().settings.steward_environment,
        objects=app().objects,
        hosting=app().hosting,
        clock=app().clock,
        ids=app().ids,
        data_bucket=app().settings.need("data_bucket"),
        artifacts_bucket=app().settings.need("artifacts_bucket"),
    )


@on_event("Step Functions Execution Status Change")
def notice(received: Received) -> Any:
    """Conclude a batch whose machine could not."""
    command = batch_that_ended(received, state=app().state)
    return conclude(command.model_dump(), None) if command else {"concluded": "not ours"}


handler = task_or_event(conclude, notice, task_key="batch_id")
