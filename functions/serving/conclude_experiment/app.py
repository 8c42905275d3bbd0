"""End an experiment: as a task that promotes nothing, or after its release ended otherwise."""

from steward.bootstrap import app
from steward.contracts.incoming import Received
from steward.contracts.steps.serving import ConcludeExperiment, ReleaseConclusion
from steward.entrypoint import on_event, step, task_or_event
from steward.service.serving.not_promoted import conclude_experiment
from steward.service.serving.scheduling import end_ticks


@step(ConcludeExperiment)
def conclude(command: ConcludeExperiment) -> ReleaseConclusion:
    """Return the status of the release."""
    return conclude_experiment(
        command,
        state=app().state,
        environment=app().settings.steward_environment,
        endpoints=app().endpoints,
        workflows=app().workflows,
        clock=app().clock,
        ids=app().ids,
        machine=app().settings.need("release_machine"),
    )


@on_event("ReleaseCompleted", "ReleaseRolledBack", "ReleaseFailed", "ReleaseNotPromoted")
def notice(received: Received) -> dict[str, object]:
    """Delete the schedule of a release that has ended."""
    return end_ticks(received, state=app().state, schedules=app().schedules)


handler = task_or_event(conclude, notice)
