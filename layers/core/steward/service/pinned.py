"""The run as it was fixed when it started: every task reads the same configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from steward.domain.errors import MalformedEventError
from steward.ports import Item, StateStore, Table

if TYPE_CHECKING:
    from steward.domain.project import Project


@dataclass(frozen=True)
class PinnedRun:
    """A run's item and the configuration that it started with."""

    item: Item
    project: Project


def pinned_run(state: StateStore, project: str, run_id: str) -> PinnedRun:
    """Return a run.

    Raises:
        MalformedEventError: There is no such run, so the input of the task is wrong.
    """
    item = state.get(Table.RUNS, {"project": project, "run_id": run_id})
    if item is None or "config" not in item:
        raise MalformedEventError(
            f"project {project} has no run {run_id}", field="run_id", value=run_id,
            allowed="the id of a started run",
        )  # fmt: skip
    from steward.domain.project import parse_project  # large: paid when a run is read

    return PinnedRun(item, parse_project(item["config"]))
