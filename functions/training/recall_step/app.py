"""Task: keep the steps that were carried out and find those that need not be."""

from steward.bootstrap import app
from steward.contracts.steps.training import RecalledStep, RecallStep
from steward.entrypoint import step
from steward.service.training.recall import recall_step


@step(RecallStep)
def handler(command: RecallStep) -> RecalledStep:
    """Return the next step that is to be carried out, and what is reused."""
    return recall_step(
        command,
        state=app().state,
        objects=app().objects,
        jobs=app().finished_jobs,
        clock=app().clock,
        ids=app().ids,
    )
