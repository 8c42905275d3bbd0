"""Outcomes: what became of a prediction or an entity, as it is reported and as it is kept."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from steward.domain.errors import RejectedError
from steward.domain.exposures import hashed_entity

FIELDS = ("inference_id", "entity_id", "outcome", "observed_at", "attributes")
MAX_ATTRIBUTES = 10
MAX_TEXT = 256
MAX_INTEGER = 2**53
"""Beyond it, JSON's readers disagree."""

MAX_AHEAD = timedelta(days=1)
"""How far ahead of ours a reporter's clock may be."""

Scalar = bool | int | float | str
_COLUMN = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_VALUE = f"true, false, a finite number, or a text of 1 to {MAX_TEXT} characters"


@dataclass(frozen=True)
class Outcome:
    """One outcome, of a prediction by its inference id or of an entity.

    Attributes:
        observed_at: When it was known to whoever reports it, in UTC.
        attributes: Protected attributes of the entity that no model sees, by column.
    """

    inference_id: str | None
    entity_id: str | None
    outcome: bool | int | float | str
    observed_at: datetime
    attributes: Mapping[str, Scalar] = field(default_factory=dict)

    def line(self, project: str, recorded_at: datetime) -> str:
        """Return it as it is kept, one JSON object with its line end; the entity by pseudonym."""
        entity = None if self.entity_id is None else hashed_entity(project, self.entity_id)
        kept: dict[str, Any] = {
            "entity": entity,
            "inference_id": self.inference_id,
            "observed_at": self.observed_at.isoformat(timespec="milliseconds"),
            "outcome": self.outcome,
            "project": project,
            "recorded_at": recorded_at.isoformat(timespec="milliseconds"),
        }
        if self.attributes:
            kept["attributes"] = dict(sorted(self.attributes.items()))
        return json.dumps(kept, separators=(",", ":")) + "\n"


def outcome_of(row: object, now: datetime, attributes: Collection[str] | None = None) -> Outcome:
    """Return a row as an outcome.

    Args:
        row: As it was reported.
        now: Our time.
        attributes: Columns that may be told beside it: those that the project declares with
            ``feature: false``. None for any, where nobody knows the project.

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
    told = _attributes(row.get("attributes"), attributes)
    if told and inference_id is None:
        raise _refused("attributes", told, "none with entity_id: they belong to a prediction")
    return Outcome(inference_id, entity_id, outcome, _time(row.get("observed_at"), now), told)


def _attributes(given: object, known: Collection[str] | None) -> dict[str, Scalar]:
    if given is None:
        return {}
    if not isinstance(given, Mapping) or len(given) > MAX_ATTRIBUTES:
        raise _refused("attributes", given, f"an object of at most {MAX_ATTRIBUTES} values")
    found = {}
    for name, value in given.items():
        if known is not None and name not in known:
            told = ", ".join(sorted(known)) or "none: no attribute is declared with feature: false"
            raise _refused(f"attributes.{str(name)[:MAX_TEXT]}", value, told)
        if not isinstance(name, str) or not _COLUMN.fullmatch(name):
            raise _refused("attributes", name, "names of columns")
        if value is not None:
            found[name] = _value(value, f"attributes.{name}")
    return found


def _id(name: str, value: object, longest: int) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= longest or not _is_text(value):
        raise _refused(name, value, f"a text of 1 to {longest} characters")
    return value


def _value(value: object, name: str = "outcome") -> Scalar:
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
            raise _refused(name, value, f"a whole number up to {MAX_INTEGER}")
    raise _refused(name, value, _VALUE)


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


def _refused(at: str, value: object, allowed: str) -> RejectedError:
    shown = _shown(value)
    return RejectedError(
        f"{at}: {shown} is not allowed; allowed: {allowed}", field=at, value=shown,
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
