"""Use case: a project is removed: what of it answers, acts or costs goes, what it was stays.

People may delete none of it by their own rights. They ask, and the ledger has who asked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from steward.contracts.events import ProjectRemoved
from steward.domain.batch_runs import PREFIX, BatchStatus
from steward.domain.belongings import KINDS, Belongings
from steward.domain.errors import ConflictError, ProjectNotFoundError
from steward.domain.integrations import IntegrationStatus
from steward.domain.releases import ReleaseStatus
from steward.domain.runs import RunStatus
from steward.ports import (
    Absent,
    Clock,
    Delete,
    Equals,
    Ids,
    Item,
    ProjectResources,
    Put,
    StateStore,
    Table,
    Update,
    Workflows,
)
from steward.service.emission import Cause, event

_RUNNING = {RunStatus.RUNNING, RunStatus.WAITING, IntegrationStatus.RUNNING, BatchStatus.RUNNING}
_RELEASING = {ReleaseStatus.RUNNING, ReleaseStatus.WAITING}
_STAGING = "staging#"
_ARNS = ("execution_arn", "integration_arn", "batch_arn")
_FIELDS = ("run_id", "status", "batch_id", "commit_id", "started_at", *_ARNS)
_STARTS_WITHIN = timedelta(days=1)
"""A record is written before its execution is started, and deliveries heal that for so long."""
_REMOVED = "removal#"
"""Sort key of the item of the table Runs that says that a project was removed."""
_NAMED = 5

Names = dict[str, list[str]]


@dataclass(frozen=True)
class Removal:
    """What removing works with.

    Attributes:
        stack: Name of the root stack.
        environment: The deployment environment.
    """

    state: StateStore
    resources: ProjectResources
    workflows: Workflows
    clock: Clock
    ids: Ids
    stack: str
    environment: str


@dataclass(frozen=True)
class _Records:
    """What says that a project is, or was, Steward's: without it, names prove nothing.

    Attributes:
        declared: Its declaration.
        route: Its route.
        removed: Of its latest removal: who, when, and what was left of it.
    """

    declared: Item | None
    route: Item | None
    removed: Item | None

    def __bool__(self) -> bool:
        return any(item is not None for item in (self.declared, self.route, self.removed))


def show_removal(project: str, removal: Removal) -> dict[str, Any]:
    """Return what there is of a project by kind, and what is at work and stops its removal."""
    records = _records(project, removal.state)
    return {
        "found": _found(project, records, removal),
        "busy": list(_busy(project, removal)) if records.declared is not None else [],
    }


def remove_project(
    project: str, actor: str, request_id: str, removal: Removal
) -> dict[str, dict[str, list[str]]]:
    """Delete what there is of a project outside its own stacks; return it, and what is left.

    Route and declaration go first, with the event, so that nothing begins any more. What is left
    is on its way: endpoints take minutes. The same again goes on where it stood, whatever is
    still at work then: without a declaration it can no longer finish, and the rest must go.

    Raises:
        ProjectNotFoundError: There is no such project, and nothing of it is left.
        ConflictError: A run, an integration, a staging, a release or a batch is under way, which
            would make again what is deleted, or the project was declared anew, or removed by
            somebody else, at this moment.
    """
    records = _records(project, removal.state)
    found = _found(project, records, removal)
    if not found:
        raise ProjectNotFoundError(f"no project {project!r}", field="project", value=project)
    busy = list(_busy(project, removal)) if records.declared is not None else []
    if busy:
        raise ConflictError(f"{project} is at work: {', '.join(busy[:_NAMED])}")
    cause = Cause(project, f"{project}-removal", request_id, actor)
    _undeclare(project, found, records, cause, removal)
    locks = [str(item["lock"]) for item in removal.state.scan(Table.LOCKS)]
    for lock in locks:
        if lock.startswith(f"{project}/"):
            removal.state.commit([Delete(Table.LOCKS, {"lock": lock})])
    deleted = _delete(found, removal.resources)
    left = _found(project, _records(project, removal.state), removal)
    if _marks(left) != _marks(found):
        key = {"project": project, "run_id": _REMOVED}
        removal.state.commit([Update(Table.RUNS, key, set={"left": _marks(left)})])
    return {"deleted": deleted, "left": left}


def _delete(found: Names, resources: ProjectResources) -> Names:
    """Delete in order; return what went, with the records that :func:`_undeclare` took away."""
    deleted: Names = {kind: found[kind] for kind in ("routes", "declarations") if kind in found}
    for kind in KINDS:
        ends = {name: resources.delete(kind, name) for name in found.get(kind, ())}
        went = [name for name, end in ends.items() if end == "deleted"]
        if went:
            deleted[kind] = went
        if "moving" in ends.values():
            break  # an endpoint is still being made of its configuration and models
    return deleted


def _undeclare(
    project: str, found: Names, records: _Records, cause: Cause, removal: Removal
) -> None:
    """Take away route and declaration, and tell what goes unless a removal before told it."""
    declared, removed = records.declared, records.removed
    told = set(removed["left"]) if removed is not None and declared is None else set()
    new = {
        kind: count
        for kind in KINDS
        if (count := sum(_mark(kind, name) not in told for name in found.get(kind, ())))
    }
    if declared is None and records.route is None and not new:
        return
    of = declared or {}
    payload = ProjectRemoved(
        found=new, config_digest=of.get("config_digest"), code_digest=of.get("code_digest")
    )
    record = {
        "project": project, "run_id": _REMOVED, "by": cause.actor, "request_id": cause.causation_id,
        "at": removal.clock.now().isoformat(timespec="milliseconds"), "left": _marks(found),
    }  # fmt: skip
    latest = Absent() if removed is None else Equals("request_id", removed["request_id"])
    same = [Equals(name, of.get(name)) for name in ("config_digest", "updated_at")]
    key = {"project": project}
    removal.state.commit(
        [
            Delete(Table.ROUTES, key),
            Delete(Table.PROJECTS, key, tuple(same)),
            Put(Table.RUNS, record, (latest,)),
        ],
        [event(payload, cause, removal.clock, removal.ids)],
    )


def _marks(found: Mapping[str, Iterable[str]]) -> list[str]:
    """Return short digests of names, of which thousands fit into an item."""
    return sorted(_mark(kind, name) for kind in KINDS for name in found.get(kind, ()))


def _mark(kind: str, name: str) -> str:
    return hashlib.sha256(f"{kind}/{name}".encode()).hexdigest()[:12]


def _records(project: str, state: StateStore) -> _Records:
    key = {"project": project}
    return _Records(
        state.get(Table.PROJECTS, key),
        state.get(Table.ROUTES, key),
        state.get(Table.RUNS, {**key, "run_id": _REMOVED}),
    )


def _found(project: str, records: _Records, removal: Removal) -> Names:
    """Return what there is of a project, by kind; empty kinds are left out."""
    if not records:
        return {}
    own = Belongings(project, removal.stack, removal.environment)
    found: Names = {
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
    for kind, item in (("routes", records.route), ("declarations", records.declared)):
        if item is not None:
            found[kind] = [project]
    return {kind: names for kind, names in found.items() if names}


def _busy(project: str, removal: Removal) -> Iterator[str]:
    """Yield what of a project is under way."""
    state = removal.state
    for item in state.query(Table.RUNS, project, fields=_FIELDS):
        if item.get("status") in _RUNNING and _is_work(item) and _under_way(item, removal):
            yield _name_of(item)
    for item in state.query(Table.VERSIONS, project, prefix=_STAGING):
        if item.get("status") == "running" and _under_way(item, removal):
            yield f"staging of version {item['version']}"
    for item in state.query(Table.RELEASES, project):
        if item.get("status") in _RELEASING and _under_way(item, removal):
            yield f"release {item['release_id']}"


def _is_work(item: Item) -> bool:
    """Return whether an item of the table Runs is a run, an integration or a batch."""
    run_id = str(item["run_id"])
    return "#" not in run_id or run_id.startswith((PREFIX, "commit#"))


def _under_way(item: Item, removal: Removal) -> bool:
    """Return whether what a record says is so: the event of an end may have been lost.

    Who waits has no execution yet. Nor has who began a moment ago; AWS forgets after 90 days.
    """
    arn = next((str(item[name]) for name in _ARNS if item.get(name)), "")
    execution = removal.workflows.find(arn) if arn else None
    if execution is not None:
        return not execution.has_ended
    began = item.get("started_at")
    if item["status"] == RunStatus.WAITING or began is None:
        return True
    return removal.clock.now() - datetime.fromisoformat(began) < _STARTS_WITHIN


def _name_of(item: Item) -> str:
    run_id = str(item["run_id"])
    if run_id.startswith(PREFIX):
        return f"batch {item['batch_id']}"
    return f"commit {item['commit_id']}" if run_id.startswith("commit#") else f"run {run_id}"
