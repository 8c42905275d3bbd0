"""Task: check what a commit declares, and prepare its jobs."""

from steward.bootstrap import app
from steward.contracts.steps.integration import CheckedProject, CheckProject
from steward.entrypoint import step
from steward.service.training.integration.checking import check_project
from steward.service.training.integration.rehearsing import Ports


@step(CheckProject)
def handler(command: CheckProject) -> CheckedProject:
    """Return what the jobs need to know."""
    ports = Ports(
        app().state,
        app().objects,
        app().job_image,
        app().clock,
        app().ids,
        app().settings.steward_environment,
        app().settings.need("artifacts_bucket"),
        app().settings.need("capture_bucket"),
    )
    return check_project(command, ports)
