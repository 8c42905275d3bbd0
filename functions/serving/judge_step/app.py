"""Task: freeze the statistics of a step and judge them."""

from steward.bootstrap import app
from steward.contracts.steps.serving import JudgeStep, StepVerdict
from steward.entrypoint import step
from steward.service.serving.release_steps import judge_step


@step(JudgeStep)
def handler(command: JudgeStep) -> StepVerdict:
    """Return what follows, with the reason."""
    return judge_step(
        command,
        state=app().state,
        objects=app().objects,
        alarms=app().alarms,
        metrics=app().traffic_metrics,
        clock=app().clock,
        artifacts_bucket=app().settings.need("artifacts_bucket"),
        environment=app().settings.steward_environment,
    )
