"""What a delivery's rows of a feature group look like: counts, ranges and ages by feature."""

# ruff: noqa: S608 - names go through identifier()

from __future__ import annotations

from typing import Any

from steward.domain.feature_groups import FeatureGroup
from steward.domain.feature_records import iso
from steward.domain.feature_transforms import DELETED, EVENT_TIME, KNOWN_AT, contribution
from steward.domain.workspace import Connection, identifier


def rows_statistics(connection: Connection, group: FeatureGroup, rows: str) -> dict[str, Any]:
    """Return counts of the rows, and for each feature what is known of its values.

    Of a row feature: ``nulls`` among rows that are no tombstones, ``distinct``, for numbers
    ``min``, ``max`` and ``mean``, and ``newest_event_time`` of a row that has a value. Of an
    aggregate the same of what its rows add to windows.
    """
    keys = ", ".join(identifier(key) for key in group.keys)
    counted = connection.execute(
        f"SELECT count(*), count(*) FILTER ({DELETED}), count(DISTINCT ({keys})),"
        f" epoch_ms(max({EVENT_TIME})), epoch_ms(min({EVENT_TIME})), epoch_ms(max({KNOWN_AT}))"
        f" FROM {rows}"
    ).fetchone()
    assert counted is not None
    total, tombstones, entities, newest, oldest, known = counted
    columns: list[tuple[str, str, str]] = [
        (found.name, found.type, identifier(found.name)) for found in group.features
    ]
    columns += [
        (found.name, "float", identifier(contribution(found))) for found in group.aggregates
    ]
    return {
        "rows": int(total),
        "tombstones": int(tombstones),
        "entities": int(entities),
        "newest_event_time": _iso(newest),
        "oldest_event_time": _iso(oldest),
        "newest_known_at": _iso(known),
        "features": {
            name: _feature(connection, rows, type_, column) for name, type_, column in columns
        },
    }


def _feature(connection: Connection, rows: str, type_: str, column: str) -> dict[str, Any]:
    # favg sums with compensation, so that its last digits do not depend on the threads.
    numbers = (
        f", min({column})::DOUBLE, max({column})::DOUBLE, favg({column}::DOUBLE)"
        if type_ in ("integer", "float")
        else ""
    )
    found = connection.execute(
        f"SELECT count(*), count({column}), count(DISTINCT {column}),"
        f" epoch_ms(max({EVENT_TIME}) FILTER ({column} IS NOT NULL)){numbers}"
        f" FROM {rows} WHERE NOT {DELETED}"
    ).fetchone()
    assert found is not None
    total, present, distinct, newest, *ranges = found
    described = {
        "type": type_, "nulls": int(total) - int(present), "distinct": int(distinct),
        "null_share": round(1 - present / total, 6) if total else 0.0,
        "newest_event_time": _iso(newest),
    }  # fmt: skip
    return {**described, **dict(zip(("min", "max", "mean"), ranges, strict=False))}


def _iso(milliseconds: int | None) -> str | None:
    return None if milliseconds is None else iso(int(milliseconds))
