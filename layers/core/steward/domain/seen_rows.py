"""Whether a version in production trained on rows that judge its successor."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any


def seen_rows(champion: Mapping[str, Any], candidate: Mapping[str, Any]) -> str | None:
    """Return why a champion may have trained on a candidate's held-out rows; None where it has not.

    A split by entities assigns them for good, so it is asked for splits by time alone. There a
    champion has seen no row that judges when its own rows end at or before the candidate's border:
    at its border, or, where it was split by entities, at its knowledge cutoff. A champion that was
    split by time trained on every entity, those that a candidate split by entities holds out too.

    Args:
        champion: The manifest of the dataset that the champion was trained on.
        candidate: The manifest of the dataset that judges.
    """
    own, other = candidate.get("split") or {}, champion.get("split") or {}
    by, by_before = own.get("by", "entity"), other.get("by", "entity")
    if by == by_before == "entity":
        return None
    if by == "entity":
        return (
            "it was split by time and trained on the entities that are held out since the split "
            "is by entity"
        )
    until = (other.get("border") if by_before == "time" else None) or champion.get("cutoff")
    border = own.get("border")
    if not until or not border:
        return None
    if _moment(until) <= _moment(border):
        return None
    return (
        f"it may have trained on them: its rows reach until {until}, and what was asked for after "
        f"{border} judges"
    )


def _moment(text: str) -> datetime:
    parsed = datetime.fromisoformat(text)
    return parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)
