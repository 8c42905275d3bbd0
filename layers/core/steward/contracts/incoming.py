"""AWS's own events as they arrive, reduced to what Steward reads.

Shapes: https://docs.aws.amazon.com/eventbridge/latest/ref/events.html; real payloads lie in
``events/incoming``.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from steward.contracts.events import Meta, Payload
from steward.domain.errors import MalformedEventError

DetailT = TypeVar("DetailT")
PayloadT = TypeVar("PayloadT", bound=Payload)


class _Received(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True, defer_build=True)


class Envelope(_Received, Generic[DetailT]):
    """What EventBridge delivers around every detail."""

    id: str = Field(min_length=1)
    source: str
    detail_type: str = Field(alias="detail-type")
    account: str = ""
    region: str = ""
    time: str
    resources: list[str] = Field(default_factory=list)
    replay_name: str | None = Field(default=None, alias="replay-name")
    detail: DetailT


class OwnDetail(_Received, Generic[PayloadT]):
    """The detail of our own events."""

    meta: Meta
    data: PayloadT


class _Bucket(_Received):
    name: str


class _Object(_Received):
    key: str
    size: int = 0
    version_id: str | None = Field(default=None, alias="version-id")
    sequencer: str = ""


class ObjectCreated(_Received):
    """S3 ``Object Created``. Unlike S3 notifications, the key is not URL-encoded here."""

    bucket: _Bucket
    object: _Object
    reason: str = ""
    requester: str = ""


class ModelPackageStateChange(_Received):
    """``SageMaker Model Package State Change``."""

    model_package_group_name: str = Field(alias="ModelPackageGroupName")
    model_package_version: int = Field(alias="ModelPackageVersion")
    model_package_arn: str = Field(alias="ModelPackageArn")
    model_approval_status: str = Field(alias="ModelApprovalStatus")


class TrainingJobStateChange(_Received):
    """``SageMaker Training Job State Change``; AWS may send several for one change."""

    training_job_name: str = Field(alias="TrainingJobName")
    training_job_arn: str = Field(alias="TrainingJobArn")
    training_job_status: str = Field(alias="TrainingJobStatus")
    tags: dict[str, str] = Field(default_factory=dict, alias="Tags")


class ProcessingJobStateChange(_Received):
    """``SageMaker Processing Job State Change``."""

    processing_job_name: str = Field(alias="ProcessingJobName")
    processing_job_arn: str = Field(alias="ProcessingJobArn")
    processing_job_status: str = Field(alias="ProcessingJobStatus")


class TransformJobStateChange(_Received):
    """``SageMaker Transform Job State Change``."""

    transform_job_name: str = Field(alias="TransformJobName")
    transform_job_arn: str = Field(alias="TransformJobArn")
    transform_job_status: str = Field(alias="TransformJobStatus")


class EndpointStateChange(_Received):
    """``SageMaker Endpoint State Change``; the status is in capitals here."""

    endpoint_name: str = Field(alias="EndpointName")
    endpoint_status: str = Field(alias="EndpointStatus")


class _AlarmState(_Received):
    value: str
    reason: str = ""
    timestamp: str = ""


class AlarmStateChange(_Received):
    """``CloudWatch Alarm State Change``."""

    alarm_name: str = Field(alias="alarmName")
    state: _AlarmState
    previous_state: _AlarmState | None = Field(default=None, alias="previousState")


class ExecutionStatusChange(_Received):
    """``Step Functions Execution Status Change``; times are epoch milliseconds."""

    execution_arn: str = Field(alias="executionArn")
    state_machine_arn: str = Field(alias="stateMachineArn")
    name: str
    status: str
    start_date: int | None = Field(default=None, alias="startDate")
    stop_date: int | None = Field(default=None, alias="stopDate")
    input: str | None = None
    output: str | None = None
    error: str | None = None
    cause: str | None = None
    redrive_count: int = Field(default=0, alias="redriveCount")


class RepositoryStateChange(_Received):
    """``CodeCommit Repository State Change``."""

    event: str
    repository_name: str = Field(alias="repositoryName")
    reference_name: str | None = Field(default=None, alias="referenceName")
    commit_id: str | None = Field(default=None, alias="commitId")
    old_commit_id: str | None = Field(default=None, alias="oldCommitId")
    reference_type: str | None = Field(default=None, alias="referenceType")
    caller_user_arn: str | None = Field(default=None, alias="callerUserArn")


class PipelineActionChange(_Received):
    """``CodePipeline Action Execution State Change``.

    Source: https://docs.aws.amazon.com/codepipeline/latest/userguide/detect-state-changes-cloudwatch-events.html
    """

    pipeline: str
    execution_id: str = Field(alias="execution-id")
    stage: str
    action: str
    state: str


class Scheduled(_Received):
    """``Scheduled Event``, and the input that our schedules carry as its detail."""

    project: str | None = None
    task: str | None = None


class TickDue(_Received):
    """What an experiment's schedule sends: which one is to be looked at."""

    project: str
    release_id: str


class BatchDue(_Received):
    """What the schedule of a project's batches sends."""

    project: str


class ReminderDue(_Received):
    """What an approval's schedule sends: whose reminder it is, and the how-many-th."""

    project: str
    version: int
    evidence_digest: str
    number: int


AWS_DETAILS: dict[tuple[str, str], type[BaseModel]] = {
    ("aws.s3", "Object Created"): ObjectCreated,
    ("aws.sagemaker", "SageMaker Model Package State Change"): ModelPackageStateChange,
    ("aws.sagemaker", "SageMaker Training Job State Change"): TrainingJobStateChange,
    ("aws.sagemaker", "SageMaker Processing Job State Change"): ProcessingJobStateChange,
    ("aws.sagemaker", "SageMaker Transform Job State Change"): TransformJobStateChange,
    ("aws.sagemaker", "SageMaker Endpoint State Change"): EndpointStateChange,
    ("aws.cloudwatch", "CloudWatch Alarm State Change"): AlarmStateChange,
    ("aws.states", "Step Functions Execution Status Change"): ExecutionStatusChange,
    ("aws.codecommit", "CodeCommit Repository State Change"): RepositoryStateChange,
    ("aws.codepipeline", "CodePipeline Action Execution State Change"): PipelineActionChange,
    ("aws.events", "Scheduled Event"): Scheduled,
    ("aws.scheduler", "Scheduled Event"): TickDue,
    ("aws.scheduler", "Approval Reminder Due"): ReminderDue,
    ("aws.scheduler", "Batch Scoring Due"): BatchDue,
}


class Received(BaseModel):
    """A typed event as a handler gets it: one of AWS's or one of ours.

    Attributes:
        account: Whose it is; EventBridge fills it in, and a rule that forwards an event keeps it.
    """

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True, defer_build=True)

    id: str
    time: str
    source: str
    detail_type: str
    account: str = ""
    resources: list[str]
    replayed: bool
    meta: Meta | None
    detail: Any

    @property
    def own(self) -> Meta:
        """The meta of one of our own events.

        Raises:
            MalformedEventError: It is one of AWS's.
        """
        if self.meta is None:
            raise MalformedEventError(
                f"{self.source} {self.detail_type!r} is no event of ours",
                field="source", value=self.source, allowed="steward.<domain>",
            )  # fmt: skip
        return self.meta
