"""The bitemporal point-in-time join as Athena runs it, from the same views as on DuckDB.

Athena (Trino) has neither ASOF nor QUALIFY: the records of a spine row are ranked. What a
comparison with DuckDB cannot prove about Athena stands in docs/parity.md.
"""

# ruff: noqa: S608 - names and values go through identifier() and literal()

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from steward.domain.feature_views import FeatureView, Spine, Window
from steward.domain.workspace import identifier, literal

_TYPES = {
    "VARCHAR": "string", "BIGINT": "bigint", "DOUBLE": "double", "BOOLEAN": "boolean",
    "TIMESTAMP": "timestamp", "DECIMAL(38,9)": "decimal(38,9)",
}  # fmt: skip


def table_ddl(table: str, columns: Sequence[tuple[str, str]], location: str) -> str:
    """Return the statement that makes a table of the Parquet below a prefix.

    Args:
        table: ``database.table``, plain names.
        columns: Names and DuckDB types.
        location: ``s3://bucket/prefix/``.
    """
    listed = ", ".join(f"`{name}` {_TYPES[type_]}" for name, type_ in columns)
    return (
        f"CREATE EXTERNAL TABLE IF NOT EXISTS {table} ({listed})"
        f" STORED AS PARQUET LOCATION {literal(location)}"
    )


def unload(query: str, location: str) -> str:
    """Return the statement that writes a query's rows as Parquet below an empty prefix."""
    return (
        f"UNLOAD ({query}) TO {literal(location)} WITH (format = 'PARQUET', compression = 'ZSTD')"
    )


def join_query(
    spine: Spine,
    views: Sequence[FeatureView],
    cutoff: datetime,
    *,
    event_time_only: bool = False,
    with_report: bool = False,
) -> str:
    """Return the query whose rows are those of :func:`~.point_in_time.point_in_time_join`.

    Args:
        spine: Its relation is a table in Athena.
        views: Their relations are tables in Athena; ``row_id`` is not used.
        cutoff: Knowledge cutoff, aware.
        event_time_only: Ignore known-at and cutoff.
        with_report: Give for each view, by number, what a report counts: ``state_<n>`` is found,
            missing, deleted or expired; ``exists_<n>`` and ``leaks_<n>`` tell of a join by event
            time alone whether it gives a value, and one that was not known.
    """
    moment = cutoff.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "milliseconds")
    limit = f"TIMESTAMP {literal(moment)}"
    row, asked = identifier(spine.row), identifier(spine.prediction_time)
    parts = []
    columns = [f"s.{row} AS row_"]
    joins = []
    for number, view in enumerate(views):
        records = _records(spine, view, "" if event_time_only else limit)
        parts.append(f"picked_{number} AS ({_picked(spine, view, records)})")
        joins.append(f"LEFT JOIN picked_{number} AS p{number} ON p{number}.row_ = s.{row}")
        found = f"p{number}.row_ IS NOT NULL AND NOT p{number}.deleted_"
        if view.ttl_s:
            found += f" AND p{number}.event_ >= {_before(f's.{asked}', view.ttl_s)}"
        for feature in view.features:
            value = f"p{number}.{identifier(feature.column)}"
            columns.append(f"CASE WHEN {found} THEN {value} END AS {identifier(feature.name)}")
        if view.aggregates:
            parts.append(f"ranked_{number} AS ({_ranked(spine, view, records)})")
            parts.append(f"windows_{number} AS ({_windows(view, number)})")
            joins.append(f"LEFT JOIN windows_{number} AS w{number} ON w{number}.row_ = s.{row}")
        for window in view.aggregates:
            value = f"w{number}.{identifier(window.name)}"
            if window.function == "count":
                value = f"coalesce({value}, 0)"
            columns.append(f"CASE WHEN {found} THEN {value} END AS {identifier(window.name)}")
        if with_report:
            told, more, places = _report(spine, view, number, limit)
            columns += told
            parts += more
            joins += places
    with_ = f"WITH {', '.join(parts)} " if parts else ""
    return f"{with_}SELECT {', '.join(columns)} FROM {spine.relation} AS s {' '.join(joins)}"


def _before(moment: str, seconds: int) -> str:
    return f"date_add('second', {-int(seconds)}, {moment})"


def _records(spine: Spine, view: FeatureView, limit: str) -> str:
    """Return the spine ``s`` with all records ``r`` of each row that count."""
    event, known = f"r.{identifier(view.event_time)}", f"r.{identifier(view.known_at)}"
    asked = f"s.{identifier(spine.prediction_time)}"
    keys = " AND ".join(f"r.{identifier(a)} = s.{identifier(b)}" for a, b in view.keys)
    early = f"{known} <= least({asked}, {limit})" if limit else f"{known} IS NOT NULL"
    return (
        f"{spine.relation} AS s JOIN {view.relation} AS r"
        f" ON {keys} AND {event} <= {asked} AND {early}"
    )


