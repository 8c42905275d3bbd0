"""Moments as people write them: ISO 8601, dates, and how long ago."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from steward.domain.errors import RejectedError

ALLOWED = "ISO 8601 (without a zone it is UTC), a date, now, or how long ago, such as 2h30m ago"
_UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_PART = re.compile(
    r"(\d{1,9})\s*(s|sec|seconds?|m|min|minutes?|h|hours?|d|days?|w|weeks?)(?![a-z])\s*", re.I
)
_AGO = re.compile(rf"(?:{_PART.pattern})+ago", re.I)


def moment_of(text: str, now: datetime) -> datetime:
    """Return the moment that a person means, in UTC.

    Args:
        text: ``2026-01-05T09:00:00+01:00``; without a zone it is UTC. ``2026-01-05``: the
            beginning of that day in UTC. ``now``, ``90s ago``, ``2 hours ago``, ``1d12h ago``.
        now: The present, with its zone.

    Raises:
        RejectedError: It is none of these, or lies outside of the calendar.
    """
    said = text.strip()
    try:
        if said.lower() == "now":
            return now.astimezone(UTC)
        compact = re.sub(r"(?<=[a-z])(?=\d)", " ", said, flags=re.I)
        if _AGO.fullmatch(compact):
            seconds = sum(
                int(count) * _UNITS_S[unit[0].lower()] for count, unit in _PART.findall(compact)
            )
            return now.astimezone(UTC) - timedelta(seconds=seconds)
        parsed = datetime.fromisoformat(said)
        zoned = parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)
        return zoned.astimezone(UTC)
    except (ValueError, OverflowError):
        raise RejectedError(
            f"{text!r} is no time; allowed: {ALLOWED}", field="time", value=text, allowed=ALLOWED
        ) from None
