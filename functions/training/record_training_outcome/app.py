"""Task: write down how a run ended, with its event."""

from steward.bootstrap import app
from steward.contracts.steps.training import RecordedOutcome, RecordTrainingOutcome
from steward.entrypoint import step
from steward.service.training.outcome import record_training_outcome


@step(RecordTrainingOutcome)
def handler(command: RecordTrainingOutcome) -> RecordedOutcome:
    """Return the outcome, which is the machine's output."""
    return record_training_outcome(
        command, state=app().state, objects=app().objects, clock=app().clock, ids=app().ids
    )
