"""Windows and on-demand features of single requests, by the SQL that batches run too."""

# ruff: noqa: S608 - names and values go through identifier() and literal()

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

import duckdb

from steward.domain import duckdb_imports
from steward.domain.declaration import ColumnType
from steward.domain.feature_groups import FeatureGroup
from steward.domain.feature_records import OnlineRow, contributions_of
from steward.domain.feature_transforms import (
    TYPES,
    aggregate_sql,
    contribution,
    contribution_type,
    on_demand_sql,
)
from steward.domain.online_values import Value, milliseconds_of
from steward.domain.workspace import Connection, identifier, literal


@dataclass(frozen=True)
class WindowQuery:
    """Aggregates of a group at one moment, rendered once.

    Attributes:
        sql: With the places ``{at}``, ``{moments}`` and ``{contributions}``.
    """

    names: tuple[str, ...]
    sql: str

    @classmethod
    def of(cls, group: FeatureGroup, names: Sequence[str]) -> Self:
        """Return the query for some aggregates of a group, in the order of their declaration."""
        wanted = [found for found in group.aggregates if found.name in names]
        ordered = tuple(found.name for found in wanted)
        values = "".join(
            f", v{n}::{contribution_type(found)} AS {identifier(contribution(found))}"
            for n, found in enumerate(wanted)
        )
        columns = "".join(f", v{n}" for n in range(len(wanted)))
        select = aggregate_sql(group, "moments", "contributions", ordered)
        return cls(
            ordered,
            "WITH moments AS (SELECT row_, make_timestamp({at}) AS at_, at_ AS known_by_"
            " FROM (VALUES {moments}) AS m(row_)), contributions AS (SELECT row_,"
            " make_timestamp(event_us) AS event_time_, make_timestamp(known_us) AS known_at_,"
            f" false AS deleted_, digest_{values}"
            f" FROM (VALUES {{contributions}}) AS c(row_, event_us, known_us, digest_{columns}))"
            f" {select.replace('{', '{{').replace('}', '}}')}",
        )


@dataclass(frozen=True)
class OnDemandQuery:
    """On-demand features of a group, rendered once.

    Attributes:
        columns: What it reads, with types: features of the group and inputs of the request.
        sql: With the place ``{rows}``.
    """

    names: tuple[str, ...]
    columns: tuple[tuple[str, ColumnType], ...]
    sql: str

    @classmethod
    def of(
        cls, group: FeatureGroup, names: Sequence[str], inputs: Mapping[str, ColumnType]
    ) -> Self:
        """Return the query for some on-demand features of a group.

        Args:
            inputs: Types of the columns of the request.
        """
        wanted = [found for found in group.on_demand if found.name in names]
        types: dict[str, ColumnType] = {
            **{feature.name: feature.type for feature in group.features},
            **{aggregate.name: aggregate.type for aggregate in group.aggregates},
            **inputs,
        }
        read = dict.fromkeys(name for found in wanted for name in found.parsed.columns)
        columns = tuple((name, types[name]) for name in read)
        listed = "".join(
            f", {_cast(f'v{n}', type_)} AS {identifier(name)}"
            for n, (name, type_) in enumerate(columns)
        )
        places = "".join(f", v{n}" for n in range(len(columns)))
        ordered = tuple(found.name for found in wanted)
        select = on_demand_sql(group, "given", ordered)
        return cls(
            ordered,
            columns,
            f"WITH given AS (SELECT row_{listed} FROM (VALUES {{rows}}) AS r(row_{places}))"
            f" {select.replace('{', '{{').replace('}', '}}')}",
        )


def _cast(name: str, type_: ColumnType) -> str:
    return f"make_timestamp({name}::BIGINT)" if type_ == "timestamp" else f"{name}::{TYPES[type_]}"


class OnlineEngine:
    """One DuckDB in memory for the life of a process, for the few rows of a request.

    Args:
        memory_mb: Bound of its buffers.
    """

    def __init__(self, memory_mb: int = 256) -> None:
        duckdb_imports.answer_at_once()
        self._connection: Connection = duckdb.connect(
            ":memory:",
            config={
                "memory_limit": f"{memory_mb}MB",
                "threads": 1,
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
                "enable_external_access": False,
                "lock_configuration": True,
            },
        )
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    def windows(
        self, query: WindowQuery, at: datetime, entities: Sequence[OnlineRow]
    ) -> list[dict[str, Value]]:
        """Return the aggregates of each entity as of ``at``."""
        rows = [
            f"({number}, {event * 1000}, {known * 1000}, {literal(digest)}"
            f"{''.join(', ' + _literal(values.get(name)) for name in query.names)})"
            for number, entity in enumerate(entities)
            for event, known, digest, values in contributions_of(entity)
        ]
        sql = query.sql.format(
            at=_micros(at),
            moments=", ".join(f"({number})" for number in range(len(entities))),
            contributions=", ".join(rows)
            or f"(NULL, NULL, NULL, NULL{', NULL' * len(query.names)})",
        )
        return self._run(sql, query.names, len(entities))

    def on_demand(
        self, query: OnDemandQuery, rows: Sequence[Mapping[str, Value]]
    ) -> list[dict[str, Value]]:
        """Return the on-demand features of rows of typed values by name."""
        listed = (
            f"({number}{''.join(', ' + _literal(row[name]) for name, _ in query.columns)})"
            for number, row in enumerate(rows)
        )
        return self._run(query.sql.format(rows=", ".join(listed)), query.names, len(rows))

    def _run(self, sql: str, names: tuple[str, ...], count: int) -> list[dict[str, Value]]:
        with self._lock:
            found = self._connection.execute(sql).fetchall()
        by_row = {row: dict(zip(names, map(_aware, values), strict=True)) for row, *values in found}
        return [by_row[row] for row in range(count)]


def _micros(at: datetime) -> int:
    return milliseconds_of(at) * 1000


def _literal(value: Value) -> str:
    """Return a value as text for a cast, so that numbers come through as they are.

    A list of rows as literals is planned in a tenth of the time of list parameters.
    """
    if value is None:
        return "NULL"
    return literal(str(_micros(value)) if isinstance(value, datetime) else str(value))


def _aware(value: Any) -> Value:
    found: Value = value.replace(tzinfo=UTC) if isinstance(value, datetime) else value
    return found
