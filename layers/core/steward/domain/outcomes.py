"""Outcomes: what became of a prediction or an entity, as it is reported and as it is kept."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from steward.domain.errors import RejectedError
from steward.domain.exposures import hashed_entity

FIELDS = ("inference_id", "entity_id", "outcome", "observed_at")
MAX_TEXT = 256
MAX_INTEGER = 2**53
"""Beyond it, JSON's readers disagree."""

MAX_AHEAD = timedelta(days=1)
"""How far ahead of ours a reporter's clock may be."""

_VALUE = f"true, false, a finite number, or a text of 1 to {MAX_TEXT} characters"


@dataclass(frozen=True)
class Outcome:
    """One outcome, of a prediction by its inference id or of an entity.

    Attributes:
        observed_at: When it was known to whoever reports it, in UTC.
    """

    inference_id: str | None
    entity_id: str | None
    outcome: bool | int | float | str
    observed_at: datetime

    def line(self, project: str, recorded_at: datetime) -> str:
        """Return it as it is kept, one JSON object with its line end; the entity by pseudonym."""
        entity = None if self.entity_id is None else hashed_entity(project, self.entity_id)
        kept = {
            "entity": entity,
            "inference_id": self.inference_id,
            "observed_at": self.observed_at.isoformat(timespec="milliseconds"),
            "outcome": self.outcome,
            "project": project,
            "recorded_at": recorded_at.isoformat(timespec="milliseconds"),
        }
        return json.dumps(kept, separators=(",", ":")) + "\n"


def outcome_of(row: object, now: datetime) -> Outcome:
    """Return a row as an outcome.

    Raises:
        RejectedError: It is none; ``field``, ``value`` and ``allowed`` say why.
    """
    if not isinstance(row, Mapping):
        raise _refused("$", row, "an object with " + ", ".join(FIELDS))
    unknown = next((name for name in row if name not in FIELDS), None)
    if unknown is not None:
        raise _refused(str(unknown)[:MAX_TEXT], row[unknown], f"only {', '.join(FIELDS)}")
    inference_id = _id("inference_id", row.get("inference_id"), 64)
    entity_id = _id("entity_id", row.get("entity_id"), MAX_TEXT)
    if (inference_id is None) == (entity_id is None):
        raise _refused("inference_id", inference_id, "either inference_id or entity_id, not both")
    outcome = _value(row.get("outcome"))
    return Outcome(inference_id, entity_id, outcome, _time(row.get("observed_at"), now))


def _id(field: str, value: object, longest: int) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= longest or not _is_text(value):
        raise _refused(field, value, f"a text of 1 to {longest} characters")
    return value


def _value(value: object) -> bool | int | float | str:
    match value:
        case bool():
            return value
        case int() if abs(value) <= MAX_INTEGER:
            return value
        case float() if math.isfinite(value):
            return value
        case str() if 0 < len(value) <= MAX_TEXT and _is_text(value):
            return value
        case int():
            raise _refused("outcome", value, f"a whole number up to {MAX_INTEGER}")
    raise _refused("outcome", value, _VALUE)


def _time(value: object, now: datetime) -> datetime:
    allowed = "ISO 8601 with a time zone, such as 2026-02-01T10:00:00Z"
    if not isinstance(value, str):
        raise _refused("observed_at", value, allowed)
    try:
        at = datetime.fromisoformat(value)
        if at.tzinfo is None:
            raise _refused("observed_at", value, allowed)
        at = at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise _refused("observed_at", value, allowed) from None
    if at - now > MAX_AHEAD:
        raise _refused("observed_at", value, f"no time in the future; now it is {now.isoformat()}")
    return at


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refused(field: str, value: object, allowed: str) -> RejectedError:
    shown = _shown(value)
    return RejectedError(
        f"{field}: {shown} is not allowed; allowed: {allowed}", field=field, value=shown,
        allowed=allowed,
    )  # fmt: skip


def _shown(value: object) -> str:
    """Return a value so that it can be written anywhere, and not all of a long one."""
    try:
        text = repr(value)
    except ValueError:  # an integer of thousands of digits
        text = type(value).__name__
    return text.encode("utf-8", "backslashreplace").decode()[:100]


def refusal_of(error: RejectedError, index: int) -> dict[str, Any]:
    """Return why the row of an index was refused."""
    return {
        "index": index,
        "field": error.field,
        "value": error.value,
        "allowed": error.allowed,
        "message": error.message,
    }
