"""Doorway: begin, queue or suppress the run that an event asks for."""

from typing import Any

from steward.bootstrap import app
from steward.contracts.incoming import Received
from steward.entrypoint import on_event
from steward.service.training.start import Ports, start_training
from steward.service.training.triggers import Ignored, trigger_of


@on_event(
    "Object Created", "TrainingRequested", "RetrainingRequested", "Scheduled Event",
    "CodeCommit Repository State Change",
)  # fmt: skip
def handler(received: Received) -> dict[str, Any]:
    """Return what came of the event."""
    settings = app().settings
    trigger = trigger_of(
        received,
        data_bucket=settings.need("data_bucket"),
        environment=settings.steward_environment,
        person_roles=settings.roles_of_persons,
    )
    if isinstance(trigger, Ignored):
        return {"outcome": "ignored", "reason": trigger.reason}
    ports = Ports(
        state=app().state,
        workflows=app().workflows,
        job_image=app().job_image,
        clock=app().clock,
        ids=app().ids,
        machine=app().settings.need("training_machine"),
    )
    return start_training(trigger, ports, app().objects)
