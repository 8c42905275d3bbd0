"""Tasks of the domain ``training``."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from steward.contracts.steps.registry import BaselineReference


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class ResolveRun(_Strict):
    """Fix what a run works with; the execution's input."""

    project: str
    run_id: str
    correlation_id: str
    causation_id: str
    actor: str


class Champion(_Strict):
    """The version in production when the run was resolved."""

    version: int
    artifact_uri: str


class ResolvedRun(_Strict):
    """Everything that the machine's states need to know of a run.

    Attributes:
        training_job: Name of the training job, without the suffix of a retry or redrive.
        evaluation_job: The same for the processing job.
    """

    project: str
    run_id: str
    author: str
    config_digest: str
    code_digest: str
    image: str
    deliveries: list[str]
    trains_without_new_data: bool
    code_uri: str
    hyperparameters: dict[str, str]
    instance_type: str
    max_runtime_s: int
    training_job: str
    evaluation_job: str
    models_uri: str
    evaluations_uri: str
    champion: Champion | None


class CompareCandidate(_Strict):
    """Compare the candidate with the champion on what the evaluation job wrote."""

    project: str
    run_id: str
    correlation_id: str
    evaluations_uri: str
    champion_version: int | None = None


class ComparedCandidate(_Strict):
    """Where evaluation, comparison and baseline lie, and bias and explanation if there are any."""

    evaluation_uri: str
    comparison_uri: str
    verdict: str
    champion_version: int | None
    baseline: BaselineReference
    bias: BaselineReference | None = None
    explanation: BaselineReference | None = None


class RecordTrainingOutcome(_Strict):
    """Write down how a run ended.

    Attributes:
        deliveries: The accepted deliveries that it trained on.
        failed_state: Name of the machine's state that failed.
    """

    project: str
    run_id: str
    correlation_id: str
    outcome: Literal["succeeded", "held", "failed"]
    execution_arn: str
    deliveries: list[str] = Field(default_factory=list)
    dataset_id: str | None = None
    evaluation_uri: str | None = None
    comparison_uri: str | None = None
    version: int | None = None
    verdict: str | None = None
    reasons: list[str] = Field(default_factory=list)
    failed_state: str | None = None
    error: str | None = None
    cause: str | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        needed = {
            "succeeded": ("version",),
            "held": ("verdict",),
            "failed": ("failed_state", "error"),
        }[self.outcome]
        missing = [name for name in needed if getattr(self, name) is None]
        if missing:
            raise ValueError(f"outcome {self.outcome} needs {', '.join(missing)}")
        return self


class RecordedOutcome(_Strict):
    """The machine's output."""

    outcome: str
    version: int | None = None
