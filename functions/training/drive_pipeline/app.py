"""Doorway of CodePipeline: play an action's job, and answer its approval as the record says."""

from steward.bootstrap import app
from steward.contracts.incoming import Received
from steward.contracts.pipeline import PipelineJob
from steward.entrypoint import job_or_event, on_event, on_job
from steward.service.training import pipeline_approvals, pipelines


@on_job
def play(job: PipelineJob) -> dict[str, object]:
    """Return what CodePipeline was answered."""
    ports = pipelines.Ports(
        app().state, app().pipelines, app().alarms, app().clock, app().ids,
        app().settings.steward_environment,
    )  # fmt: skip
    return pipelines.drive(job, ports)


@on_event(
    "VersionApproved", "VersionRejected", "ApprovalExpired", "ApprovalRequested",
    "CodePipeline Action Execution State Change",
)  # fmt: skip
def answer(received: Received) -> dict[str, object]:
    """Return which approvals were answered."""
    return pipeline_approvals.answer_approvals(
        received, state=app().state, pipelines=app().pipelines,
        environment=app().settings.steward_environment,
    )  # fmt: skip


handler = job_or_event(play, answer)
