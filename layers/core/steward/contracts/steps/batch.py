"""Tasks of the machine ``score_batch``."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class PrepareBatch(_Strict):
    """Judge the rows of the pinned input; the execution's input."""

    project: str
    batch_id: str
    correlation_id: str
    causation_id: str
    actor: str


class PreparedBatch(_Strict):
    """What SageMaker needs.

    Attributes:
        model: Request of ``CreateModel``.
        job: Name of the transform job, without the retries that the machine adds.
        rows: That are scored.
        refused_rows: That broke the rules of requests.
    """

    model: dict[str, Any]
    model_name: str
    job: str
    input_uri: str
    output_uri: str
    instance_type: str
    instance_count: int
    max_runtime_s: int
    rows: int
    refused_rows: int


class DeliverScores(_Strict):
    """Check what the job left and deliver it, or put it into quarantine."""

    project: str
    batch_id: str
    correlation_id: str
    job: str


class DeliveredScores(_Strict):
    """What was delivered; the manifest has the rest."""

    manifest_uri: str
    manifest_sha256: str


class BatchFailure(_Strict):
    """Which state failed, and how."""

    state: str
    error: str
    cause: str = ""


class ConcludeBatch(_Strict):
    """Write down how a batch ended, and remove its model."""

    project: str
    batch_id: str
    correlation_id: str
    outcome: Literal["succeeded", "failed"]
    execution_arn: str
    manifest_uri: str | None = None
    failure: BatchFailure | None = Field(default=None)


class BatchConclusion(_Strict):
    """Status of the batch."""

    status: str
