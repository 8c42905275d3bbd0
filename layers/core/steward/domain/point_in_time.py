"""The bitemporal point-in-time join on DuckDB: keys first, then gather.

Only keys and times are read to find the one record of each spine row; the features of just
those records are read after that. With ``a = max(event_time, known_at)``, when a record became
available, the two conditions on a record are the one condition ``a <= t``, once what was known
after the cutoff is left out. Per key, in order of ``a``, a record that does not beat all records
before it is never the answer to anything. What remains rises in both, so that an ASOF join on
``a`` finds the answer: the cost is that of sorting, however many records a key has.
"""

# ruff: noqa: S608 - names and values go through identifier() and literal()

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from steward.domain.errors import InvalidProjectError
from steward.domain.feature_views import FeatureView, Spine, Window
from steward.domain.workspace import Connection, identifier, literal


@dataclass(frozen=True)
class ViewReport:
    """How the spine rows fared with one view; the four first counts add up to all of them.

    Attributes:
        found: A record counts.
        missing: No record was known.
        deleted: A tombstone won.
        expired: The record was older than the TTL.
        later_knowledge: A join by event time alone gives a value that was not known.
        null_by_known_at: Of ``missing`` those that have a record by event time alone.
    """

    view: str
    found: int
    missing: int
    deleted: int
    expired: int
    later_knowledge: int | None = None
    null_by_known_at: int | None = None


@dataclass(frozen=True)
class JoinReport:
    """What a join did.

    Attributes:
        rows_with_later_knowledge: Spine rows that a join by event time alone would have given a
            value, of any view, that was not known at their prediction time; None where it was
            not asked for.
    """

    rows: int
    views: tuple[ViewReport, ...]
    rows_with_later_knowledge: int | None = None


def parquet_view(paths: list[str]) -> tuple[str, str]:
    """Return ``relation`` and ``row_id`` of a :class:`FeatureView` over Parquet files."""
    listed = ", ".join(literal(path) for path in paths)
    return f"read_parquet([{listed}])", "(v.file_index::BIGINT << 40) | v.file_row_number"


def point_in_time_join(
    connection: Connection,
    spine: Spine,
    views: list[FeatureView],
    cutoff: datetime,
    *,
    event_time_only: bool = False,
    report_later_knowledge: bool = True,
    into: str = "joined",
) -> JoinReport:
    """Create the temporary table ``into``: the spine's ``row`` and every view's columns.

    Args:
        cutoff: Knowledge cutoff, aware.
        event_time_only: Ignore known-at and cutoff. Values leak from the future; the report
            counts the rows that leaked.

    Raises:
        InvalidProjectError: A key of a view is of another type than the spine's column, or a
            column is missing.
    """
    at = Moment(cutoff, event_time_only)
    reports = []
    leaking = []
    for number, view in enumerate(views):
        _check_keys(connection, spine, view)
        _number_entities(connection, spine, view, number)
        _pick(connection, view, number, at, f"picked_{number}")
        if view.aggregates:
            _aggregate(connection, view, number, at)
        if report_later_knowledge:
            _later_knowledge(connection, view, number, cutoff)
            leaking.append(f"later_{number}")
        reports.append(_view_report(connection, view, number, report_later_knowledge))
    _gather(connection, spine, views, into)
    leaked = None
    if report_later_knowledge:
        leaked = 0
        if leaking:
            union = " UNION ".join(f"SELECT row_ FROM {name} WHERE leaks_" for name in leaking)
            leaked = _one(connection, f"SELECT count(*) FROM ({union})")
    rows = _one(connection, f"SELECT count(*) FROM {identifier(into)}")
    for number in range(len(views)):
        for table in ("picked", "windows", "later", "entities", "moments"):
            connection.execute(f"DROP TABLE IF EXISTS {table}_{number}")
    return JoinReport(rows, tuple(reports), leaked)


@dataclass(frozen=True)
class Moment:
    """Which records count by what was known.

    Attributes:
        cutoff: Nothing that was known later counts.
        event_time_only: What was known does not matter.
    """

    cutoff: datetime
    event_time_only: bool

    def known(self, known_at: str) -> str:
        """Return SQL that a record was known at the cutoff."""
        return "true" if self.event_time_only else f"{known_at} <= {self.sql}"

    def available(self, event_time: str, known_at: str) -> str:
        """Return SQL for when a record became available."""
        return event_time if self.event_time_only else f"greatest({event_time}, {known_at})"

    def limit(self, moment: str) -> str:
        """Return SQL for when a record must have been known at the latest."""
        return f"least({moment}, {self.sql})"

    @property
    def sql(self) -> str:
        """The cutoff as SQL, in UTC."""
        text = self.cutoff.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")
        return f"TIMESTAMP {literal(text)}"


