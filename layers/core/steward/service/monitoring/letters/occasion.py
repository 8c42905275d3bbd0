"""An event that people are written to about, and the records that its letter may need."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from steward.domain.errors import InvalidProjectError
from steward.domain.mails.layout import Letter, Where
from steward.domain.versions import version_item
from steward.ports import Item, StateStore, Table

if TYPE_CHECKING:
    from steward.contracts import events
    from steward.domain.project import Project

APPROVER, ON_CALL, OWNER = "approver", "on_call", "owner"


@dataclass(frozen=True)
class Occasion:
    """An event, where it happened, and the records that its mail may need."""

    where: Where
    data: Any
    meta: events.Meta
    state: StateStore

    def version(self) -> Item:
        """Return the record of the version that the event is of."""
        key = {"project": self.where.project, "item": version_item(self.data.version)}
        return self.state.get(Table.VERSIONS, key) or {}

    def reused(self, run_id: str) -> list[str]:
        """Return what a run did not carry out again."""
        from steward.domain.run_comparison import reused_steps

        key = {"project": self.where.project, "run_id": run_id}
        return reused_steps(self.state.get(Table.RUNS, key) or {})

    def release(self) -> Item:
        """Return the record of the release that the event is of."""
        key = {"project": self.where.project, "release_id": self.data.release_id}
        return self.state.get(Table.RELEASES, key) or {}

    def project(self) -> Project | None:
        """Return the declaration; None where there is none that can be read."""
        from steward.domain.project import parse_project  # large, and few letters need it

        item = self.state.get(Table.PROJECTS, {"project": self.where.project})
        try:
            return parse_project(item["config"]) if item else None
        except InvalidProjectError:
            return None


Letters = Mapping[str, tuple[Sequence[str], Callable[[Occasion], Letter | None]]]
"""By detail-type: the roles that are written to, and what writes. By name, as to name the classes
would build the models of all events in each cold start."""
