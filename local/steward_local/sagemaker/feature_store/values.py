"""Values of features: types, event times, durations and the sizes that a record may have."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from steward_local.sagemaker.errors import ApiError

EVENT_TIME_TYPES = ("String", "Fractional")
MAX_RECORD_BYTES = 350 * 1024
MAX_IDENTIFIER_BYTES = 2 * 1024
_TEXT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{3})?Z")
_INTEGRAL = re.compile(r"[+-]?\d{1,19}")
_FRACTIONAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?")
_LAST_SECOND = Decimal(253_402_300_799)
_UNITS = {
    "Seconds": 1,
    "Minutes": 60,
    "Hours": 3_600,
    "Days": 86_400,
    "Weeks": 604_800,
}


def refused(message: str) -> ApiError:
    """The runtime's `ValidationError`."""
    return ApiError("ValidationError", message)


def seconds_of(duration: dict[str, Any] | None) -> int | None:
    """Seconds of a TtlDuration; None for one that is absent or empty."""
    if not duration or duration.get("Unit") is None or duration.get("Value") is None:
        return None
    return int(duration["Value"]) * _UNITS[duration["Unit"]]


def event_time(text: str, kind: str, name: str = "EventTime") -> Decimal:
    """Seconds since the epoch of an event time as records carry it.

    Args:
        text: ISO 8601 in UTC with seconds or milliseconds (`String`), or Unix seconds.
        kind: The type of the event-time feature.
        name: What the refusal calls it.
    """
    if kind == "String":
        found = _TEXT.fullmatch(text)
        try:
            moment = datetime.fromisoformat(f"{found[1]}+00:00") if found else None
        except ValueError:
            moment = None
        if found is None or moment is None:
            raise refused(
                f"{name} '{text}' must be an ISO-8601 string in one of the formats "
                "yyyy-MM-dd'T'HH:mm:ssZ and yyyy-MM-dd'T'HH:mm:ss.SSSZ."
            )
        return Decimal(int(moment.timestamp())) + Decimal(found[2] or 0)
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite() or not 0 <= value <= _LAST_SECOND:
        raise refused(f"{name} '{text}' must be a Unix timestamp in seconds.")
    return value


def iso(moment: Decimal) -> str:
    """A moment as ISO 8601 in UTC, with milliseconds where it has any."""
    whole = datetime.fromtimestamp(int(moment), UTC).strftime("%Y-%m-%dT%H:%M:%S")
    thousandths = int(moment % 1 * 1000)
    return f"{whole}.{thousandths:03d}Z" if thousandths else f"{whole}Z"


def check_type(name: str, kind: str, text: str) -> None:
    """Refuse a value that is not of its feature's type."""
    if kind == "Integral":
        fits = bool(_INTEGRAL.fullmatch(text)) and -(2**63) <= int(text) < 2**63
    elif kind == "Fractional":
        fits = bool(_FRACTIONAL.fullmatch(text)) and math.isfinite(float(text))
    else:
        return
    if not fits:
        raise refused(f"Failed to parse value '{text}' of feature '{name}' to type {kind}.")


def check_sizes(identifier: str, record: dict[str, str]) -> None:
    """Refuse a record or an identifier that is too large."""
    if len(identifier.encode()) > MAX_IDENTIFIER_BYTES:
        raise refused(f"The record identifier is above {MAX_IDENTIFIER_BYTES} bytes.")
    size = sum(len(name.encode()) + len(value.encode()) for name, value in record.items())
    if size > MAX_RECORD_BYTES:
        raise refused(f"The record has {size} bytes, above the maximum of {MAX_RECORD_BYTES}.")
