"""Which features a read means: the pinned views of a model version, or groups by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from steward.contracts.steps.features import WantedGroup
from steward.domain.declaration import ColumnType
from steward.domain.errors import (
    EvidenceIncompleteError,
    ProjectNotFoundError,
    RejectedError,
    VersionNotFoundError,
)
from steward.domain.feature_groups import FeatureColumn, FeatureGroup, FeatureUse
from steward.domain.feature_versions import group_item
from steward.domain.names import feature_group_name
from steward.domain.online_engine import OnDemandQuery, WindowQuery
from steward.domain.project import Project, parse_project
from steward.domain.versions import version_item
from steward.ports import StateStore, Table
from steward.service.pinned import pinned_run


@dataclass(frozen=True)
class OnlineView:
    """One group version as a reader sees it.

    Attributes:
        physical_name: SageMaker's name.
        keys: For each key of the group, where the reader finds its value.
        columns: What is asked of it.
        windows: None where no aggregate is needed.
        on_demand: None where none is asked for.
    """

    group: FeatureGroup
    version: int
    physical_name: str
    keys: tuple[str, ...]
    columns: tuple[FeatureColumn, ...]
    windows: WindowQuery | None
    on_demand: OnDemandQuery | None


@dataclass(frozen=True)
class OnlineViews:
    """All that one read is about.

    Attributes:
        inputs: Types of the columns that a request may give for on-demand features.
        prediction_time: The input that is the moment of the read itself.
    """

    views: tuple[OnlineView, ...]
    inputs: Mapping[str, ColumnType]
    prediction_time: str | None


def views_of_version(
    state: StateStore, project: str, version: int, environment: str
) -> OnlineViews:
    """Return the views of a model version, as its run declared and pinned them; fixed for good.

    Raises:
        VersionNotFoundError: There is no such version.
        EvidenceIncompleteError: The version says not which versions of its groups it was trained
            on.
    """
    item = state.get(Table.VERSIONS, {"project": project, "item": version_item(version)})
    if item is None:
        raise VersionNotFoundError(
            f"project {project} has no version {version}", field="version", value=version,
            allowed="a registered version",
        )  # fmt: skip
    run = pinned_run(state, project, item["run_id"])
    pinned = item.get("feature_views") or run.item.get("feature_views") or []
    versions = {view["group"]: int(view["version"]) for view in pinned}
    declared = run.project
    groups = {group.feature_group: group for group in declared.feature_groups}
    for use in declared.features:
        if use.group not in versions:
            raise EvidenceIncompleteError(
                f"version {version} of {project} pins no version of the group {use.group}",
                field="feature_views", value=use.group, allowed="a pinned version of each group",
            )  # fmt: skip
    columns = declared.feature_columns
    return OnlineViews(
        tuple(
            _view(
                groups[use.group],
                versions[use.group],
                feature_group_name(environment, project, use.group, versions[use.group]),
                tuple(use.keys.get(key, key) for key in groups[use.group].keys),
                [column for column in columns if column.group == use.group],
                declared,
            )
            for use in declared.features
        ),
        _inputs(declared),
        declared.data.prediction_time,
    )


def views_of_groups(
    state: StateStore, project: str, wanted: Sequence[WantedGroup], environment: str
) -> OnlineViews:
    """Return views of groups by name, of the versions that are asked for or the newest active.

    Raises:
        ProjectNotFoundError: There is no such project.
        RejectedError: There is no such group, version or feature, or the version is retired.
    """
    item = state.get(Table.PROJECTS, {"project": project})
    if item is None:
        raise ProjectNotFoundError(
            f"no project {project!r}", field="project", value=project,
            allowed="a configured project",
        )  # fmt: skip
    declared = parse_project(item["config"])
    found = [(w, *_registered(state, project, w)) for w in wanted]
    uses = [FeatureUse(group=w.group, select=w.select) for w in wanted]
    names = [w.group for w in wanted]
    if len(set(names)) < len(names):
        raise RejectedError("a group is asked for twice", field="groups", value=names)
    for w, group, _ in found:
        for name in w.select or ():
            if name not in group.feature_names:
                raise RejectedError(
                    f"{w.group} has no feature {name!r}", field="groups.select", value=name,
                    allowed=", ".join(group.feature_names),
                )  # fmt: skip
    columns = list(_named([group for _, group, _ in found], uses))
    return OnlineViews(
        tuple(
            _view(
                group,
                version,
                feature_group_name(environment, project, w.group, version),
                tuple(group.keys),
                [column for column in columns if column.group == w.group],
                declared,
            )
            for w, group, version in found
        ),
        _inputs(declared),
        declared.data.prediction_time,
    )


def _registered(state: StateStore, project: str, wanted: WantedGroup) -> tuple[FeatureGroup, int]:
    if wanted.version is not None:
        key = {"project": project, "item": group_item(wanted.group, wanted.version)}
        item = state.get(Table.FEATURES, key)
        items = [item] if item else []
    else:
        items = state.query(
            Table.FEATURES, project, prefix=f"group#{wanted.group}#", newest_first=True
        )
    active = next((item for item in items if item["status"] == "active"), None)
    if active is None:
        label = f" version {wanted.version}" if wanted.version else ""
        raise RejectedError(
            f"project {project} has no active{label} of the group {wanted.group!r}",
            field="groups", value=wanted.group, allowed="a registered group that is not retired",
        )  # fmt: skip
    return FeatureGroup.model_validate(active["definition"]), int(active["version"])


def _named(groups: list[FeatureGroup], uses: list[FeatureUse]) -> Iterator[FeatureColumn]:
    """Yield columns of groups that no model joins: a name that clashes has the group's prefix."""
    found: list[FeatureColumn] = []
    for group, use in zip(groups, uses, strict=True):
        found += _columns_of(group, use)
    names = [column.name for column in found]
    for column in found:
        clash = names.count(column.name) > 1
        prefix = f"{column.group.replace('-', '_')}__" if clash else ""
        yield column.model_copy(update={"name": f"{prefix}{column.name}"})


