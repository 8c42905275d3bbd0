"""Doorway: begin, queue or suppress the run that an event or an integrated commit asks for."""

from typing import Any

from steward.bootstrap import app
from steward.contracts.incoming import Received
from steward.contracts.steps.integration import StartedTraining, StartTraining
from steward.entrypoint import on_event, step, task_or_event
from steward.service.training.integration.run_after import start_after
from steward.service.training.start import Ports, start_training
from steward.service.training.triggers import Ignored, trigger_of


def _ports() -> Ports:
    return Ports(
        state=app().state,
        environment=app().settings.steward_environment,
        objects=app().objects,
        workflows=app().workflows,
        job_image=app().job_image,
        clock=app().clock,
        ids=app().ids,
        machine=app().settings.need("training_machine"),
        artifacts_bucket=app().settings.need("artifacts_bucket"),
    )


@step(StartTraining)
def task(command: StartTraining) -> StartedTraining:
    """Return what came of asking for a run because of a commit."""
    return start_after(command, _ports())


@on_event("Object Created", "TrainingRequested", "RetrainingRequested", "Scheduled Event")
def event(received: Received) -> dict[str, Any]:
    """Return what came of the event."""
    trigger = trigger_of(received, data_bucket=app().settings.need("data_bucket"))
    if isinstance(trigger, Ignored):
        return {"outcome": "ignored", "reason": trigger.reason}
    return start_training(trigger, _ports())


handler = task_or_event(task, event, task_key="integration_id")
