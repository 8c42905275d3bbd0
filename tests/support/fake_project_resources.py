"""Things that bear a project's name, in memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

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

    def delete(self, kind: Kind, name: str) -> bool:
        if name in self.moving:
            return False
        self.deleted.append((kind, name))
        if name not in self.lingering:
            self.there[kind].discard(name)
        return True
