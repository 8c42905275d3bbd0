"""Task: make the candidate the stable version."""

from steward.bootstrap import app
from steward.contracts.steps.serving import CompletedRelease, CompleteRelease
from steward.entrypoint import step
from steward.service.serving.release_end import complete_release


@step(CompleteRelease)
def handler(command: CompleteRelease) -> CompletedRelease:
    """Return what serves now."""
    return complete_release(
        command,
        state=app().state,
        environment=app().settings.steward_environment,
        endpoints=app().endpoints,
        workflows=app().workflows,
        clock=app().clock,
        ids=app().ids,
        machine=app().settings.need("release_machine"),
    )
