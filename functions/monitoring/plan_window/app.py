"""Task: list what was captured and not yet profiled."""

from steward.bootstrap import app
from steward.contracts.steps.monitoring import PlannedWindow, PlanWindow
from steward.entrypoint import step
from steward.service.monitoring.planning import plan_window


@step(PlanWindow)
def handler(command: PlanWindow) -> PlannedWindow:
    """Return where the manifest lies, and whose windows are to be looked at."""
    settings = app().settings
    return plan_window(
        command,
        state=app().state,
        objects=app().objects,
        capture_bucket=settings.need("capture_bucket"),
        artifacts_bucket=settings.need("artifacts_bucket"),
    )
