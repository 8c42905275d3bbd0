"""What an online record says at a moment: typed values, age, and what a request gives instead.

Pure and without the engine. Windows and on-demand features are computed by the SQL of
:mod:`steward.domain.feature_transforms`, see :mod:`steward.domain.online_engine`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from steward.domain.declaration import ColumnType
from steward.domain.digests import canonical_json
from steward.domain.errors import EvidenceIncompleteError, RejectedError
from steward.domain.feature_groups import FeatureGroup

Value = str | int | float | bool | datetime | None
"""A timestamp is an aware datetime in UTC."""

Contributions = dict[tuple[int, int], str | None]
"""What rows add to an aggregate, by event time and known-at in epoch milliseconds."""

_LARGEST = 2**63


@dataclass(frozen=True)
class OnlineRecord:
    """The newest record of an entity, as it lies in the online store.

    Attributes:
        values: Row features; null ones are there.
        contributions: By aggregate.
    """

    event_time: datetime
    known_at: datetime
    values: Mapping[str, Value]
    contributions: Mapping[str, Contributions]

    def age_s(self, now: datetime) -> float:
        """Return the age of the event time; negative where a source's clock is ahead."""
        return (now - self.event_time).total_seconds()

    def expired(self, group: FeatureGroup, now: datetime) -> bool:
        """Whether its values do not count any more; a record of exactly the TTL still counts."""
        return group.ttl_s > 0 and self.event_time < now - timedelta(seconds=group.ttl_s)


@dataclass(frozen=True)
class Reading:
    """What a group has for one entity at a moment.

    Attributes:
        record: None where there is no record.
        expired: Its record is older than the TTL.
    """

    record: OnlineRecord | None = None
    expired: bool = False
    aggregates: Mapping[str, Value] = field(default_factory=dict)

    @property
    def counts(self) -> bool:
        """Whether there are values: a record, and not expired."""
        return self.record is not None and not self.expired

    def stored(self, group: FeatureGroup) -> dict[str, Value]:
        """Return row features and aggregates by name; all null where nothing counts."""
        names = [f.name for f in group.features] + [a.name for a in group.aggregates]
        if self.record is None or self.expired:
            return dict.fromkeys(names)
        known = {**self.record.values, **self.aggregates}
        return {name: known.get(name) for name in names}


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
        texts.append(str(value))
    return texts[0] if len(texts) == 1 else canonical_json(texts).decode()


def record_of(group: FeatureGroup, texts: Mapping[str, str]) -> OnlineRecord:
    """Return the record that SageMaker holds as texts.

    Raises:
        EvidenceIncompleteError: It is none of this group's records.
    """
    try:
        contributions = {
            aggregate.name: _contributions(texts.get(aggregate.name))
            for aggregate in group.aggregates
        }
        return OnlineRecord(
            event_time=moment(texts["event_time"]),
            known_at=moment(texts["known_at"]),
            values={f.name: _of_text(texts.get(f.name), f.type) for f in group.features},
            contributions=contributions,
        )
    except (KeyError, ValueError, TypeError) as error:
        raise EvidenceIncompleteError(
            f"the online record of {group.feature_group} is not readable: "
            f"{type(error).__name__}: {error}",
            field=group.feature_group, allowed="a record that Steward has written",
        ) from None  # fmt: skip


def _contributions(text: str | None) -> Contributions:
    return {(int(event), int(known)): value for event, known, value in json.loads(text or "[]")}


def _of_text(text: str | None, type_: ColumnType) -> Value:
    if text is None or type_ == "string":
        return text
    if type_ == "integer":
        return int(text)
    if type_ == "float":
        return float(text)
    if type_ == "boolean":
        return bool(int(text))
    return moment(text)


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