def _one(connection: Connection, query: str) -> int:
    row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0])


def _types(connection: Connection, relation: str) -> dict[str, str]:
    described = connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()
    return {str(row[0]): str(row[1]) for row in described}


def _check_keys(connection: Connection, spine: Spine, view: FeatureView) -> None:
    of_view = _types(connection, view.relation)
    of_spine = _types(connection, identifier(spine.relation))
    needed = [
        view.event_time, view.known_at, view.deleted, view.digest,
        *(feature.column for feature in view.features),
        *(window.contribution for window in view.aggregates),
    ]  # fmt: skip
    for name in needed:
        if name not in of_view:
            raise InvalidProjectError(
                f"the view {view.name} has no column {name!r}", field=f"features.{view.name}",
                value=name, allowed=", ".join(of_view),
            )  # fmt: skip
    for own, other in view.keys:
        if own not in of_view or other not in of_spine or of_view[own] != of_spine[other]:
            raise InvalidProjectError(
                f"the view {view.name} has the key {own!r} as {of_view.get(own, 'nothing')}, "
                f"the spine has {other!r} as {of_spine.get(other, 'nothing')}",
                field=f"features.{view.name}.keys", value=of_view.get(own, "no such column"),
                allowed=of_spine.get(other, "a column of the spine"),
            )  # fmt: skip


def _number_entities(connection: Connection, spine: Spine, view: FeatureView, number: int) -> None:
    """Create ``entities_<number>`` and ``moments_<number>``: each entity of the spine as a number.

    Sorting and joining by one small integer is what makes the join cheap, whatever the keys are.
    A row without a moment has no entity: the engine's ASOF join sorts null last, and would give
    it the newest record of all.
    """
    keys = [(f"key_{i}_", identifier(other)) for i, (_, other) in enumerate(view.keys)]
    named = ", ".join(f"{other} AS {key}" for key, other in keys)
    filled = " AND ".join(f"{other} IS NOT NULL" for _, other in keys)
    matches = " AND ".join(f"s.{other} = e.{key}" for key, other in keys)
    moment = identifier(spine.prediction_time)
    connection.execute(
        f"""CREATE TEMP TABLE entities_{number} AS
            SELECT *, row_number() OVER ()::INTEGER AS entity_
            FROM (SELECT DISTINCT {named} FROM {identifier(spine.relation)} WHERE {filled})"""
    )
    connection.execute(
        f"""CREATE TEMP TABLE moments_{number} AS
            SELECT s.{identifier(spine.row)} AS row_, s.{moment} AS moment_,
                   CASE WHEN s.{moment} IS NOT NULL THEN e.entity_ END AS entity_
            FROM {identifier(spine.relation)} s LEFT JOIN entities_{number} e ON {matches}"""
    )


def _records(view: FeatureView, number: int) -> str:
    """Return SQL of the view ``v`` with the entities ``e`` of the spine: other keys drop out."""
    matches = " AND ".join(
        f"v.{identifier(column)} = e.key_{i}_" for i, (column, _) in enumerate(view.keys)
    )
    return f"{view.relation} v JOIN entities_{number} e ON {matches}"


def _timeline(view: FeatureView, number: int, at: Moment, *, tied: bool = False) -> str:
    """Return SQL of the records that are ever the answer, one per entity and moment.

    Args:
        tied: Only for the entities of ``tied``, and what is equal in all times is ordered by
            digest. Otherwise ``tied_`` tells where that would decide, and no digest is read.
    """
    event, known = (f"v.{identifier(name)}" for name in (view.event_time, view.known_at))
    digest = f", v.{identifier(view.digest)} AS digest_" if tied else ""
    only = "AND e.entity_ IN (SELECT entity_ FROM tied)" if tied else ""
    return f"""
        SELECT entity_, available_, event_, known_, deleted_, id_, tied_
        FROM (
            SELECT *, max(event_) OVER (ordered ROWS UNBOUNDED PRECEDING) AS newest_,
                   lead(available_) OVER ordered AS next_,
                   lag(event_) OVER ordered = event_ AND lag(known_) OVER ordered = known_
                       AS tied_
            FROM (
                SELECT e.entity_, {event} AS event_, {known} AS known_,
                       coalesce(v.{identifier(view.deleted)}, false) AS deleted_{digest},
                       {at.available(event, known)} AS available_, {view.row_id} AS id_
                FROM {_records(view, number)}
                WHERE {event} IS NOT NULL AND {known} IS NOT NULL AND {at.known(known)}
                  AND {event} <= (SELECT max(moment_) FROM moments_{number}) {only}
            )
            WINDOW ordered AS (
                PARTITION BY entity_
                ORDER BY available_, event_, known_, deleted_{", digest_" if tied else ""})
        )
        WHERE event_ = newest_ AND next_ IS DISTINCT FROM available_"""


