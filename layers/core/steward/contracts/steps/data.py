"""Tasks of the domain ``data``."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from steward.domain.delivery_lists import DeliveryList


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class ValidateDeliveries(_Strict):
    """Check the pending deliveries of a run.

    Attributes:
        deliveries: All deliveries of the run, those accepted before among them.
        trains_without_new_data: The run has another reason than new data, such as new code, so
            that it goes on with what was accepted before when every new delivery is rejected.
    """

    project: str
    run_id: str
    correlation_id: str
    deliveries: DeliveryList
    trains_without_new_data: bool = False


class ValidatedDeliveries(_Strict):
    """What came of the deliveries.

    Attributes:
        accepted: Those that the dataset is built of.
        rejected: How many broke a rule.
    """

    accepted: DeliveryList
    rejected: int


class MadeJoin(_Strict):
    """A planned join that Athena has made.

    Attributes:
        plan_uri: The plan.
        joined_uri: Prefix of the Parquet that Athena unloaded, and of nothing else.
    """

    plan_uri: str
    joined_uri: str


class BuildDataset(_Strict):
    """Build the dataset of a run from accepted deliveries.

    Attributes:
        join: Nothing at first; where the answer was a :class:`PlannedJoin`, what came of it.
    """

    project: str
    run_id: str
    correlation_id: str
    deliveries: DeliveryList
    join: MadeJoin | None = None


class BuiltDataset(_Strict):
    """Where a dataset lies.

    Attributes:
        config_uri: The prefix that holds the run's ``job.json``.
        config_digest: Digest of ``job.json`` without the run that it names.
        reused_from: The run that built it, where this one found it built.
    """

    dataset_id: str
    manifest_uri: str
    train_uri: str
    heldout_uri: str
    config_uri: str
    config_digest: str
    examples_uri: str
    train_rows: int
    heldout_rows: int
    reused_from: str | None = None


class JoinTable(_Strict):
    """A table that a join needs for a while."""

    create: str
    drop: str


class PlannedJoin(_Strict):
    """What Athena has to do before the dataset can be built.

    Attributes:
        plan_uri: What the plan was made for.
        tables: Statements in Athena's SQL without database.
        unload: The statement that writes the join below ``joined_uri``; in both ``{attempt}``
            stands for what makes the prefix a fresh one.
    """

    plan_uri: str
    tables: list[JoinTable] = Field(min_length=2)
    unload: str
    joined_uri: str


class MaterialiseChunk(_Strict):
    """Bring the next chunks of a delivery into a version of a feature group."""

    project: str
    group: str
    version: int = Field(ge=1)
    delivery_id: str
    attempt: int = Field(ge=1)
    correlation_id: str
    causation_id: str


class MaterialisedChunk(_Strict):
    """How far it is.

    Attributes:
        done: Nothing is left to do.
        chunks: Chunks that are in Parquet and online.
        of: Chunks of the delivery.
    """

    done: bool
    chunks: int
    of: int


class MaterialisationFailure(_Strict):
    """What failed and where."""

    state: str
    error: str
    cause: str


class ConcludeMaterialisation(_Strict):
    """Record that a materialisation failed."""

    project: str
    group: str
    version: int = Field(ge=1)
    delivery_id: str
    attempt: int = Field(ge=1)
    correlation_id: str
    causation_id: str
    execution_arn: str
    failure: MaterialisationFailure


class ConcludedMaterialisation(_Strict):
    """Whether this call recorded the failure."""

    recorded: bool
