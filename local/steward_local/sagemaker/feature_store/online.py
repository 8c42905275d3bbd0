"""The online store of one feature group: the newest record of each identifier."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from steward_local.sagemaker.feature_store.values import refused


@dataclass(frozen=True)
class OnlineRecord:
    """What the store holds for one identifier.

    Attributes:
        event_time: Seconds since the epoch.
        values: Features and their values in the order of the group's definition.
        ttl: Seconds from the event time to the record's end; None for ever.
        deleted: A soft deletion's marker, which no reader sees.
    """

    event_time: Decimal
    values: tuple[tuple[str, str], ...]
    ttl: int | None = None
    deleted: bool = False

    @property
    def expires_at(self) -> Decimal | None:
        """When the record ceases to be, seconds since the epoch."""
        return None if self.ttl is None else self.event_time + self.ttl

    def as_list(self, names: list[str] | None) -> list[dict[str, Any]]:
        """The values in the shape of the API, all of them or the named ones."""
        return [
            {"FeatureName": name, "ValueAsString": value}
            for name, value in self.values
            if names is None or name in names
        ]


class OnlineStore:
    """Records by identifier; the newest event time wins, an equal one changes nothing."""

    def __init__(self) -> None:
        self._records: dict[str, OnlineRecord] = {}
        self._lock = threading.Lock()

    def _current(self, identifier: str) -> OnlineRecord | None:
        """The record or marker of an identifier; an expired one is removed."""
        record = self._records.get(identifier)
        expires_at = None if record is None else record.expires_at
        if expires_at is not None and expires_at <= Decimal(time.time()):
            del self._records[identifier]
            return None
        return record

    def get(self, identifier: str) -> OnlineRecord | None:
        """The record that a reader sees."""
        with self._lock:
            record = self._current(identifier)
        return None if record is None or record.deleted else record

    def put(self, identifier: str, record: OnlineRecord) -> bool:
        """Store a record or marker if it is newer than what is there; says whether it was."""
        with self._lock:
            known = self._current(identifier)
            if known is not None and known.event_time >= record.event_time:
                return False
            self._records[identifier] = record
        return True

    def change(
        self, identifier: str, change: Callable[[OnlineRecord], OnlineRecord]
    ) -> OnlineRecord | None:
        """Replace a record that a reader sees by its change; None when there is none."""
        with self._lock:
            known = self._current(identifier)
            if known is None or known.deleted:
                return None
            changed = self._records[identifier] = change(known)
        return changed

    def identifiers(self, *, with_deleted: bool) -> list[str]:
        """The identifiers of all records, in order."""
        with self._lock:
            return [
                identifier
                for identifier in sorted(self._records)
                if (record := self._current(identifier)) and (with_deleted or not record.deleted)
            ]

    def remove(self, identifier: str, event_time: Decimal) -> None:
        """Remove a record for good, if the deletion is newer than the record."""
        with self._lock:
            known = self._current(identifier)
            if known is not None and known.event_time >= event_time:
                raise refused(
                    "EventTime: the deletion must have a later EventTime than the existing record."
                )
            self._records.pop(identifier, None)

    def clear(self) -> None:
        """Forget all records."""
        with self._lock:
            self._records.clear()

    def size_bytes(self) -> int:
        """Bytes of names and values."""
        with self._lock:
            records = list(self._records.values())
        return sum(len(name) + len(value) for record in records for name, value in record.values)
