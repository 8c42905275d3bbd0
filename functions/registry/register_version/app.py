"""Task: register a candidate in SageMaker Model Registry, pending approval."""

from steward.bootstrap import app
from steward.contracts.steps.registry import RegisteredVersion, RegisterVersion
from steward.entrypoint import step
from steward.service.registry.registration import register_version


@step(RegisterVersion)
def handler(command: RegisterVersion) -> RegisteredVersion:
    """Make one package and one record of a run, however often it is tried."""
    return register_version(
        command,
        state=app().state,
        registry=app().registry,
        clock=app().clock,
        ids=app().ids,
        environment=app().settings.steward_environment,
    )