def _pick(connection: Connection, view: FeatureView, number: int, at: Moment, into: str) -> None:
    """Create a table with each spine row's record: ``row_``, ``id_``, ``state_``."""

    def select(tied: bool = False) -> str:
        expired = f"r.event_ < m.moment_ - to_seconds({int(view.ttl_s)})" if view.ttl_s else "false"
        moments = f"moments_{number}"
        if tied:
            moments = f"(SELECT * FROM {moments} WHERE row_ IN (SELECT row_ FROM tied))"
        return f"""
            SELECT m.row_, r.id_, r.event_, r.known_,
                   CASE WHEN r.id_ IS NULL THEN 'missing' WHEN r.deleted_ THEN 'deleted'
                        WHEN {expired} THEN 'expired' ELSE 'found' END AS state_,
                   coalesce(r.tied_, false) AS tied_, m.entity_
            FROM {moments} m
            ASOF LEFT JOIN ({_timeline(view, number, at, tied=tied)}) r
              ON m.entity_ = r.entity_ AND m.moment_ >= r.available_"""

    connection.execute(f"CREATE TEMP TABLE {into} AS {select()}")
    if _one(connection, f"SELECT count(*) FROM {into} WHERE tied_"):
        connection.execute(
            f"CREATE TEMP TABLE tied AS SELECT row_, entity_ FROM {into} WHERE tied_"
        )
        connection.execute(f"DELETE FROM {into} WHERE tied_")
        connection.execute(f"INSERT INTO {into} {select(tied=True)}")
        connection.execute("DROP TABLE tied")


def window_sql(window: Window, contribution: str, counts: str) -> str:
    """Return SQL of a window's value over the records of a group.

    Contributions are BIGINT or DECIMAL(38, 9): sums are exact whatever the order.

    Args:
        contribution: SQL of what a record contributes.
        counts: SQL that tells whether a record lies in the window.
    """
    within = f"FILTER (WHERE {counts})"
    if window.function == "count":
        return f"count({contribution}) {within}"
    if window.function == "mean":
        total = f"CAST(sum({contribution}) {within} AS DOUBLE)"
        return f"{total} / nullif(count({contribution}) {within}, 0)"
    plain = "BIGINT" if window.of_type == "integer" else "DOUBLE"
    return f"TRY_CAST({window.function}({contribution}) {within} AS {plain})"


def _in_window(view: FeatureView, number: int, window_s: int) -> str:
    """Return SQL of the records ``v`` with an event time in the windows of the moments ``m``."""
    event = f"v.{identifier(view.event_time)}"
    return (
        f"{_records(view, number)} JOIN moments_{number} m ON m.entity_ = e.entity_"
        f" AND {event} > m.moment_ - to_seconds({int(window_s)}) AND {event} <= m.moment_"
    )


def _aggregate(connection: Connection, view: FeatureView, number: int, at: Moment) -> None:
    """Create ``windows_<number>``: the aggregates of the spine rows that have any record."""
    longest = max(window.window_s for window in view.aggregates)
    event, known = f"v.{identifier(view.event_time)}", f"v.{identifier(view.known_at)}"
    deleted = f"coalesce(v.{identifier(view.deleted)}, false)"
    contributions = sorted({window.contribution for window in view.aggregates})
    carried = "".join(f", v.{identifier(column)}" for column in contributions)
    early = f"{known} IS NOT NULL" if at.event_time_only else f"{known} <= {at.limit('m.moment_')}"
    values = []
    for window in view.aggregates:
        counts = (
            f"event_ > moment_ - to_seconds({int(window.window_s)}) AND NOT deleted_"
            " AND (erased_ IS NULL OR event_ > erased_)"
        )
        value = window_sql(window, identifier(window.contribution), counts)
        values.append(f"{value} AS {identifier(window.name)}")
    connection.execute(
        f"""CREATE TEMP TABLE windows_{number} AS
            SELECT row_, {", ".join(values)}
            FROM (
                SELECT m.row_, m.moment_, {event} AS event_, {deleted} AS deleted_{carried},
                       max({event}) FILTER (WHERE {deleted}) OVER (PARTITION BY m.row_) AS erased_
                FROM {_in_window(view, number, longest)}
                WHERE {early}
                QUALIFY row_number() OVER (
                    PARTITION BY m.row_, {event}
                    ORDER BY {known} DESC, {deleted} DESC, v.{identifier(view.digest)} DESC) = 1
            )
            GROUP BY row_"""
    )


