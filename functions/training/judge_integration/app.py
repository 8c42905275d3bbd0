"""Task: read what a job of an integration found."""

from steward.bootstrap import app
from steward.contracts.steps.integration import JudgedIntegration, JudgeIntegration
from steward.entrypoint import step
from steward.service.training.integration.judging import judge_integration


@step(JudgeIntegration)
def handler(command: JudgeIntegration) -> JudgedIntegration:
    """Return the finding where nothing speaks against the commit."""
    return judge_integration(command, state=app().state, objects=app().objects)
