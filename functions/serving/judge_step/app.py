"""Task: freeze the statistics of a step and judge them."""

from steward.bootstrap import app
from steward.contracts.steps.serving import JudgeStep, StepVerdict
from steward.entrypoint import step
from steward.service.serving.judging import judge_release


@step(JudgeStep)
def handler(command: JudgeStep) -> StepVerdict:
    """Return what follows, with the reason."""
    return judge_release(
        command,
        state=app().state,
        objects=app().objects,
        alarms=app().alarms,
        metrics=app().traffic_metrics,
        clock=app().clock,
        ids=app().ids,
        artifacts_bucket=app().settings.need("artifacts_bucket"),
        environment=app().settings.steward_environment,
    )
