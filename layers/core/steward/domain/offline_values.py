"""What training would have seen at the moments of online reads, out of Steward's own Parquet."""

# ruff: noqa: S608 - names and values go through identifier() and literal()

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from steward.domain.exposures import hashed_entity
from steward.domain.feature_groups import FeatureGroup
from steward.domain.feature_records import entity_text
from steward.domain.feature_views import FeatureView, Selected, Spine, window_of
from steward.domain.online_values import Value
from steward.domain.point_in_time import parquet_view, point_in_time_join
from steward.domain.workspace import Connection, identifier, literal


@dataclass(frozen=True)
class Asked:
    """One moment of one entity.

    Attributes:
        entity: Pseudonym of the record identifier; None where a key was null.
    """

    entity: str | None
    at: datetime


@dataclass(frozen=True)
class OfflineRow:
    """What a group has for one moment.

    Attributes:
        values: Row features and aggregates by name.
        newest: Event time and known-at of the newest row, a tombstone too, that was known.
    """

    values: Mapping[str, Value]
    newest: tuple[datetime, datetime] | None


def offline_rows(
    connection: Connection,
    group: FeatureGroup,
    project: str,
    files: Sequence[Path],
    asked: Sequence[Asked],
) -> list[OfflineRow]:
    """Return the group's features for each moment, by the join that makes training sets.

    Args:
        connection: A workspace of its own.
        files: All Parquet of the group version.
    """
    names = [f.name for f in group.features] + [a.name for a in group.aggregates]
    if not files or not asked:
        return [OfflineRow(dict.fromkeys(names), None) for _ in asked]
    relation, row_id = parquet_view([str(path) for path in files])
    _spine(connection, group, project, relation, asked)
    view = FeatureView(
        name=group.feature_group,
        relation=relation,
        keys=tuple((key, key) for key in group.keys),
        features=tuple(Selected(feature.name, feature.name) for feature in group.features),
        aggregates=tuple(window_of(aggregate, aggregate.name) for aggregate in group.aggregates),
        ttl_s=group.ttl_s,
        row_id=row_id,
    )
    cutoff = max(one.at for one in asked)
    point_in_time_join(
        connection, Spine("spine"), [view], cutoff, report_later_knowledge=False, into="joined"
    )
    columns = "".join(f", j.{identifier(name)}" for name in names)
    matches = " AND ".join(f"v.{identifier(key)} = s.{identifier(key)}" for key in group.keys)
    found = connection.execute(
        f"""SELECT j.row_, n.newest_.at_, n.newest_.known_{columns}
            FROM joined j LEFT JOIN (
                SELECT s.row_,
                       max(struct_pack(at_ := v.event_time_, known_ := v.known_at_)) AS newest_
                FROM spine s JOIN {relation} v ON {matches} AND v.event_time_ <= s.prediction_time
                    AND v.known_at_ <= s.prediction_time
                GROUP BY s.row_) n ON n.row_ = j.row_
            ORDER BY j.row_"""
    ).fetchall()
    return [
        OfflineRow(
            dict(zip(names, map(_aware, values), strict=True)),
            None if event is None else (_aware(event), _aware(known)),
        )
        for _, event, known, *values in found
    ]


def _spine(
    connection: Connection,
    group: FeatureGroup,
    project: str,
    relation: str,
    asked: Sequence[Asked],
) -> None:
    """Create ``spine``: the keys behind the pseudonyms, null where no row has such a key."""
    keys = ", ".join(identifier(key) for key in group.keys)
    wanted = {one.entity for one in asked if one.entity is not None}
    connection.execute("CREATE TEMP TABLE asked (row_ BIGINT, at_ TIMESTAMP, entity_ VARCHAR)")
    connection.execute(
        "INSERT INTO asked VALUES "
        + ", ".join(
            f"({number}, make_timestamp({round(one.at.timestamp() * 1000) * 1000}),"
            f" {literal(one.entity) if one.entity is not None else 'NULL'})"
            for number, one in enumerate(asked)
        )
    )
    connection.execute(
        f"CREATE TEMP TABLE known AS SELECT *, NULL::VARCHAR AS entity_"
        f" FROM (SELECT DISTINCT {keys} FROM {relation})"
    )
    if len(group.keys) == 1:
        # hashed_entity() of entity_text() of one key, in SQL.
        text = f"{literal(f'{project}:')} || {keys}::VARCHAR"
        connection.execute(f"UPDATE known SET entity_ = sha256({text})")
    else:
        _name_composites(connection, group, project, wanted)
    listed = ", ".join(f"k.{identifier(key)} AS {identifier(key)}" for key in group.keys)
    connection.execute(
        f"CREATE TABLE spine AS SELECT a.row_, a.at_ AS prediction_time, {listed}"
        " FROM asked a LEFT JOIN known k ON k.entity_ = a.entity_"
    )


def _name_composites(
    connection: Connection, group: FeatureGroup, project: str, wanted: set[str]
) -> None:
    """Name keys of several columns as JSON does, which has one canonical form in Python alone."""
    keys = ", ".join(identifier(key) for key in group.keys)
    connection.execute("CREATE TEMP TABLE names (rowid_ BIGINT, entity_ VARCHAR)")
    reader = connection.cursor().execute(f"SELECT rowid, {keys} FROM known")
    while rows := reader.fetchmany(10_000):
        for rowid, *values in rows:
            name = hashed_entity(project, entity_text(values))
            if name in wanted:
                connection.execute("INSERT INTO names VALUES (?, ?)", [rowid, name])
    connection.execute("UPDATE known SET entity_ = n.entity_ FROM names n WHERE rowid = n.rowid_")


def _aware(value: Any) -> Any:
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else value
