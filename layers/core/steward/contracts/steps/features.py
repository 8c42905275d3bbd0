"""Reading features online: what ``data/read_features`` is asked and what it answers."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

MAX_ENTITIES = 100


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class WantedGroup(_Strict):
    """A feature group to read.

    Attributes:
        version: The newest active one by default.
        select: Features of it; all by default.
    """

    group: str
    version: int | None = Field(default=None, ge=1)
    select: list[str] | None = Field(default=None, min_length=1)


class ReadFeatures(_Strict):
    """Read features of entities, of named groups or as a model version sees them.

    Attributes:
        version: A model version: its views with the group versions that its run pinned. Then an
            entity is a row of the primary table as far as it is known.
        groups: Or the groups themselves. Then an entity is the keys of the groups.
        entities: A value that is given here for a feature wins over the stored one, also null.
        request: Values for every entity, such as the inputs of on-demand features.
    """

    project: str
    version: int | None = Field(default=None, ge=1)
    groups: list[WantedGroup] = Field(default_factory=list, max_length=20)
    entities: list[dict[str, Any]] = Field(min_length=1, max_length=MAX_ENTITIES)
    request: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.version is None) == (not self.groups):
            raise ValueError("either version or groups is needed")
        return self


class RecordRead(_Strict):
    """What one group had of one entity.

    Attributes:
        entity: The record identifier; None where a key is null.
        found: Whether there is a record; a tombstone is none.
        freshness_s: Age of the record's event time when it was read.
        expired: The age is above the group's TTL: the values are null.
    """

    group: str
    version: int
    entity: str | None
    found: bool
    event_time: str | None = None
    known_at: str | None = None
    freshness_s: float | None = None
    expired: bool = False


class EntityRead(_Strict):
    """The features of one entity.

    Attributes:
        values: All asked features by column, given values among them; timestamps are ISO 8601.
        served: The columns that come from the store or were computed.
    """

    values: dict[str, Any]
    served: list[str]
    records: list[RecordRead]


class FeaturesRead(_Strict):
    """The answer, in the order of the entities.

    Attributes:
        read_at: The moment as of which windows and ages are meant.
        refused: Why the request can never be answered; there are no entities then.
    """

    read_at: str
    entities: list[EntityRead]
    refused: dict[str, Any] | None = None
