"""Tasks of the domain ``training``."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from steward.contracts.steps.data import BuiltDataset
from steward.contracts.steps.registry import BaselineReference
from steward.domain.delivery_lists import DeliveryList


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


class TuningPlan(_Strict):
    """A search for hyperparameters, in the words of SageMaker's API.

    Attributes:
        job: Name of the tuning job, without the suffix of a retry or redrive.
        config: ``HyperParameterTuningJobConfig``.
        metric_definitions: How the objective is found in the training job's log.
    """

    job: str
    config: dict[str, Any]
    metric_definitions: list[dict[str, str]]


class ResolvedRun(_Strict):
    """Everything that the machine's states need to know of a run.

    Attributes:
        training_job: Name of the training job, without the suffix of a retry or redrive.
        evaluation_job: The same for the processing job.
        spot: Whether it trains on spare capacity.
        stopping_condition: SageMaker's, of one training job.
        training_timeout_s: After which the training's task gives up.
        tuning: The search that takes the place of the training job, where one is declared.
        checkpoints_uri: Prefix of the checkpoints; the same for all attempts at the same work.
    """

    project: str
    run_id: str
    author: str
    config_digest: str
    code_digest: str
    image: str
    deliveries: DeliveryList
    trains_without_new_data: bool
    code_uri: str
    hyperparameters: dict[str, str]
    instance_type: str
    max_runtime_s: int
    spot: bool
    stopping_condition: dict[str, int]
    training_timeout_s: int
    tuning: TuningPlan | None = None
    checkpoints_uri: str
    training_job: str
    evaluation_job: str
    models_uri: str
    evaluations_uri: str
    champion: Champion | None


class DoneTraining(_Strict):
    """A training that this execution carried out.

    Attributes:
        job: Name of the job that made the model.
        seconds: Billable seconds of it; None for a search, whose jobs are many.
        tuned: The hyperparameters that a search chose.
    """

    model_uri: str
    job: str
    seconds: float | None = None
    tuned: dict[str, str] = Field(default_factory=dict)


class DoneEvaluation(_Strict):
    """An evaluation that this execution carried out.

    Attributes:
        job: Name of its job.
        started_ms: When the job's container began, as Step Functions tells it.
        ended_ms: When it ended.
    """

    job: str
    started_ms: float | None = None
    ended_ms: float | None = None

    @property
    def seconds(self) -> float | None:
        """How long the job's container ran."""
        if self.started_ms is None or self.ended_ms is None:
            return None
        return max(0.0, (self.ended_ms - self.started_ms) / 1000)


class RecallStep(_Strict):
    """Keep what was carried out and find the next step that nothing can be reused for.

    Attributes:
        run: What ``resolve_run`` answered.
        dataset: What ``build_dataset`` answered.
        training: The training, once this execution has carried one out.
        evaluation: The same of the evaluation.
    """

    project: str
    run_id: str
    correlation_id: str
    run: ResolvedRun
    dataset: BuiltDataset
    training: DoneTraining | None = None
    evaluation: DoneEvaluation | None = None


class RecalledStep(_Strict):
    """What is left to do, and what lies there already.

    Attributes:
        next: The step to carry out, or ``comparison`` when none is left.
        model_uri: The model's archive; None while it is not trained.
        evaluations_uri: Where the evaluation lies, or is to be written.
        evaluated_in: The run that the evaluation names as its own.
        step_key: Tag of the job that carries the next step out; empty where its inputs could not
            be read, or no step is left.
    """

    next: Literal["training", "tuning", "evaluation", "comparison"]
    model_uri: str | None
    evaluations_uri: str
    evaluated_in: str
    step_key: str = ""


class CompareCandidate(_Strict):
    """Compare the candidate with the champion on what the evaluation job wrote.

    Attributes:
        comparisons_uri: Where the comparison is written; beside the evaluation by default.
        evaluated_in: The run whose evaluation it is; this run by default.
        manifest_uri: Of the dataset whose held-out rows judge.
    """

    project: str
    run_id: str
    correlation_id: str
    evaluations_uri: str
    manifest_uri: str | None = None
    comparisons_uri: str | None = None
    evaluated_in: str | None = None
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
    deliveries: DeliveryList | None = None
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
