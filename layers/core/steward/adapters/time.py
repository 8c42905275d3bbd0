"""The system's clock and random identifiers."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime


class SystemClock:
    """The time of the machine."""

    def now(self) -> datetime:
        """Return the current time in UTC."""
        return datetime.now(UTC)


class UuidIds:
    """Random UUIDs."""

    def new(self) -> str:
        """Return a UUID4 of 36 characters."""
        return str(uuid.uuid4())