def _columns_of(group: FeatureGroup, use: FeatureUse) -> list[FeatureColumn]:
    """Return the selected features of one group under their own names."""
    kinds: list[FeatureColumn] = [
        *(_column(group, f.name, f.type, "row") for f in group.features),
        *(_column(group, a.name, a.type, "aggregate") for a in group.aggregates),
        *(_column(group, o.name, o.type, "on_demand") for o in group.on_demand),
    ]
    return [column for column in kinds if use.select is None or column.name in use.select]


def _column(group: FeatureGroup, name: str, type_: ColumnType, kind: Any) -> FeatureColumn:
    return FeatureColumn(name=name, group=group.feature_group, feature=name, type=type_, kind=kind)


def _inputs(declared: Project) -> dict[str, ColumnType]:
    hidden = {declared.data.label.name, declared.data.label_known_at}
    return {c.name: c.type for c in declared.data.columns if c.name not in hidden}


def _view(
    group: FeatureGroup,
    version: int,
    physical_name: str,
    keys: tuple[str, ...],
    columns: list[FeatureColumn],
    declared: Project,
) -> OnlineView:
    names = {column.feature for column in columns}
    on_demand = [found for found in group.on_demand if found.name in names]
    read = {name for found in on_demand for name in found.parsed.columns}
    aggregates = [a.name for a in group.aggregates if a.name in names | read]
    types = _inputs(declared)
    inputs: dict[str, ColumnType] = {}
    for found in on_demand:
        for name in found.inputs:
            if name not in types:
                raise RejectedError(
                    f"{found.name} reads {name!r}, which is no column of the primary table any "
                    "more", field="groups.select", value=found.name,
                )  # fmt: skip
            inputs[name] = types[name]
    return OnlineView(
        group=group,
        version=version,
        physical_name=physical_name,
        keys=keys,
        columns=tuple(columns),
        windows=WindowQuery.of(group, aggregates) if aggregates else None,
        on_demand=(
            OnDemandQuery.of(group, [found.name for found in on_demand], inputs)
            if on_demand
            else None
        ),
    )
