"""The catalogue of feature groups: which versions there are, who uses them, how they end.

Shared by the domains that register, feed and serve features; it writes the features table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from steward.contracts.events import Event, FeatureGroupRetired, FeatureGroupVersioned
from steward.domain.errors import ConflictError, FeatureGroupNotFoundError, RejectedError
from steward.domain.feature_groups import FeatureGroup
from steward.domain.feature_versions import (
    Assigned,
    GroupStatus,
    assign_versions,
    consumers_of,
    group_item,
    known_versions,
    label_of,
    source_digest,
    source_table,
)
from steward.domain.names import feature_group_name
from steward.domain.tables import Table as SourceTable
from steward.ports import (
    Absent,
    Change,
    Clock,
    Equals,
    Ids,
    Item,
    Put,
    StateStore,
    Table,
    Update,
)
from steward.service.emission import Cause, event

if TYPE_CHECKING:
    from steward.domain.project import Project

GROUPS = "group#"


@dataclass(frozen=True)
class GroupVersion:
    """One registered version with its declaration as it was registered."""

    item: Item
    group: FeatureGroup

    @property
    def version(self) -> int:
        """Its number."""
        return int(self.item["version"])

    @property
    def table(self) -> SourceTable:
        """What it reads of its source, with the types that it was registered with."""
        return SourceTable.model_validate(self.item["source_table"])

    @property
    def label(self) -> str:
        """``<group>/v<N>``."""
        return label_of(self.group.feature_group, self.version)

    @property
    def physical_name(self) -> str:
        """Name of its SageMaker feature group."""
        return str(self.item["physical_name"])

    @property
    def is_active(self) -> bool:
        """Whether it is fed and served."""
        return bool(self.item["status"] == GroupStatus.ACTIVE)


def group_versions(
    state: StateStore, project: str, group: str | None = None, *, active: bool = False
) -> list[GroupVersion]:
    """Return the registered versions of a project, or of one of its groups, in order."""
    prefix = f"{GROUPS}{group}#" if group else GROUPS
    found = [_of_item(item) for item in state.query(Table.FEATURES, project, prefix=prefix)]
    return [version for version in found if version.is_active or not active]


def need_group_version(state: StateStore, project: str, group: str, version: int) -> GroupVersion:
    """Return one version.

    Raises:
        FeatureGroupNotFoundError: The project has no such version.
    """
    item = state.get(Table.FEATURES, {"project": project, "item": group_item(group, version)})
    if item is None:
        raise FeatureGroupNotFoundError(
            f"project {project!r} has no feature group {label_of(group, version)}",
            field="group", value=label_of(group, version),
            allowed="a registered version: `steward features list PROJECT`",
        )  # fmt: skip
    return _of_item(item)


def _of_item(item: Item) -> GroupVersion:
    return GroupVersion(item, FeatureGroup.model_validate(item["definition"]))


def registration(
    project: Project,
    *,
    state: StateStore,
    environment: str,
    cause: Cause,
    clock: Clock,
    ids: Ids,
) -> tuple[list[Change], list[Event]]:
    """Return what registers the project's declared groups: part of one transaction of a push.

    A new definition is a new version, with its event. Owner, description and tags of a version
    follow the declaration. A version that is declared no more stays as it is until somebody
    retires it, since models may use it.
    """
    name = project.project
    items = {str(item["item"]): item for item in state.query(Table.FEATURES, name, prefix=GROUPS)}
    changes: list[Change] = []
    events: list[Event] = []
    now = clock.now().isoformat(timespec="milliseconds")
    known = known_versions(items.values())
    for assigned in assign_versions(known, project.feature_groups, project.data):
        key = group_item(assigned.group.feature_group, assigned.version)
        physical = feature_group_name(
            environment, name, assigned.group.feature_group, assigned.version
        )
        source = project.data.table(assigned.group.source)
        assert source is not None
        reads = source_table(assigned.group, source)
        described = {
            "definition": assigned.group.model_dump(mode="json"),
            "source_table": reads.model_dump(mode="json"),
            "source_digest": source_digest(reads),
        }
        if assigned.is_new:
            changes.append(
                Put(Table.FEATURES, _new_item(name, assigned, described, physical, cause, now),
                    expect=(Absent(),))
            )  # fmt: skip
        elif assigned.is_revived or any(items[key].get(k) != v for k, v in described.items()):
            changes.append(
                Update(
                    Table.FEATURES, {"project": name, "item": key},
                    set={**described, "status": GroupStatus.ACTIVE.value,
                         "updated_at": now, **({"revived_at": now} if assigned.is_revived else {})},
                    expect=(Equals("status", items[key]["status"]),),
                )
            )  # fmt: skip
        if assigned.is_new or assigned.is_revived:
            payload = FeatureGroupVersioned(
                group=assigned.group.feature_group, version=assigned.version,
                definition_digest=assigned.group.definition_digest, physical_name=physical,
                source_table=assigned.group.source, is_backfill=assigned.group.is_backfill,
            )  # fmt: skip
            events.append(event(payload, cause, clock, ids))
    return changes, events


def _new_item(
    project: str,
    assigned: Assigned,
    described: dict[str, Any],
    physical: str,
    cause: Cause,
    now: str,
) -> Item:
    group = assigned.group
    return {
        "project": project, "item": group_item(group.feature_group, assigned.version),
        "group": group.feature_group, "version": assigned.version, **described,
        "definition_digest": group.definition_digest, "status": GroupStatus.ACTIVE.value,
        "physical_name": physical, "source": group.source, "is_backfill": group.is_backfill,
        "created_at": now, "updated_at": now, "created_by": cause.actor,
    }  # fmt: skip


def consumers(state: StateStore, project: str, group: str, version: int) -> list[dict[str, Any]]:
    """Return the model versions that were trained on a version, with whether they answer now.

    Reads the projects, runs, versions and routes tables.
    """
    models = state.query(Table.VERSIONS, project, prefix="version#")
    runs: dict[str, Item] = {}
    for run_id in {str(item["run_id"]) for item in models if item.get("run_id")}:
        run = state.get(Table.RUNS, {"project": project, "run_id": run_id})
        runs[run_id] = run or {}
    return consumers_of(group, version, models, runs, state.get(Table.ROUTES, {"project": project}))


def _is_declared(project: Project, state: StateStore, found: GroupVersion) -> bool:
    known = known_versions(state.query(Table.FEATURES, project.project, prefix=GROUPS))
    return any(
        assigned.group.feature_group == found.group.feature_group
        and assigned.version == found.version
        for assigned in assign_versions(known, project.feature_groups, project.data)
    )


def retire(
    project: str,
    group: str,
    version: int,
    *,
    state: StateStore,
    cause: Cause,
    clock: Clock,
    ids: Ids,
) -> dict[str, Any]:
    """Serve and feed a version no more; its files stay, since datasets were built of them.

    Retiring what is retired changes nothing.

    Raises:
        FeatureGroupNotFoundError: There is no such version.
        RejectedError: The project declares it, or a model version that answers uses it.
    """
    found = need_group_version(state, project, group, version)
    if not found.is_active:
        return {"group": group, "version": version, "status": found.item["status"]}
    from steward.domain.project import parse_project  # large, and few need it

    configured = state.get(Table.PROJECTS, {"project": project})
    if configured is not None and _is_declared(parse_project(configured["config"]), state, found):
        raise RejectedError(
            f"{found.label} is what the project declares", field="version", value=version,
            allowed="a version whose definition was replaced or removed",
        )  # fmt: skip
    users = [use for use in consumers(state, project, group, version) if use["answers"]]
    if users:
        names = ", ".join(str(use["version"]) for use in users)
        raise RejectedError(
            f"{found.label} feeds model versions that answer now: {names}", field="version",
            value=version, allowed="a version that no answering model uses",
        )  # fmt: skip
    now = clock.now().isoformat(timespec="milliseconds")
    payload = FeatureGroupRetired(group=group, version=version, by=cause.actor)
    change = Update(
        Table.FEATURES, {"project": project, "item": group_item(group, version)},
        set={"status": GroupStatus.RETIRED.value, "retired_at": now, "retired_by": cause.actor},
        expect=(Equals("status", GroupStatus.ACTIVE.value),),
    )  # fmt: skip
    try:
        state.commit([change], [event(payload, cause, clock, ids)])
    except ConflictError:
        raise ConflictError(f"others are changing {found.label}") from None
    return {"group": group, "version": version, "status": GroupStatus.RETIRED.value}
