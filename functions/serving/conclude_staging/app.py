"""Record how a staging ended: as a task of its machine, or when that ended without."""

from typing import Any

from steward.bootstrap import app
from steward.contracts.incoming import Received
from steward.contracts.steps.serving import ConcludeStaging, StagingConclusion
from steward.entrypoint import on_event, step, task_or_event
from steward.service.serving.staging import conclude_staging, staging_that_ended


@step(ConcludeStaging)
def conclude(command: ConcludeStaging) -> StagingConclusion:
    """Return how the staging ended."""
    return conclude_staging(
        command,
        state=app().state,
        environment=app().settings.steward_environment,
        objects=app().objects,
        endpoints=app().endpoints,
        clock=app().clock,
        ids=app().ids,
        artifacts_bucket=app().settings.need("artifacts_bucket"),
    )


@on_event("Step Functions Execution Status Change")
def notice(received: Received) -> Any:
    """Conclude a staging whose machine could not."""
    command = staging_that_ended(received, state=app().state)
    return conclude(command.model_dump(), None) if command else {"concluded": "already"}


handler = task_or_event(conclude, notice)
