"""Task: make what a commit brought the project's."""

from steward.bootstrap import app
from steward.contracts.steps.integration import ActivatedSource, ActivateSource
from steward.entrypoint import step
from steward.service.training.integration.activating import activate_source
from steward.service.training.source import Configuring


@step(ActivateSource)
def handler(command: ActivateSource) -> ActivatedSource:
    """Return whether anything changed, and the author in force."""
    settings = app().settings
    ports = Configuring(
        app().state,
        app().clock,
        app().ids,
        settings.need("artifacts_bucket"),
        settings.steward_environment,
    )
    return activate_source(command, ports, objects=app().objects, repositories=app().repositories)
