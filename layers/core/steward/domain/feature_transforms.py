"""The one transformation of a feature group, as SQL that batch and online paths both run.

Everything is decided by the rows alone: no clock, no chance, no order of arrival. Floats are
never summed as such; times are UTC with milliseconds.

The rules, the same offline and online:

* A row without a key, an event time or a known-at, and one whose event time lies more than
  :data:`FUTURE_S` after the delivery was received, is left out and counted. ``where`` leaves out
  rows that are no part of the group.
* A row was known at its ``known_at``, at the latest when it was received.
* An expression that fails for a row, or gives what its type cannot hold (NaN and infinity too),
  is null for that row.
* A tombstone carries no values.
* Of rows with one key, event time and known-at one is kept: a tombstone before others, then the
  greatest digest.
"""

# ruff: noqa: S608 - names and values go through identifier() and literal(), expressions are parsed

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import duckdb

from steward.domain.declaration import ColumnType
from steward.domain.errors import InvalidProjectError
from steward.domain.expressions import Parsed
from steward.domain.feature_groups import Aggregate, Backfill, FeatureGroup
from steward.domain.project import Project
from steward.domain.tables import Data, Table
from steward.domain.workspace import Connection, identifier, literal

FUTURE_S = 300
"""How far the clock of a source may be ahead of ours."""

SHARDS = 64
"""Keys are dealt to this many shards for good; a shard is written by one worker at a time."""

TYPES: dict[ColumnType, str] = {
    "string": "VARCHAR", "integer": "BIGINT", "float": "DOUBLE", "boolean": "BOOLEAN",
    "timestamp": "TIMESTAMP",
}  # fmt: skip
DECIMAL = "DECIMAL(38,9)"
_LARGEST = "100000000000000000000"
"""Contributions of 1e20 and more are null, so that no sum of 1e9 of them leaves the DECIMAL."""

EVENT_TIME, KNOWN_AT, DELETED, DIGEST = "event_time_", "known_at_", "deleted_", "digest_"


def contribution(aggregate: Aggregate) -> str:
    """Return the column of the Parquet that holds what rows add to an aggregate."""
    return f"of_{aggregate.name}"


def contribution_type(aggregate: Aggregate) -> str:
    """Return the SQL type of :func:`contribution`: exact, so that sums have no order."""
    exact = aggregate.function == "count" or aggregate.of_type == "integer"
    return "BIGINT" if exact else DECIMAL


def parquet_columns(group: FeatureGroup, table: Table) -> list[tuple[str, str]]:
    """Return names and SQL types of the group's own Parquet, in order."""
    keys = []
    for name in group.keys:
        column = table.column(name)
        assert column is not None
        keys.append((name, TYPES[column.type]))
    return [
        *keys,
        (EVENT_TIME, "TIMESTAMP"), (KNOWN_AT, "TIMESTAMP"), (DELETED, "BOOLEAN"),
        (DIGEST, "VARCHAR"),
        *((feature.name, TYPES[feature.type]) for feature in group.features),
        *((contribution(found), contribution_type(found)) for found in group.aggregates),
    ]  # fmt: skip


