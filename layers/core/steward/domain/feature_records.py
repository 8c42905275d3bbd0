"""What SageMaker Feature Store's online store holds of an entity: the newest row, and windows.

SageMaker takes a record only where its event time is *later* than that of the one it has. A late
correction has the same event time, and a late row moves a window without being the newest. So the
record's EventTime feature is ``written_at``, which every write raises, and the order of rows is
kept here: by event time, known-at, tombstone, digest, the rule of training sets. A tombstone is a
record without values, so that what is older cannot come back after it.

A record's features, all text for SageMaker:

========================  ==========  ===========================================================
``entity``                String      the record identifier, see :func:`entity_text`
``written_at``            String      the EventTime: later at each write, ISO 8601, milliseconds, Z
``event_time``            String      of the newest row
``known_at``              String      of the newest row
``digest``                String      of the newest row
``deleted``               Integral    1 where the newest row is a tombstone
``erased_until``          String      event time of the latest tombstone ever; left out without one
each row feature          by type     left out where it is null
each aggregate            String      its window: ``[[event_ms, known_ms, digest, value], ...]``
========================  ==========  ===========================================================

Pure: no engine, no clock.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from steward.domain.digests import canonical_json
from steward.domain.errors import FeatureWindowError
from steward.domain.feature_groups import FeatureGroup

IDENTIFIER, EVENT_TIME = "entity", "written_at"
DIGEST_DIGITS = 16
"""Digits of a row's digest that a window keeps, for ties."""

SAGEMAKER_TYPES = {
    "string": "String", "integer": "Integral", "float": "Fractional", "boolean": "Integral",
    "timestamp": "String",
}  # fmt: skip
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Contribution(NamedTuple):
    """What one row adds to a window.

    Attributes:
        value: Text of an exact number; None where the row has no value, which still takes the
            place of an earlier known row of its event time.
    """

    event_ms: int
    known_ms: int
    digest: str
    value: str | None


@dataclass(frozen=True)
class HistoryRow:
    """One row of a group's Parquet as the online path takes it.

    Attributes:
        values: Row features in their order: bool, int, float or str; a timestamp is milliseconds.
        contributions: For each aggregate in its order the text of an exact number.
    """

    event_ms: int
    known_ms: int
    deleted: bool
    digest: str
    values: tuple[Any, ...]
    contributions: tuple[str | None, ...]


@dataclass(frozen=True)
class OnlineRow:
    """What is known of one entity online.

    Attributes:
        values: Row features by name; null ones are None; a timestamp is ISO text.
        windows: Contributions by aggregate, by event time; read with
            :func:`steward.domain.feature_transforms.aggregate_sql`.
        erased_ms: Rows at or before this event time are gone.
        written_ms: When it was written; orders writes, says nothing about the data.
    """

    entity: str
    event_ms: int
    known_ms: int
    deleted: bool
    digest: str
    values: dict[str, Any] = field(default_factory=dict)
    windows: dict[str, tuple[Contribution, ...]] = field(default_factory=dict)
    erased_ms: int | None = None
    written_ms: int = 0

    @property
    def rank(self) -> tuple[int, int, bool, str]:
        """The order of rows: the greatest is the newest."""
        return (self.event_ms, self.known_ms, self.deleted, self.digest)


def entity_text(keys: Sequence[object]) -> str:
    """Return the record identifier: the one key's text, or a canonical JSON array of texts."""
    texts = [str(key) for key in keys]
    return texts[0] if len(texts) == 1 else canonical_json(texts).decode()


def iso(milliseconds: int) -> str:
    """Return a moment as SageMaker takes it: ISO 8601, milliseconds, Z."""
    moment = _EPOCH + timedelta(milliseconds=milliseconds)
    return f"{moment.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


def milliseconds(text: str) -> int:
    """Return the milliseconds since the epoch of :func:`iso`'s text."""
    return (datetime.fromisoformat(text) - _EPOCH) // timedelta(milliseconds=1)


def merge(
    group: FeatureGroup,
    entity: str,
    known: OnlineRow | None,
    rows: Iterable[HistoryRow],
    *,
    now_ms: int,
) -> OnlineRow | None:
    """Return what holds of an entity once ``rows`` have come, None where there is nothing.

    The same whatever the order in which rows come and however often: an older row never replaces
    a newer one, and windows are sets.

    Args:
        group: Its declaration.
        entity: Whose rows these are.
        known: What the online store has.
        rows: Rows of this entity.
        now_ms: No window is read as of a moment before; what is older than it is dropped.

    Raises:
        FeatureWindowError: A window has more rows than it may hold.
    """
    newest, erased = known, known.erased_ms if known else None
    windows = {
        aggregate.name: {c.event_ms: c for c in known.windows.get(aggregate.name, ())}
        if known
        else {}
        for aggregate in group.aggregates
    }
    for row in rows:
        rank = (row.event_ms, row.known_ms, row.deleted, row.digest)
        if newest is None or rank > newest.rank:
            newest = _newest(group, entity, row)
        if row.deleted:
            erased = row.event_ms if erased is None else max(erased, row.event_ms)
            continue
        for aggregate, value in zip(group.aggregates, row.contributions, strict=True):
            window = windows[aggregate.name]
            given = Contribution(row.event_ms, row.known_ms, row.digest[:DIGEST_DIGITS], value)
            before = window.get(row.event_ms)
            if before is None or given[:3] > before[:3]:
                window[row.event_ms] = given
    if newest is None:
        return None
    kept: dict[str, tuple[Contribution, ...]] = {}
    for aggregate in group.aggregates:
        first = now_ms - aggregate.window_s * 1000
        inside = [
            window
            for window in windows[aggregate.name].values()
            if window.event_ms > first and (erased is None or window.event_ms > erased)
        ]
        if len(inside) > aggregate.max_rows:
            raise FeatureWindowError(
                f"{group.feature_group}.{aggregate.name}: the window of an entity has "
                f"{len(inside)} rows",
                field="aggregates.max_rows", value=len(inside),
                allowed=f"at most {aggregate.max_rows}, as declared, 5000 at most",
            )  # fmt: skip
        if inside:
            kept[aggregate.name] = tuple(sorted(inside))
    return replace(
        newest, windows=kept, erased_ms=erased, written_ms=known.written_ms if known else 0
    )


