"""Task: compare a candidate with the champion on the same held-out rows."""

from steward.bootstrap import app
from steward.contracts.steps.training import CompareCandidate, ComparedCandidate
from steward.entrypoint import step
from steward.service.training.comparison import compare_candidate


@step(CompareCandidate)
def handler(command: CompareCandidate) -> ComparedCandidate:
    """Return where the comparison lies, and its verdict."""
    return compare_candidate(
        command, state=app().state, objects=app().objects, clock=app().clock, ids=app().ids
    )