def rows_sql(group: FeatureGroup, relation: str, *, received_at: datetime) -> str:
    """Return the SELECT that makes the group's rows of a relation of its source.

    Args:
        group: Checked against its source.
        relation: Name of a table or view, or a query in parentheses, with the source's typed
            columns.
        received_at: When the rows were received, aware.

    Returns:
        SQL for the columns of :func:`parquet_columns`, without duplicates, in no order.
    """
    values = [
        (feature.name, _typed(feature.parsed.sql("s"), feature.type)) for feature in group.features
    ]
    values += [(contribution(found), _contribution(found)) for found in group.aggregates]
    alive = f"NOT {_deleted(group)}"
    inner = ", ".join(
        [
            *(f"s.{identifier(key)} AS {identifier(key)}" for key in group.keys),
            f"{_event_time(group)} AS {EVENT_TIME}",
            f"least({_known_at(group)}, {_timestamp(received_at)}) AS {KNOWN_AT}",
            f"{_deleted(group)} AS {DELETED}",
            *(f"CASE WHEN {alive} THEN {sql} END AS {identifier(name)}" for name, sql in values),
        ]
    )
    keys = ", ".join(f"r.{identifier(key)}" for key in group.keys)
    names = "".join(f", r.{identifier(name)}" for name, _ in values)
    return (
        f"SELECT {keys}, r.{EVENT_TIME}, r.{KNOWN_AT}, r.{DELETED}, {_digest(group)} AS {DIGEST}"
        f"{names} FROM (SELECT {inner} FROM {relation} AS s"
        f" WHERE {_complete(group)} AND {_timely(group, received_at)} AND {_member(group)}) AS r"
        f" QUALIFY row_number() OVER (PARTITION BY {keys}, r.{EVENT_TIME}, r.{KNOWN_AT}"
        f" ORDER BY r.{DELETED} DESC, {DIGEST} DESC) = 1"
    )


def left_out_sql(group: FeatureGroup, relation: str, *, received_at: datetime) -> str:
    """Return the SELECT of one row that counts what :func:`rows_sql` leaves out.

    Its columns: ``source_rows``, ``incomplete_rows``, ``future_rows`` and ``other_rows``, which
    ``where`` leaves out.
    """
    complete, timely = _complete(group), _timely(group, received_at)
    return (
        f"SELECT count(*) AS source_rows,"
        f" count(*) FILTER (WHERE NOT ({complete})) AS incomplete_rows,"
        f" count(*) FILTER (WHERE {complete} AND NOT ({timely})) AS future_rows,"
        f" count(*) FILTER (WHERE {complete} AND {timely} AND NOT ({_member(group)}))"
        f" AS other_rows FROM {relation} AS s"
    )


def aggregate_sql(
    group: FeatureGroup, moments: str, contributions: str, names: Sequence[str] | None = None
) -> str:
    """Return the SELECT of aggregates as of moments: ``row_`` and a column each.

    The same definition reads windows offline and online. A row counts at a moment when its event
    time lies in ``(at_ - window_s, at_]`` and it was known; of rows with one event time the
    latest known counts (then a tombstone, then the greatest digest). What lies at or before the
    event time of a known tombstone is gone for good.

    Args:
        group: Its declaration.
        moments: Relation with ``row_``, ``at_`` and ``known_by_``: the moment, and until when
            something may have been known. One row comes out for each row of it.
        contributions: Relation with ``row_``, ``event_time_``, ``known_at_``, ``deleted_``,
            ``digest_`` and the columns ``of_<aggregate>``: rows of the moment's key. Rows older
            than the longest window may be left out.
        names: Aggregates; all by default.
    """
    wanted = [found for found in group.aggregates if names is None or found.name in names]
    values = "".join(f", {_value(found)} AS {identifier(found.name)}" for found in wanted)
    # Tombstones are looked for among all known rows, so before QUALIFY takes any of them away.
    return (
        f"SELECT m.row_{values} FROM {moments} AS m LEFT JOIN ("
        f"SELECT c.*, max(c.{EVENT_TIME}) FILTER (WHERE c.{DELETED})"
        f" OVER (PARTITION BY c.row_) AS erased_"
        f" FROM {contributions} AS c JOIN {moments} AS k ON c.row_ = k.row_"
        f" AND c.{EVENT_TIME} <= k.at_ AND c.{KNOWN_AT} <= k.known_by_"
        f" QUALIFY row_number() OVER (PARTITION BY c.row_, c.{EVENT_TIME}"
        f" ORDER BY c.{KNOWN_AT} DESC, c.{DELETED} DESC, c.{DIGEST} DESC) = 1) AS c"
        f" ON c.row_ = m.row_ AND NOT c.{DELETED}"
        f" AND (c.erased_ IS NULL OR c.{EVENT_TIME} > c.erased_)"
        f" GROUP BY m.row_"
    )


