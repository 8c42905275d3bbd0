"""Events of deliveries, datasets and features."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from steward.contracts.events.envelope import Payload, Told, _Wire


class DeliveryReceived(Payload):
    """A data file arrived."""

    source: ClassVar[str] = "steward.data"
    delivery_id: str
    bucket: str
    key: str
    version_id: str | None = None
    table: str = "data"


class DatasetAccepted(Payload):
    """A delivery kept every rule that may reject it.

    Attributes:
        table: ``data`` for the primary table, else the name of its source.
        rows: Rows that count, those in quarantine left out.
        quarantined_rows: Rows set aside by rules of severity ``quarantine_rows``.
        warnings: Rules of severity ``warn`` that were broken.
    """

    source: ClassVar[str] = "steward.data"
    delivery_id: str
    key: str
    rows: int
    report_uri: str
    table: str = "data"
    quarantined_rows: int = 0
    warnings: int = 0


class RuleViolation(_Wire):
    """One broken rule with examples."""

    rule: str
    column: str | None = None
    count: int
    examples: list[dict[str, Any]] = Field(default_factory=list)
    message: str


class DatasetRejected(Payload):
    """A delivery broke a rule and is in quarantine."""

    source: ClassVar[str] = "steward.data"
    table: str = "data"
    delivery_id: str
    key: str
    quarantine_uri: str
    report_uri: str
    violations: list[RuleViolation]


class DeliveryDeleted(Payload):
    """A delivery was deleted on purpose; its record stays.

    Attributes:
        by: Identity of who asked for it.
        deleted_at: When it was asked for.
        objects: Stored versions that were removed.
        features: Versions of feature groups that were made of it, as ``<group>/v<version>``.
        batches: Attempts of batches that scored it, deleted with it.
    """

    source: ClassVar[str] = "steward.data"
    delivery_id: str
    bucket: str
    key: str
    version_id: str | None = None
    table: str = "data"
    reason: str
    by: str
    deleted_at: str
    objects: int
    features: list[str] = Field(default_factory=list)
    batches: list[str] = Field(default_factory=list)


class BatchDeleted(Payload):
    """What held rows of a batch was deleted on purpose, with its input; its record stays.

    Attributes:
        version: That scored it.
        scores_uri: Where its delivered scores were, None where there were none.
        by: Identity of who asked for it.
        deleted_at: When it was asked for.
        objects: Stored versions that were removed.
    """

    source: ClassVar[str] = "steward.data"
    batch_id: str
    version: int
    scores_uri: str | None = None
    reason: str
    by: str
    deleted_at: str
    objects: int


NAMED_DELIVERIES = 500
"""Deliveries that an event names at most: their ids are half of what an event may hold."""


class DatasetBuilt(Payload):
    """A content-addressed dataset was written.

    Attributes:
        manifest_uri: Names every source object, also where the event does not.
        deliveries: The first deliveries of the primary table, in order of receipt.
        more_deliveries: How many more there are, which the manifest alone names.
        run_id: The run that it was built for; None for a rebuild.
        features: Views that were joined, as ``<group>/v<version>``.
        cutoff: Knowledge cutoff: what was known later is not in it.
        labels_unknown: Rows left out because their label was not known at the cutoff.
        rows_with_later_knowledge: Rows that a join by event time alone would have given a value
            that was not known at their prediction time.
        reused_from: The run that built it, where this one found it built.
    """

    source: ClassVar[str] = "steward.data"
    dataset_id: str
    manifest_uri: str
    deliveries: list[str] = Field(max_length=NAMED_DELIVERIES)
    more_deliveries: int = 0
    train_rows: int
    heldout_rows: int
    run_id: str | None = None
    features: list[str] = Field(default_factory=list)
    cutoff: str | None = None
    labels_unknown: int = 0
    rows_with_later_knowledge: int = 0
    reused_from: str | None = None


class FeatureGroupVersioned(Payload):
    """A feature group has a new version: its definition changed."""

    source: ClassVar[str] = "steward.data"
    group: str
    version: int
    definition_digest: str
    physical_name: str
    source_table: str
    is_backfill: bool = False


class FeatureGroupRetired(Payload):
    """A version of a feature group is served no more."""

    source: ClassVar[str] = "steward.data"
    group: str
    version: int
    by: str


class FeaturesMaterialised(Payload):
    """The rows of a delivery are in a feature group version: Parquet first, then online."""

    source: ClassVar[str] = "steward.data"
    group: str
    version: int
    delivery_id: str
    rows: int
    online_rows: int
    files: list[str]
    newest_event_time: str | None = None


class FeatureMaterialisationFailed(Payload):
    """The rows of a delivery could not be brought into a feature group version."""

    source: ClassVar[str] = "steward.data"
    group: str
    version: int
    delivery_id: str
    error: Told
    cause: Told
    execution_arn: str


class FeatureRecordReceived(Payload):
    """One row of a feature group's source, streamed by an event instead of a file.

    Attributes:
        row: Values by column of the source, as JSON.
    """

    source: ClassVar[str] = "steward.data"
    group: str
    row: dict[str, Any]
