"""Task: look at a project's windows that have ended."""

import time

from steward.bootstrap import app
from steward.contracts.steps.monitoring import JudgedWindow, JudgeWindow
from steward.domain.workspace import scratch
from steward.entrypoint import step
from steward.service.monitoring.judging import judge_windows
from steward.service.monitoring.profiling import Bench


@step(JudgeWindow)
def handler(command: JudgeWindow) -> JudgedWindow:
    """Return how many windows were looked at; the machine asks again for more."""
    settings = app().settings
    until = time.monotonic() + settings.task_seconds
    with scratch(settings.aws_lambda_function_memory_size) as limits:
        bench = Bench(
            state=app().state,
            environment=app().settings.steward_environment,
            objects=app().objects,
            clock=app().clock,
            limits=limits,
            capture_bucket=settings.need("capture_bucket"),
            artifacts_bucket=settings.need("artifacts_bucket"),
        )
        return judge_windows(
            command,
            bench,
            app().ids,
            seconds_left=lambda: until - time.monotonic(),
            metrics=app().metric_log,
            endpoints=app().endpoints,
        )
