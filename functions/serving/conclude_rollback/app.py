"""Record how a rollback ended: as a task of its machine, or when that ended without."""

from typing import Any

from steward.bootstrap import app
from steward.contracts.incoming import Received
from steward.contracts.steps.serving import ConcludeRollback, ReleaseConclusion
from steward.entrypoint import on_event, step, task_or_event
from steward.service.serving.rollback import conclude_rollback, rollback_that_ended


@step(ConcludeRollback)
def conclude(command: ConcludeRollback) -> ReleaseConclusion:
    """Return the status of the release."""
    return conclude_rollback(
        command,
        state=app().state,
        environment=app().settings.steward_environment,
        endpoints=app().endpoints,
        workflows=app().workflows,
        clock=app().clock,
        ids=app().ids,
        release_machine=app().settings.need("release_machine"),
    )


@on_event("Step Functions Execution Status Change")
def notice(received: Received) -> Any:
    """Conclude a rollback whose machine could not."""
    command = rollback_that_ended(received, state=app().state)
    return conclude(command.model_dump(), None) if command else {"concluded": "not ours"}


handler = task_or_event(conclude, notice)
