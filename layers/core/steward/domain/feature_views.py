"""A model's view of a feature group at the moment of a prediction, for every engine alike.

The semantics that each engine renders, see :mod:`steward.domain.point_in_time` (DuckDB) and
:mod:`steward.domain.athena_sql` (Athena). For a spine row with prediction time ``t`` and a
dataset with knowledge cutoff ``c``:

* A record counts when ``event_time <= t`` and ``known_at <= min(t, c)``. A record without key,
  event time or known-at never counts.
* The newest event time wins; of one event time the newest known-at, then a tombstone, then the
  greatest digest.
* A tombstone that wins gives null. Otherwise a record older than ``t - ttl`` gives null; a record
  of exactly that age counts. A TTL of 0 is without end.
* An aggregate is null where the winning record gives null. Otherwise its window is
  ``(t - window, t]``: of records with one event time the winner by the order above; what lies at
  or before the event time of a known tombstone is gone for good. ``count`` of an empty window is
  0, the others are null.
* Every spine row gives exactly one row, duplicates too; what is missing is null.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from steward.domain.feature_groups import Aggregate


@dataclass(frozen=True)
class Selected:
    """A feature of a view and its column in the result.

    Attributes:
        column: Column of the relation.
        name: Column of the result.
    """

    column: str
    name: str


@dataclass(frozen=True)
class Window:
    """An aggregate of a view and its column in the result.

    Attributes:
        contribution: Column of the relation with what each record contributes, BIGINT or
            DECIMAL(38, 9).
        name: Column of the result.
    """

    function: Literal["count", "sum", "mean", "min", "max"]
    contribution: str
    of_type: Literal["integer", "float"]
    window_s: int
    name: str


def window_of(aggregate: Aggregate, name: str) -> Window:
    """Return a declared aggregate as a window over the group's Parquet."""
    contribution = f"of_{aggregate.name}"
    return Window(aggregate.function, contribution, aggregate.of_type, aggregate.window_s, name)


@dataclass(frozen=True)
class FeatureView:
    """What a join reads of a feature group.

    Attributes:
        name: ``<group>/v<version>``, for reports.
        relation: SQL of a relation that can stand after FROM and be aliased.
        keys: Pairs of a column of the relation and the spine's column of the same type.
        ttl_s: How long a record counts after its event time, inclusive; 0 is without end.
        row_id: SQL over the relation, called ``v``, for a BIGINT that tells its rows apart (DuckDB
            only).
    """

    name: str
    relation: str
    keys: tuple[tuple[str, str], ...]
    features: tuple[Selected, ...] = ()
    aggregates: tuple[Window, ...] = ()
    ttl_s: int = 0
    event_time: str = "event_time_"
    known_at: str = "known_at_"
    deleted: str = "deleted_"
    digest: str = "digest_"
    row_id: str = "v.rowid"


@dataclass(frozen=True)
class Spine:
    """For whom and when features are asked.

    Attributes:
        relation: Name of a table.
        row: Column with a number that no two rows share.
        prediction_time: Column of TIMESTAMP in UTC.
    """

    relation: str
    row: str = "row_"
    prediction_time: str = "prediction_time"
