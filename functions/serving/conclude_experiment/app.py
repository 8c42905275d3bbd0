"""Task: end a release without promotion."""

from steward.bootstrap import app
from steward.contracts.steps.serving import ConcludeExperiment, ReleaseConclusion
from steward.entrypoint import step
from steward.service.serving.not_promoted import conclude_experiment


@step(ConcludeExperiment)
def handler(command: ConcludeExperiment) -> ReleaseConclusion:
    """Return the status of the release."""
    return conclude_experiment(
        command,
        state=app().state,
        endpoints=app().endpoints,
        workflows=app().workflows,
        clock=app().clock,
        ids=app().ids,
        machine=app().settings.need("release_machine"),
    )