def _newest(group: FeatureGroup, entity: str, row: HistoryRow) -> OnlineRow:
    values: dict[str, Any] = {}
    for feature, value in zip(group.features, row.values, strict=True):
        moment = feature.type == "timestamp" and value is not None
        values[feature.name] = iso(value) if moment else value
    if row.deleted:
        values = {}
    return OnlineRow(entity, row.event_ms, row.known_ms, row.deleted, row.digest, values)


def same(known: OnlineRow | None, merged: OnlineRow) -> bool:
    """Return whether nothing needs to be written, however often a value was null or left out."""
    if known is None:
        return False
    plain = [
        replace(row, written_ms=0, values={k: v for k, v in row.values.items() if v is not None})
        for row in (known, merged)
    ]
    return plain[0] == plain[1]


def to_record(group: FeatureGroup, row: OnlineRow, *, now_ms: int) -> dict[str, str]:
    """Return the record to put: feature name and text."""
    written = max(now_ms, row.written_ms + 1)
    record = {
        IDENTIFIER: row.entity,
        EVENT_TIME: iso(written),
        "event_time": iso(row.event_ms),
        "known_at": iso(row.known_ms),
        "digest": row.digest,
        "deleted": "1" if row.deleted else "0",
    }
    if row.erased_ms is not None:
        record["erased_until"] = iso(row.erased_ms)
    for feature in group.features:
        value = row.values.get(feature.name)
        if value is not None:
            record[feature.name] = _text(value)
    for name, window in row.windows.items():
        record[name] = canonical_json([list(given) for given in window]).decode()
    return record


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    return repr(value) if isinstance(value, float) else str(value)


def from_record(group: FeatureGroup, record: Mapping[str, str]) -> OnlineRow:
    """Return what a record of the group's feature group says."""
    values: dict[str, Any] = {}
    for feature in group.features:
        text = record.get(feature.name)
        if text is None:
            values[feature.name] = None
        elif feature.type == "integer":
            values[feature.name] = int(text)
        elif feature.type == "float":
            values[feature.name] = float(text)
        elif feature.type == "boolean":
            values[feature.name] = text == "1"
        else:
            values[feature.name] = text
    windows = {
        aggregate.name: tuple(Contribution(*given) for given in json.loads(record[aggregate.name]))
        for aggregate in group.aggregates
        if aggregate.name in record
    }
    erased = record.get("erased_until")
    return OnlineRow(
        entity=record[IDENTIFIER],
        event_ms=milliseconds(record["event_time"]),
        known_ms=milliseconds(record["known_at"]),
        deleted=record.get("deleted") == "1",
        digest=record["digest"],
        values={} if record.get("deleted") == "1" else values,
        windows=windows,
        erased_ms=milliseconds(erased) if erased else None,
        written_ms=milliseconds(record[EVENT_TIME]),
    )


def contributions_of(row: OnlineRow) -> list[tuple[int, int, str, dict[str, str | None]]]:
    """Return the rows of an entity's windows as one relation: times, digest, values by aggregate.

    They are the input of :func:`steward.domain.feature_transforms.aggregate_sql`: each is no
    tombstone, and what tombstones ended is not among them.
    """
    rows: dict[int, tuple[int, int, str, dict[str, str | None]]] = {}
    for name, window in row.windows.items():
        for given in window:
            _, _, _, values = rows.setdefault(
                given.event_ms, (given.event_ms, given.known_ms, given.digest, {})
            )
            values[name] = given.value
    return [rows[event_ms] for event_ms in sorted(rows)]


def feature_definitions(group: FeatureGroup) -> list[dict[str, str]]:
    """Return SageMaker's ``FeatureDefinitions`` of the group, in the order of a record."""
    kinds = {
        IDENTIFIER: "String", EVENT_TIME: "String", "event_time": "String", "known_at": "String",
        "digest": "String", "deleted": "Integral", "erased_until": "String",
        **{feature.name: SAGEMAKER_TYPES[feature.type] for feature in group.features},
        **{aggregate.name: "String" for aggregate in group.aggregates},
    }  # fmt: skip
    return [{"FeatureName": name, "FeatureType": kind} for name, kind in kinds.items()]