def on_demand_sql(
    group: FeatureGroup, relation: str, names: Sequence[str] | None = None
) -> str:  # fmt: skip
    """Return the SELECT of on-demand features: ``row_`` and a column each.

    Args:
        group: Its declaration.
        relation: Relation with ``row_``, the group's row features and aggregates under their own
            names, and the inputs of the request, typed.
        names: On-demand features; all by default.
    """
    wanted = [found for found in group.on_demand if names is None or found.name in names]
    values = "".join(
        f", {_typed(found.parsed.sql('s'), found.type)} AS {identifier(found.name)}"
        for found in wanted
    )
    return f"SELECT s.row_{values} FROM {relation} AS s"


def shard_sql(group: FeatureGroup) -> str:
    """Return SQL for the shard of a row's key, 0 to :data:`SHARDS` - 1; the same for good."""
    text = " || ".join(
        f"strlen({identifier(key)}::VARCHAR) || ':' || {identifier(key)}::VARCHAR"
        for key in group.keys
    )
    return f"(('0x' || substr(sha256({text}), 1, 4))::UBIGINT % {SHARDS})::INTEGER"


def check_expressions(connection: Connection, project: Project) -> None:
    """Let the engine bind every expression of the project's feature groups to its columns.

    The grammar was checked when the project was parsed; types are only known to the engine.

    Raises:
        InvalidProjectError: With the path of the first expression that does not fit.
    """
    for index, group in enumerate(project.feature_groups):
        table = project.data.table(group.source)
        assert table is not None
        for path, parsed, type_, columns in _expressions(group, table, project.data):
            nulls = ", ".join(f"NULL::{sql} AS {identifier(name)}" for name, sql in columns)
            try:
                connection.execute(
                    f"SELECT CAST({parsed.sql('s')} AS {type_}) FROM (SELECT {nulls}) AS s"
                )
            except duckdb.Error as error:
                reason = str(error).strip().splitlines()[0][:300]
                raise InvalidProjectError(
                    f"{path} of {group.feature_group} does not fit its columns: {reason}",
                    field=f"feature_groups[{index}].{path}", value=parsed.text,
                    allowed=f"an expression that can be {type_}",
                ) from None  # fmt: skip


_Columns = list[tuple[str, str]]


def _expressions(
    group: FeatureGroup, table: Table, data: Data
) -> Iterator[tuple[str, Parsed, str, _Columns]]:
    source = [(column.name, TYPES[column.type]) for column in table.columns]
    if group.parsed_where is not None:
        yield "where", group.parsed_where, "BOOLEAN", source
    for index, feature in enumerate(group.features):
        yield f"features[{index}].expression", feature.parsed, TYPES[feature.type], source
    for index, aggregate in enumerate(group.aggregates):
        if aggregate.parsed is not None:
            type_ = "BIGINT" if aggregate.of_type == "integer" else "DOUBLE"
            yield f"aggregates[{index}].of", aggregate.parsed, type_, source
    known = [(found.name, TYPES[found.type]) for found in group.features]
    known += [(found.name, TYPES[found.type]) for found in group.aggregates]
    for index, demanded in enumerate(group.on_demand):
        given = [
            (column.name, TYPES[column.type])
            for column in data.columns
            if column.name in demanded.inputs
        ]
        path = f"on_demand[{index}].expression"
        yield path, demanded.parsed, TYPES[demanded.type], [*known, *given]


def _typed(sql: str, type_: ColumnType) -> str:
    if type_ == "float":
        number = f"TRY(CAST({sql} AS DOUBLE))"
        # Adding zero makes the negative zero the one zero.
        return f"CASE WHEN isfinite({number}) THEN {number} + 0.0::DOUBLE END"
    if type_ == "timestamp":
        return f"date_trunc('millisecond', TRY(CAST({sql} AS TIMESTAMP)))"
    return f"TRY(CAST({sql} AS {TYPES[type_]}))"


