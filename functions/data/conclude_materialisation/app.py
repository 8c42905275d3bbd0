"""Record a materialisation that failed: as a task of its machine, or when that ended without."""

from typing import Any

from steward.bootstrap import app
from steward.contracts.incoming import Received
from steward.contracts.steps.data import ConcludedMaterialisation, ConcludeMaterialisation
from steward.entrypoint import on_event, step, task_or_event
from steward.service.data.feature_materialisation import (
    conclude_materialisation,
    materialisation_that_ended,
)


@step(ConcludeMaterialisation)
def conclude(command: ConcludeMaterialisation) -> ConcludedMaterialisation:
    """Return whether the failure was recorded here."""
    return conclude_materialisation(command, state=app().state, clock=app().clock, ids=app().ids)


@on_event("Step Functions Execution Status Change")
def notice(received: Received) -> Any:
    """Conclude a materialisation whose machine could not."""
    command = materialisation_that_ended(received, state=app().state)
    return conclude(command.model_dump(), None) if command else {"concluded": "already"}


handler = task_or_event(conclude, notice)
