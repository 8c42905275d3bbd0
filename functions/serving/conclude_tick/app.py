"""End a tick: as the last task of its machine, or when that ended without."""

from typing import Any

from steward.bootstrap import app
from steward.contracts.incoming import Received
from steward.contracts.steps.serving import ConcludeTick, TickConclusion
from steward.entrypoint import on_event, step, task_or_event
from steward.service.serving.ticking import conclude_tick, tick_that_ended


@step(ConcludeTick)
def conclude(command: ConcludeTick) -> TickConclusion:
    """Return where the experiment is."""
    return conclude_tick(
        command,
        state=app().state,
        workflows=app().workflows,
        clock=app().clock,
        ids=app().ids,
        release_machine=app().settings.need("release_machine"),
    )


@on_event("Step Functions Execution Status Change")
def notice(received: Received) -> Any:
    """Conclude a tick whose machine could not."""
    command = tick_that_ended(received, state=app().state)
    return conclude(command.model_dump(), None) if command else {"concluded": "not ours"}


handler = task_or_event(conclude, notice)