def _contribution(aggregate: Aggregate) -> str:
    if aggregate.parsed is None:
        return "1::BIGINT"
    sql = aggregate.parsed.sql("s")
    if aggregate.of_type == "integer":
        return f"TRY(CAST({sql} AS BIGINT))"
    number = f"TRY(CAST({sql} AS DOUBLE))"
    return f"CASE WHEN abs({number}) < {_LARGEST} THEN TRY(CAST({sql} AS {DECIMAL})) END"


def _value(aggregate: Aggregate) -> str:
    name = f"c.{identifier(contribution(aggregate))}"
    start = f"m.at_ - to_seconds({aggregate.window_s})"
    # at_ is one per row_: an aggregate of it keeps GROUP BY on row_ alone.
    within = f"FILTER (WHERE c.{EVENT_TIME} > {start})"
    if aggregate.function == "count":
        return f"count({name}) {within}"
    if aggregate.function == "mean":
        return f"CAST(sum({name}) {within} AS DOUBLE) / nullif(count({name}) {within}, 0)"
    type_ = "BIGINT" if aggregate.of_type == "integer" else "DOUBLE"
    return f"TRY_CAST({aggregate.function}({name}) {within} AS {type_})"


def _event_time(group: FeatureGroup) -> str:
    return f"date_trunc('millisecond', s.{identifier(group.event_time)})"


def _known_at(group: FeatureGroup) -> str:
    if isinstance(group.known_at, Backfill):
        return f"{_event_time(group)} + to_seconds({group.known_at.backfill_delay_s})"
    column = group.known_at or group.event_time
    return f"date_trunc('millisecond', s.{identifier(column)})"


def _deleted(group: FeatureGroup) -> str:
    return f"coalesce(s.{identifier(group.deleted)}, false)" if group.deleted else "false"


def _complete(group: FeatureGroup) -> str:
    needed = [*(f"s.{identifier(key)}" for key in group.keys), _event_time(group), _known_at(group)]
    return " AND ".join(f"({part}) IS NOT NULL" for part in needed)


def _timely(group: FeatureGroup, received_at: datetime) -> str:
    return f"{_event_time(group)} <= {_timestamp(received_at)} + to_seconds({FUTURE_S})"


def _member(group: FeatureGroup) -> str:
    parsed = group.parsed_where
    return "true" if parsed is None else f"TRY(CAST({parsed.sql('s')} AS BOOLEAN)) IS TRUE"


def _timestamp(moment: datetime) -> str:
    text = moment.astimezone(UTC).replace(tzinfo=None).isoformat(" ", timespec="milliseconds")
    return f"TIMESTAMP {literal(text)}"


def _digest(group: FeatureGroup) -> str:
    """Digest of the canonical row (:func:`steward.domain.datasets.canonical_row`) but known-at.

    Times are integers, milliseconds since the epoch; exact numbers of a contribution are text.
    """
    pieces = [
        *(_piece(f"r.{identifier(key)}", "s", "{}::VARCHAR") for key in group.keys),
        _piece(f"r.{EVENT_TIME}", "i", "epoch_ms({})::VARCHAR"),
        _piece(f"r.{DELETED}", "b", "{}::VARCHAR"),
    ]
    for feature in group.features:
        kind, text = _CANONICAL[feature.type]
        pieces.append(_piece(f"r.{identifier(feature.name)}", kind, text))
    for found in group.aggregates:
        pieces.append(_piece(f"r.{identifier(contribution(found))}", "s", "{}::VARCHAR"))
    return f"sha256({' || '.join(pieces)})"


_CANONICAL: dict[ColumnType, tuple[str, str]] = {
    "string": ("s", "{}"),
    "integer": ("i", "{}::VARCHAR"),
    "float": ("f", "format('{{:.17g}}', {})"),
    "boolean": ("b", "{}::VARCHAR"),
    "timestamp": ("i", "epoch_ms({})::VARCHAR"),
}


def _piece(name: str, kind: str, text: str) -> str:
    rendered = text.format(name)
    return (
        f"CASE WHEN {name} IS NULL THEN 'n0:'"
        f" ELSE '{kind}' || strlen({rendered}) || ':' || {rendered} END"
    )
