"""What an online record says at a moment: typed values, age, and what a request gives instead.

Pure and without the engine. Windows and on-demand features are computed by the SQL of
:mod:`steward.domain.feature_transforms`, see :mod:`steward.domain.online_engine`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from steward.domain.declaration import ColumnType
from steward.domain.errors import EvidenceIncompleteError, RejectedError
from steward.domain.feature_groups import FeatureGroup
from steward.domain.feature_records import OnlineRow, entity_text, from_record

Value = str | int | float | bool | datetime | None
"""A timestamp is an aware datetime in UTC."""

_LARGEST = 2**63


@dataclass(frozen=True)
class Reading:
    """What a group has for one entity at a moment.

    Attributes:
        row: None where there is no record.
        expired: Its newest row is older than the TTL; one of exactly the TTL still counts.
    """

    row: OnlineRow | None = None
    expired: bool = False
    aggregates: Mapping[str, Value] = field(default_factory=dict)

    @property
    def counts(self) -> bool:
        """Whether there are values: a row that is neither a tombstone nor expired."""
        return self.row is not None and not self.row.deleted and not self.expired

    def stored(self, group: FeatureGroup) -> dict[str, Value]:
        """Return row features and aggregates by name; all null where nothing counts."""
        found: dict[str, Value] = dict.fromkeys(
            [f.name for f in group.features] + [a.name for a in group.aggregates]
        )
        if self.row is not None and self.counts:
            for feature in group.features:
                value = self.row.values.get(feature.name)
                is_time = feature.type == "timestamp" and isinstance(value, str)
                found[feature.name] = moment(str(value)) if is_time else value
            found.update(self.aggregates)
        return found


def reading_of(group: FeatureGroup, texts: Mapping[str, str] | None, now: datetime) -> Reading:
    """Return what a record of the online store says, without its aggregates.

    Raises:
        EvidenceIncompleteError: It is none of this group's records.
    """
    if texts is None:
        return Reading()
    try:
        row = from_record(group, texts)
        for feature in group.features:
            if feature.type == "timestamp" and row.values.get(feature.name) is not None:
                moment(row.values[feature.name])
    except (KeyError, ValueError, TypeError) as error:
        raise EvidenceIncompleteError(
            f"the online record of {group.feature_group} is not readable: "
            f"{type(error).__name__}: {error}",
            field=group.feature_group, allowed="a record that Steward has written",
        ) from None  # fmt: skip
    expired = not row.deleted and 0 < group.ttl_s * 1000 < milliseconds_of(now) - row.event_ms
    return Reading(row, expired)


def milliseconds_of(at: datetime) -> int:
    """Return whole milliseconds since the epoch."""
    return round(at.timestamp() * 1000)


def moment(text: str) -> datetime:
    """Return an ISO 8601 time in UTC; without an offset it is UTC. Cut to milliseconds.

    Raises:
        ValueError: The text is none.
    """
    found = datetime.fromisoformat(text)
    utc = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    return utc.replace(microsecond=utc.microsecond // 1000 * 1000)


def iso(at: datetime) -> str:
    """Return the one text of a time: UTC, milliseconds, ``Z``."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def entity_of(keys: Sequence[str], given: Mapping[str, Any], columns: Sequence[str]) -> str | None:
    """Return the record identifier of an entity, None where a key is null.

    Args:
        keys: Keys of the group.
        given: What is known of the entity.
        columns: For each key the name in ``given``.

    Raises:
        RejectedError: A key is not given, or is neither text nor an integer.
    """
    texts = []
    for key, column in zip(keys, columns, strict=True):
        if column not in given:
            raise RejectedError(
                f"{column} is needed to read features of {key}", field=column,
                allowed="the value of the key",
            )  # fmt: skip
        value = given[column]
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
            raise _refused(column, value, "a text or an integer")
        texts.append(value)
    return entity_text(texts)


def given_value(name: str, value: Any, type_: ColumnType) -> Value:
    """Return a value of a request as its declared type.

    Raises:
        RejectedError: It is of another type; ``field`` is ``name``.
    """
    typed, allowed = _TYPED[type_]
    try:
        return None if value is None else typed(value)
    except (ValueError, TypeError):
        raise _refused(name, value, allowed) from None


def _time(value: Any) -> datetime:
    return value if isinstance(value, datetime) else moment(value)


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise TypeError
    return value


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError
    if not -_LARGEST <= value < _LARGEST:
        raise ValueError
    return value


def _float(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    if not math.isfinite(found := float(value) + 0.0):
        raise ValueError
    return found


_TYPED: dict[ColumnType, tuple[Callable[[Any], Value], str]] = {
    "string": (_text, "a text"),
    "integer": (_integer, "an integer"),
    "float": (_float, "a finite number"),
    "boolean": (_boolean, "true or false"),
    "timestamp": (_time, "an ISO 8601 time"),
}


def shown(value: Value) -> str | int | float | bool | None:
    """Return a value as JSON has it."""
    return iso(value) if isinstance(value, datetime) else value


def _refused(name: str, value: object, allowed: str) -> RejectedError:
    text = str(value)[:100]
    return RejectedError(
        f"{name}: {text!r} is not allowed", field=name, value=text, allowed=allowed
    )
