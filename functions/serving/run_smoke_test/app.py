"""Task: ask a staged version the recorded examples of its dataset."""

import time

from steward.bootstrap import app
from steward.contracts.steps.serving import RunSmokeTest, SmokeResult
from steward.entrypoint import step
from steward.service.serving.smoke import run_smoke_test


@step(RunSmokeTest)
def handler(command: RunSmokeTest) -> SmokeResult:
    """Return each check with what was seen."""
    return run_smoke_test(
        command,
        state=app().state,
        objects=app().objects,
        endpoints=app().endpoints,
        clock=app().clock,
        timer=time.perf_counter,
    )
