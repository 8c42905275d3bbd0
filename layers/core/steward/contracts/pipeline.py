"""CodePipeline's jobs for a function, and what our actions carry in ``UserParameters``.

The event: https://docs.aws.amazon.com/codepipeline/latest/userguide/actions-invoke-lambda-function.html
A job also carries credentials for the artifacts. They are neither read nor logged.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, Json

from steward.domain.names import PROJECT_PATTERN

ActionKind = Literal["integrate", "gate", "stage", "verify_approval", "release", "watch"]
_EXECUTION = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"


class _Received(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True, defer_build=True)


class ActionParameters(BaseModel):
    """``UserParameters`` of one of our actions, at most 1,000 characters of JSON.

    Attributes:
        execution_id: ``#{codepipeline.PipelineExecutionId}``; everything else is bound to it.
        mode: Execution mode of the pipeline.
        author: ``<forge>:<login>``; ``unknown`` where the source does not tell.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    action: ActionKind
    project: str = Field(pattern=PROJECT_PATTERN)
    pipeline: str = Field(min_length=1, max_length=100)
    execution_id: str = Field(pattern=_EXECUTION)
    mode: Literal["QUEUED", "SUPERSEDED"] = "QUEUED"
    repository: str = ""
    branch: str = ""
    commit_id: str = ""
    author: str = "unknown"


class _S3Location(_Received):
    bucket: str = Field(alias="bucketName")
    key: str = Field(alias="objectKey")


class _Location(_Received):
    s3: _S3Location | None = Field(default=None, alias="s3Location")


class InputArtifact(_Received):
    """A zip in the pipeline's artifact store."""

    name: str
    revision: str | None = None
    location: _Location


class _Configuration(_Received):
    parameters: Annotated[str, Field(alias="UserParameters")] = ""


class _ActionConfiguration(_Received):
    configuration: _Configuration


class _Data(_Received):
    action: _ActionConfiguration = Field(alias="actionConfiguration")
    inputs: list[InputArtifact] = Field(default_factory=list, alias="inputArtifacts")
    token: str | None = Field(default=None, alias="continuationToken")


class _Job(_Received):
    id: str = Field(pattern=_EXECUTION)
    data: _Data


class PipelineJob(_Received):
    """What CodePipeline invokes a function with."""

    job: _Job = Field(alias="CodePipeline.job")


class _Parsed(_Received):
    parameters: Json[ActionParameters]


def action_of(job: PipelineJob) -> ActionParameters:
    """Return what an action asks for.

    Raises:
        ValidationError: Its ``UserParameters`` are none of ours.
    """
    text: Any = job.job.data.action.configuration.parameters
    return _Parsed(parameters=text).parameters
