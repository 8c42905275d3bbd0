"""End a watch: as the last task of its machine, or when that ended without."""

from typing import Any

from steward.bootstrap import app
from steward.contracts.incoming import Received
from steward.contracts.steps.monitoring import ConcludedWatch, ConcludeWatch
from steward.entrypoint import on_event, step, task_or_event
from steward.service.monitoring.watching import conclude_watch, watch_that_ended


@step(ConcludeWatch)
def conclude(command: ConcludeWatch) -> ConcludedWatch:
    """Return how the watch ended."""
    return conclude_watch(command, state=app().state, clock=app().clock, ids=app().ids)


@on_event("Step Functions Execution Status Change")
def notice(received: Received) -> Any:
    """Conclude a watch whose machine could not."""
    command = watch_that_ended(received, state=app().state)
    return conclude(command.model_dump(), None) if command else {"concluded": "already"}


handler = task_or_event(conclude, notice)
