"""The online store of one feature group: the newest record of each identifier."""

from __future__ import annotations

import threading
import time
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
        expires_at: When the record ceases to be, seconds since the epoch.
        deleted: A soft deletion's marker, which no reader sees.
    """

    event_time: Decimal
    values: tuple[tuple[str, str], ...]
    expires_at: Decimal | None = None
    deleted: bool = False

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
