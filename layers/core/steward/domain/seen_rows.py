"""Whether a version in production trained on rows that judge its successor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from steward.domain.splits import part_of, position_of
from steward.domain.versions import UNPROVEN


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
    Where a manifest does not tell what is needed, all rows count. One that names no dataset of
    here, as an artifact's that was imported alone, leaves nothing to be looked up: None.

    Args:
        champion: The manifest of the dataset that the champion was trained on.
        candidate: The manifest of the dataset that judges.
        entities: Entity of each row that judges.
        asked_on: Of a split by time the day on which each was asked for.
    """
    untold = _untold(champion, candidate)
    if untold is not None:
        return SeenRows(len(entities), f"{len(entities)} of {len(entities)} rows: {untold}")
    if _unseen(champion, candidate):
        return None
    own, other = _split(candidate), _split(champion)
    distinct, until = set(entities), _until(champion)
    trained = _trained(other, distinct)
    seen = [trained is None or entity in trained for entity in entities]
    if own["by"] == "time" and asked_on is not None:
        last = _moment(str(until)).date()
        seen = [was and day <= last for was, day in zip(seen, asked_on, strict=True)]
    if not any(seen):
        return None
    return SeenRows(sum(seen), f"{sum(seen)} of {len(seen)} rows: {_why(own, other, until)}")


def _untold(champion: Mapping[str, Any], candidate: Mapping[str, Any]) -> str | None:
    """Return what must be known to look rows up and is not; None where all is."""
    if champion.get("dataset") == UNPROVEN:
        return None
    own, other = _split(candidate), _split(champion)
    column, before = _entity_column(candidate), _entity_column(champion)
    if column and before and column != before:
        return f"its split was of {before} and not of {column}, so who trained it is not known"
    if own["by"] == "time":
        if not _until(champion):
            return "its manifest does not tell how far its own reach"
        told = bool(own.get("border"))
        return None if told else "the manifest of these rows does not tell their border"
    if other["by"] == "time" or _shares(own) == _shares(other) or None not in _shares(other):
        return None
    return "its manifest does not tell its split"


def _unseen(champion: Mapping[str, Any], candidate: Mapping[str, Any]) -> bool:
    """Return whether no row needs to be looked up, all being told."""
    if champion.get("dataset") == UNPROVEN:
        return True
    own, other = _split(candidate), _split(champion)
    if own["by"] == "time":
        return _moment(str(_until(champion))) <= _moment(str(own["border"]))
    return other["by"] == "entity" and _shares(own) == _shares(other)


def _split(manifest: Mapping[str, Any]) -> dict[str, Any]:
    return {"by": "entity", **(manifest.get("split") or {})}


def _until(manifest: Mapping[str, Any]) -> object:
    """Return when the newest row that may have trained was asked for or known; falsy if untold."""
    split = _split(manifest)
    return (split.get("border") if split["by"] == "time" else None) or manifest.get("cutoff")


def _why(own: Mapping[str, Any], other: Mapping[str, Any], until: object) -> str:
    if own["by"] == "time":
        return f"its own reach until {until}, and what was asked for after {own['border']} judges"
    if other["by"] == "time":
        return (
            "it was split by time and given entities to train on that are held out since the split "
            "is by entity"
        )
    changed = [
        f"split.{name} was {other[name]} and is {own.get(name)}"
        for name in ("salt", "traffic", "heldout")
        if other[name] != own.get(name)
    ]
    return "it was given entities to train on that are held out since " + " and ".join(changed)


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
