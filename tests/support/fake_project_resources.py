"""Things that bear a project's name, in memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from steward.domain.belongings import KINDS, Kind


def _nothing() -> dict[Kind, set[str]]:
    return {kind: set() for kind in KINDS}


@dataclass
class FakeProjectResources:
    """Names by kind.

    Attributes:
        moving: What cannot be deleted yet.
        lingering: What is deleted and listed all the same, as endpoints are for minutes.
        deleted: What was deleted, in order.
    """

    there: dict[Kind, set[str]] = field(default_factory=_nothing)
    moving: set[str] = field(default_factory=set)
    lingering: set[str] = field(default_factory=set)
    deleted: list[tuple[Kind, str]] = field(default_factory=list)

    def names(self, kind: Kind, search: str) -> Iterable[str]:
        if kind == "schedules":
            return [n for n in self.there[kind] if n.partition("/")[2].startswith(search)]
        return [n for n in self.there[kind] if search in n]

    def delete(self, kind: Kind, name: str) -> Literal["deleted", "gone", "moving"]:
        if name not in self.there[kind]:
            return "gone"
        if name in self.moving or (name in self.lingering and (kind, name) in self.deleted):
            return "moving"
        self.deleted.append((kind, name))
        if name not in self.lingering:
            self.there[kind].discard(name)
        return "deleted"
