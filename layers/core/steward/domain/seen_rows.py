"""Whether a version in production trained on rows that judge its successor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from steward.domain.splits import part_of, position_of


@dataclass(frozen=True)
class SeenRows:
    """Held-out rows that a champion may have trained on.

    Attributes:
        rows: How many.
        reason: How that came about, for people.
    """

    rows: int
    reason: str


def seen_rows(
    champion: Mapping[str, Any],
    candidate: Mapping[str, Any],
    entities: Sequence[str],
    asked_on: Sequence[date] | None = None,
) -> SeenRows | None:
    """Return which of a candidate's held-out rows a champion may have trained on; None where none.

    Its manifest tells who trained it: of a split by entities those whose position under its own
    salt and shares is in the part that trains, of a split by time all that were no traffic, up to
    its border. So each row that judges is looked up. Nothing tells which entities had been
    delivered when it trained, so an entity that is new counts as seen where its position is.

    Args:
        champion: The manifest of the dataset that the champion was trained on.
        candidate: The manifest of the dataset that judges.
        entities: Entity of each row that judges.
        asked_on: Of a split by time the day on which each was asked for.
    """
    own, other = candidate.get("split") or {}, champion.get("split") or {}
    by, by_before = own.get("by", "entity"), other.get("by", "entity")
    column, before = _entity_column(candidate), _entity_column(champion)
    if column and before and column != before:
        reason = f"its split was of {before} and not of {column}, so who trained it is not known"
        return SeenRows(len(entities), reason)
    if by == by_before == "entity" and _shares(own) == _shares(other):
        return None
    until = (other.get("border") if by_before == "time" else None) or champion.get("cutoff")
    border = own.get("border")
    if by == "time" and (not until or not border or _moment(until) <= _moment(border)):
        return None
    distinct = set(entities)
    trained = _trained(other, distinct)
    if trained is None:
        if by == by_before:
            return None
        trained = distinct
    seen = [entity in trained for entity in entities]
    if by == "time" and asked_on is not None:
        last = _moment(str(until)).date()
        seen = [was and day <= last for was, day in zip(seen, asked_on, strict=True)]
    if not any(seen):
        return None
    return SeenRows(sum(seen), f"{sum(seen)} of {len(seen)} rows: {_why(own, other, until)}")


def _why(own: Mapping[str, Any], other: Mapping[str, Any], until: object) -> str:
    by, by_before = own.get("by", "entity"), other.get("by", "entity")
    if by == "time":
        return f"its own reach until {until}, and what was asked for after {own['border']} judges"
    if by_before == "time":
        return (
            "it was split by time and trained on entities that are held out since the split is by "
            "entity"
        )
    changed = [
        f"split.{name} was {other[name]} and is {own.get(name)}"
        for name in ("salt", "traffic", "heldout")
        if other[name] != own.get(name)
    ]
    return "it trained on entities that are held out since " + " and ".join(changed)


def _shares(split: Mapping[str, Any]) -> tuple[Any, ...]:
    return split.get("salt"), split.get("traffic"), split.get("heldout")


def _trained(split: Mapping[str, Any], entities: set[str]) -> set[str] | None:
    """Return the entities that train under a split; None where it does not tell."""
    salt, traffic, heldout = _shares(split)
    if split.get("by") == "time":
        if salt is None or traffic is None:
            return entities
        return {one for one in entities if position_of(one, salt=salt) >= traffic}
    if salt is None or traffic is None or heldout is None:
        return None
    return {
        one for one in entities
        if part_of(one, salt=salt, traffic=traffic, heldout=heldout) == "train"
    }  # fmt: skip


def _entity_column(manifest: Mapping[str, Any]) -> str | None:
    data = (manifest.get("declaration") or {}).get("data") or {}
    column = data.get("entity_id")
    return None if column is None else str(column)


def _moment(text: str) -> datetime:
    parsed = datetime.fromisoformat(text)
    return parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)
