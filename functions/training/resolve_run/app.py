"""Task: fix everything that the states of a training execution need to know."""

from steward.bootstrap import app
from steward.contracts.steps.training import ResolvedRun, ResolveRun
from steward.entrypoint import step
from steward.service.training.resolve import resolve_run


@step(ResolveRun)
def handler(command: ResolveRun) -> ResolvedRun:
    """Return the run as it was pinned, and the champion of this moment."""
    return resolve_run(
        command,
        state=app().state,
        environment=app().settings.steward_environment,
        objects=app().objects,
        artifacts_bucket=app().settings.need("artifacts_bucket"),
    )