def _report(
    spine: Spine, view: FeatureView, number: int, limit: str
) -> tuple[list[str], list[str], list[str]]:
    """Return columns, named queries and joins that tell how the rows fared with a view."""
    row, asked = f"s.{identifier(spine.row)}", f"s.{identifier(spine.prediction_time)}"
    by_event = _records(spine, view, "")

    def state(record: str) -> str:
        expired = ""
        if view.ttl_s:
            expired = f" WHEN {record}.event_ < {_before(asked, view.ttl_s)} THEN 'expired'"
        return (
            f"CASE WHEN {record}.row_ IS NULL THEN 'missing'"
            f" WHEN {record}.deleted_ THEN 'deleted'{expired} ELSE 'found' END"
        )

    exists = f"{state(f'l{number}')} = 'found'"
    latest = f"least({asked}, {limit})"
    leaks = f"l{number}.known_ > {latest}"
    parts = [f"later_{number} AS ({_picked(spine, view, by_event)})"]
    joins = [f"LEFT JOIN later_{number} AS l{number} ON l{number}.row_ = {row}"]
    if view.aggregates:
        longest = max(window.window_s for window in view.aggregates)
        inside = (
            f"SELECT DISTINCT {row} AS row_ FROM {by_event}"
            f" AND r.{identifier(view.event_time)} > {_before(asked, longest)}"
            f" AND r.{identifier(view.known_at)} > {latest}"
            f" AND NOT coalesce(r.{identifier(view.deleted)}, false)"
        )
        parts.append(f"inside_{number} AS ({inside})")
        joins.append(f"LEFT JOIN inside_{number} AS i{number} ON i{number}.row_ = {row}")
        leaks = f"({leaks} OR i{number}.row_ IS NOT NULL)"
    columns = [
        f"{state(f'p{number}')} AS state_{number}",
        f"{exists} AS exists_{number}",
        f"coalesce({exists} AND {leaks}, false) AS leaks_{number}",
    ]
    return columns, parts, joins


def _picked(spine: Spine, view: FeatureView, records: str) -> str:
    event, known = f"r.{identifier(view.event_time)}", f"r.{identifier(view.known_at)}"
    deleted = f"coalesce(r.{identifier(view.deleted)}, false)"
    features = "".join(f", r.{identifier(feature.column)}" for feature in view.features)
    names = "".join(f", {identifier(feature.column)}" for feature in view.features)
    return (
        f"SELECT row_, event_, known_, deleted_{names} FROM (SELECT"
        f" s.{identifier(spine.row)} AS row_, {event} AS event_, {known} AS known_,"
        f" {deleted} AS deleted_{features}, row_number() OVER ("
        f"PARTITION BY s.{identifier(spine.row)} ORDER BY {event} DESC, {known} DESC,"
        f" {deleted} DESC, r.{identifier(view.digest)} DESC) AS rank_ FROM {records})"
        " WHERE rank_ = 1"
    )


def _ranked(spine: Spine, view: FeatureView, records: str) -> str:
    event, known = f"r.{identifier(view.event_time)}", f"r.{identifier(view.known_at)}"
    asked = f"s.{identifier(spine.prediction_time)}"
    row = f"s.{identifier(spine.row)}"
    deleted = f"coalesce(r.{identifier(view.deleted)}, false)"
    contributions = sorted({window.contribution for window in view.aggregates})
    carried = "".join(f", r.{identifier(column)}" for column in contributions)
    longest = max(window.window_s for window in view.aggregates)
    return (
        f"SELECT {row} AS row_, {asked} AS moment_, {event} AS event_, {deleted} AS deleted_"
        f"{carried}, max(CASE WHEN {deleted} THEN {event} END) OVER (PARTITION BY {row})"
        f" AS erased_, row_number() OVER (PARTITION BY {row}, {event} ORDER BY {known} DESC,"
        f" {deleted} DESC, r.{identifier(view.digest)} DESC) AS rank_ FROM {records}"
        f" AND {event} > {_before(asked, longest)}"
    )


def _windows(view: FeatureView, number: int) -> str:
    values = "".join(
        f", {_value(window)} AS {identifier(window.name)}" for window in view.aggregates
    )
    return f"SELECT row_{values} FROM ranked_{number} WHERE rank_ = 1 GROUP BY row_"


def _value(window: Window) -> str:
    name = identifier(window.contribution)
    within = (
        f"FILTER (WHERE event_ > {_before('moment_', window.window_s)} AND NOT deleted_"
        " AND (erased_ IS NULL OR event_ > erased_))"
    )
    if window.function == "count":
        return f"count({name}) {within}"
    whole = window.of_type == "integer"
    # A sum of bigint is bigint in Athena and may overflow; a decimal holds it.
    exact = f"CAST({name} AS DECIMAL(38, 0))" if whole else name
    if window.function == "mean":
        return f"CAST(sum({exact}) {within} AS DOUBLE) / NULLIF(count({name}) {within}, 0)"
    plain = "BIGINT" if whole else "DOUBLE"
    return f"TRY_CAST({window.function}({exact}) {within} AS {plain})"
