"""A project's pipeline: where its source is, and its stack from ``projects/pipeline.yaml``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from steward_cli.commands.local import repository_root
from steward_cli.console import CommandError, Exit
from steward_cli.stacks import deploy

if TYPE_CHECKING:
    from steward.domain.project import Project
    from steward_cli.target import Target

_CODECOMMIT = re.compile(r"^codecommit:(?P<repository>[\w.-]{1,100})(?:@(?P<branch>\S{1,255}))?$")
_CONNECTION = re.compile(
    r"^connection:(?P<arn>arn:aws[\w-]*:(?:codeconnections|codestar-connections):[\w-]+:\d{12}:"
    r"connection/[\w-]+):(?P<repository>[\w.-]+/[\w./-]+?)(?:@(?P<branch>\S{1,255}))?$"
)
_S3 = re.compile(r"^s3:(?P<bucket>[a-z0-9.-]{3,63})/(?P<key>\S{1,900})$")
ALLOWED = "codecommit:REPOSITORY[@BRANCH], connection:ARN:OWNER/NAME[@BRANCH] or s3:BUCKET/KEY"
MODES = ("QUEUED", "SUPERSEDED")
AFTER_EXPIRY_MINUTES = 24 * 60
"""How long the pipeline's action outlives the project's approvals, whose expiry answers it."""
LONGEST_APPROVAL_MINUTES = 86_400


@dataclass(frozen=True)
class PipelineSource:
    """Where the commits of a pipeline come from, as parameters of its stack."""

    kind: str
    repository: str
    branch: str = "main"
    connection: str = ""
    bucket: str = ""
    key: str = ""


def parse_source(text: str, branch: str = "main") -> PipelineSource:
    """Return the source that a person names.

    Args:
        text: As ``ALLOWED`` says.
        branch: The project's own, where ``text`` names none.

    Raises:
        CommandError: It is none.
    """
    if found := _CODECOMMIT.match(text):
        return PipelineSource("codecommit", found["repository"], found["branch"] or branch)
    if found := _CONNECTION.match(text):
        return PipelineSource(
            "connection", found["repository"], found["branch"] or branch, found["arn"]
        )
    if found := _S3.match(text):
        where = f"{found['bucket']}/{found['key']}"
        return PipelineSource("s3", where, branch, bucket=found["bucket"], key=found["key"])
    raise CommandError(f"--pipeline {text!r} is no source", Exit.USAGE, f"allowed: {ALLOWED}")


def approval_minutes(lifetime_s: int) -> int:
    """Return how long the pipeline's approval action waits: longer than the approval lives."""
    return min(LONGEST_APPROVAL_MINUTES, lifetime_s // 60 + AFTER_EXPIRY_MINUTES)


def pipeline_stack_name(target: Target, project: str) -> str:
    """Return the name of the stack of a project's pipeline."""
    return f"{target.stack}-pipeline-{project}"


def parameters(
    target: Target, project: Project, source: PipelineSource, mode: str
) -> dict[str, object]:
    """Return the parameters of the stack of a project's pipeline."""
    known: dict[str, object] = {
        "Project": project.project,
        "Environment": target.environment_name,
        "SourceKind": source.kind,
        "Repository": source.repository,
        "Branch": source.branch,
        "ExecutionMode": mode,
        "ApprovalTimeoutMinutes": approval_minutes(project.approval.lifetime_s),
        **of_the_stack(target),
    }
    if source.connection:
        known["ConnectionArn"] = source.connection
    if source.bucket:
        known |= {"SourceBucket": source.bucket, "SourceKey": source.key}
    return known


def of_the_stack(target: Target) -> dict[str, object]:
    """Return the parameters that every pipeline beside a stack of Steward has."""
    return {
        "DrivePipelineFunctionArn": target.output("DrivePipelineFunctionArn"),
        "ArtifactsBucket": target.output("ArtifactsBucketName"),
        "KeyArn": target.output("KeyArn"),
        "UseKeyPolicyArn": target.output("UseKeyPolicyArn"),
        "OwnerTopic": target.output("OwnerTopic"),
        "FailureQueueArn": target.output("ForwardDeliveryFailuresArn"),
    }


def deploy_pipeline(
    target: Target, project: Project, folder: Path, source: PipelineSource, mode: str
) -> str:
    """Create or update the stack of a project's pipeline, from its own file if it has one.

    Returns:
        The stack's name.

    Raises:
        CommandError: CloudFormation refused or rolled back.
    """
    own = folder / "pipeline.yaml"
    path = own if own.is_file() else repository_root() / "projects" / "pipeline.yaml"
    return deploy(
        target, pipeline_stack_name(target, project.project), project.project,
        path.read_text(encoding="utf-8"), parameters(target, project, source, mode),
        capabilities=("CAPABILITY_IAM",),
    )  # fmt: skip


def has_pipeline(target: Target, project: str) -> bool:
    """Return whether there is a stack of a project's pipeline that the caller may see."""
    try:
        target.client("cloudformation").describe_stacks(
            StackName=pipeline_stack_name(target, project)
        )
    except ClientError:
        return False
    return True
