"""Task: judge a candidate by the policy in force for its run."""

from steward.bootstrap import app
from steward.contracts.steps.governance import GateDecision, JudgeCandidate
from steward.entrypoint import step
from steward.service.governance.gate import judge_candidate


@step(JudgeCandidate)
def handler(command: JudgeCandidate) -> GateDecision:
    """Return the verdict with a reason for each rule."""
    return judge_candidate(
        command,
        state=app().state,
        objects=app().objects,
        clock=app().clock,
        artifacts_bucket=app().settings.need("artifacts_bucket"),
    )