def _later_knowledge(
    connection: Connection, view: FeatureView, number: int, cutoff: datetime
) -> None:
    """Create ``later_<number>``: what a join by event time alone finds, and where it leaks."""
    _pick(connection, view, number, Moment(cutoff, True), "by_event_time")
    limit = Moment(cutoff, False).limit("m.moment_")
    inside = ""
    if view.aggregates:
        longest = max(window.window_s for window in view.aggregates)
        inside = (
            f"OR p.row_ IN (SELECT m.row_ FROM {_in_window(view, number, longest)}"
            f" WHERE v.{identifier(view.known_at)} > {limit}"
            f" AND NOT coalesce(v.{identifier(view.deleted)}, false))"
        )
    connection.execute(
        f"""CREATE TEMP TABLE later_{number} AS
            SELECT p.row_, p.state_ = 'found' AS exists_,
                   p.state_ = 'found' AND (p.known_ > {limit} {inside}) AS leaks_
            FROM by_event_time p JOIN moments_{number} m USING (row_)"""
    )
    connection.execute("DROP TABLE by_event_time")


def _view_report(connection: Connection, view: FeatureView, number: int, later: bool) -> ViewReport:
    states = dict(
        connection.execute(
            f"SELECT state_, count(*) FROM picked_{number} GROUP BY state_"
        ).fetchall()
    )
    leaks = nulls = None
    if later:
        leaks = _one(connection, f"SELECT count(*) FROM later_{number} WHERE leaks_")
        nulls = _one(
            connection,
            f"SELECT count(*) FROM later_{number} l JOIN picked_{number} p USING (row_)"
            " WHERE l.exists_ AND p.state_ = 'missing'",
        )
    return ViewReport(
        view.name, states.get("found", 0), states.get("missing", 0), states.get("deleted", 0),
        states.get("expired", 0), leaks, nulls,
    )  # fmt: skip


def _gather(connection: Connection, spine: Spine, views: list[FeatureView], into: str) -> None:
    """Read the features of the picked records and put the views side by side."""
    columns = [f"s.{identifier(spine.row)} AS row_"]
    joins = []
    for number, view in enumerate(views):
        if view.features:
            features = ", ".join(f"v.{identifier(f.column)}" for f in view.features)
            joins.append(
                f"LEFT JOIN (SELECT p.row_, {features} FROM {view.relation} v"
                f" JOIN (SELECT row_, id_ FROM picked_{number} WHERE state_ = 'found') p"
                f" ON {view.row_id} = p.id_) f{number}"
                f" ON f{number}.row_ = s.{identifier(spine.row)}"
            )
            columns += [
                f"f{number}.{identifier(f.column)} AS {identifier(f.name)}" for f in view.features
            ]
        if view.aggregates:
            joins.append(
                f"LEFT JOIN picked_{number} p{number} ON p{number}.row_ = s.{identifier(spine.row)}"
                f" LEFT JOIN windows_{number} w{number}"
                f" ON w{number}.row_ = s.{identifier(spine.row)}"
            )
            for window in view.aggregates:
                value = f"w{number}.{identifier(window.name)}"
                if window.function == "count":
                    value = f"coalesce({value}, 0)"
                columns.append(
                    f"CASE WHEN p{number}.state_ = 'found' THEN {value} END"
                    f" AS {identifier(window.name)}"
                )
    connection.execute(
        f"CREATE TEMP TABLE {identifier(into)} AS SELECT {', '.join(columns)}"
        f" FROM {identifier(spine.relation)} s {' '.join(joins)}"
    )


__all__ = [
    "JoinReport", "Moment", "ViewReport", "parquet_view", "point_in_time_join",
    "window_sql",
]  # fmt: skip
