"""Use case: a project is removed: what of it answers, acts or costs goes, what it was stays.

People may delete none of it by their own rights. They ask, and the ledger has who asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from steward.contracts.events import ProjectRemoved
from steward.domain.batch_runs import PREFIX, BatchStatus
from steward.domain.belongings import KINDS, Belongings
from steward.domain.errors import ConflictError, ProjectNotFoundError
from steward.domain.integrations import IntegrationStatus
from steward.domain.releases import ReleaseStatus
from steward.domain.runs import RunStatus
from steward.ports import Clock, Delete, Equals, Ids, Item, ProjectResources, StateStore, Table
from steward.service.emission import Cause, event

_RUNNING = {RunStatus.RUNNING, RunStatus.WAITING, IntegrationStatus.RUNNING, BatchStatus.RUNNING}
_RELEASING = {ReleaseStatus.RUNNING, ReleaseStatus.WAITING}
_NAMED = 5


@dataclass(frozen=True)
class Removal:
    """What removing works with.

    Attributes:
        stack: Name of the root stack.
        environment: The deployment environment.
    """

    state: StateStore
    resources: ProjectResources
    clock: Clock
    ids: Ids
    stack: str
    environment: str


def show_removal(project: str, removal: Removal) -> dict[str, Any]:
    """Return what there is of a project by kind, and what is at work."""
    return {"found": _found(project, removal), "busy": _busy(project, removal.state)}


def remove_project(
    project: str, actor: str, request_id: str, removal: Removal
) -> dict[str, dict[str, list[str]]]:
    """Delete what there is of a project outside its own stacks; return it, and what is left.

    Route and declaration go first, with the event, so that nothing begins any more. What is left
    is on its way: endpoints take minutes. The same again goes on where it stood.

    Raises:
        ProjectNotFoundError: There is no such project, and nothing of it is left.
        ConflictError: A run, an integration, a release or a batch is under way, which would make
            again what is deleted, or the project was declared anew at this moment.
    """
    found = _found(project, removal)
    if not found:
        raise ProjectNotFoundError(f"no project {project!r}", field="project", value=project)
    busy = _busy(project, removal.state)
    if busy:
        raise ConflictError(f"{project} is at work: {', '.join(busy[:_NAMED])}")
    _undeclare(project, found, Cause(project, f"{project}-removal", request_id, actor), removal)
    locks = [str(item["lock"]) for item in removal.state.scan(Table.LOCKS)]
    for lock in locks:
        if lock.startswith(f"{project}/"):
            removal.state.commit([Delete(Table.LOCKS, {"lock": lock})])
    for kind in KINDS:
        went = [removal.resources.delete(kind, name) for name in found.get(kind, ())]
        if not all(went):
            break  # an endpoint is still being made of its configuration and models
    return {"deleted": found, "left": _found(project, removal)}


def _undeclare(project: str, found: dict[str, list[str]], cause: Cause, removal: Removal) -> None:
    """Take away route and declaration; the event is told once, with the declaration's end."""
    state, key = removal.state, {"project": project}
    declared = state.get(Table.PROJECTS, key)
    if declared is None:
        if "routes" in found:
            state.commit([Delete(Table.ROUTES, key)])
        return
    told = ProjectRemoved(
        found={kind: len(found[kind]) for kind in KINDS if kind in found},
        config_digest=declared.get("config_digest"),
        code_digest=declared.get("code_digest"),
    )
    same = tuple(Equals(name, declared.get(name)) for name in ("config_digest", "updated_at"))
    state.commit(
        [Delete(Table.ROUTES, key), Delete(Table.PROJECTS, key, same)],
        [event(told, cause, removal.clock, removal.ids)],
    )


def _found(project: str, removal: Removal) -> dict[str, list[str]]:
    """Return what there is of a project, by kind; empty kinds are left out."""
    own = Belongings(project, removal.stack, removal.environment)
    found: dict[str, list[str]] = {
        kind: sorted(
            {
                name
                for search in own.searches(kind)
                for name in removal.resources.names(kind, search)
                if own.has(kind, name)
            }
        )
        for kind in KINDS
    }
    records = {"routes": Table.ROUTES, "declarations": Table.PROJECTS}
    for kind, table in records.items():
        if removal.state.get(table, {"project": project}) is not None:
            found[kind] = [project]
    return {kind: names for kind, names in found.items() if names}


def _busy(project: str, state: StateStore) -> list[str]:
    """Return what of a project is under way."""
    busy = [_name_of(item) for item in _runs(project, state) if item["status"] in _RUNNING]
    return busy + [
        f"release {item['release_id']}"
        for item in state.query(Table.RELEASES, project)
        if item.get("status") in _RELEASING
    ]


def _runs(project: str, state: StateStore) -> Iterator[Item]:
    """Yield runs, integrations and batches: what of the table Runs has a status."""
    for item in state.query(Table.RUNS, project):
        run_id = str(item["run_id"])
        if "status" in item and ("#" not in run_id or run_id.startswith((PREFIX, "commit#"))):
            yield item


def _name_of(item: Item) -> str:
    run_id = str(item["run_id"])
    if run_id.startswith(PREFIX):
        return f"batch {item['batch_id']}"
    return f"commit {item['commit_id']}" if run_id.startswith("commit#") else f"run {run_id}"
