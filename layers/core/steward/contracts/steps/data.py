"""Tasks of the domain ``data``."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


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
    deliveries: list[str] = Field(min_length=1)
    trains_without_new_data: bool = False


class ValidatedDeliveries(_Strict):
    """What came of the deliveries, each list in order of receipt."""

    accepted: list[str]
    rejected: list[str]


class BuildDataset(_Strict):
    """Build the dataset of a run from accepted deliveries."""

    project: str
    run_id: str
    correlation_id: str
    deliveries: list[str] = Field(min_length=1)


class BuiltDataset(_Strict):
    """Where a dataset lies; ``config_uri`` is the prefix that holds ``job.json``."""

    dataset_id: str
    manifest_uri: str
    train_uri: str
    heldout_uri: str
    config_uri: str
    examples_uri: str
    train_rows: int
    heldout_rows: int


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
