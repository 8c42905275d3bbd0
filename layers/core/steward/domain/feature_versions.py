"""Versions of feature groups: another definition is another version, and the same one never is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from steward.domain.digests import digest_of
from steward.domain.errors import InvalidProjectError, RejectedError

if TYPE_CHECKING:
    from steward.domain.feature_groups import FeatureGroup, FeatureUse
    from steward.domain.tables import Data, Table

WIDTH = 4
STREAM = "stream"
"""In the place of a delivery or table: a row that came as an event."""


class GroupStatus(StrEnum):
    """Whether a version is fed and served."""

    ACTIVE = "active"
    RETIRED = "retired"


@dataclass(frozen=True)
class KnownVersion:
    """A version that was registered once, whatever became of it."""

    group: str
    version: int
    definition_digest: str
    status: GroupStatus = GroupStatus.ACTIVE
    source_digest: str | None = None


@dataclass(frozen=True)
class Assigned:
    """The version of one declared group.

    Attributes:
        is_new: It must be registered.
        is_revived: It was retired, and is declared again.
    """

    group: FeatureGroup
    version: int
    is_new: bool
    is_revived: bool = False


def source_table(group: FeatureGroup, table: Table) -> Table:
    """Return what a group reads of its source: the columns and their types, without rules."""
    from steward.domain.tables import Column, Table  # large, and few that know versions need them

    read = {*group.keys, group.event_time}
    read |= {name for name in (group.known_at, group.deleted) if isinstance(name, str)}
    parsed = [feature.parsed for feature in group.features]
    parsed += [found.parsed for found in group.aggregates if found.parsed is not None]
    parsed += [group.parsed_where] if group.parsed_where is not None else []
    read |= {name for expression in parsed for name in expression.columns}
    columns = [
        Column(name=column.name, type=column.type, nullable=True)
        for column in table.columns
        if column.name in read
    ]
    return Table(format=table.format, columns=columns, distribution=None)


def source_digest(table: Table) -> str:
    """Return the digest of the types of :func:`source_table`: another type is another version."""
    return digest_of([[column.name, column.type] for column in table.columns])


def assign_versions(
    known: Iterable[KnownVersion],
    declared: Iterable[FeatureGroup],
    data: Data | None = None,
) -> list[Assigned]:
    """Return the version of each declared group, in order.

    Args:
        known: All versions that were registered.
        declared: The groups of a project.
        data: Its tables: with them, a column of another type makes another version too.

    A definition that was registered keeps its number, also when others came between; any other
    gets the newest number and one. Numbers are never given twice, since files and SageMaker's
    names carry them.
    """
    versions: dict[str, list[KnownVersion]] = {}
    for found in known:
        versions.setdefault(found.group, []).append(found)
    assigned = []
    for group in declared:
        mine = versions.get(group.feature_group, [])
        same = _registered_for(mine, group, data)
        if same:
            best = max(same, key=lambda found: found.version)
            revived = best.status == GroupStatus.RETIRED
            assigned.append(Assigned(group, best.version, is_new=False, is_revived=revived))
        else:
            newest = max((found.version for found in mine), default=0)
            assigned.append(Assigned(group, newest + 1, is_new=True))
    return assigned


def _registered_for(
    versions: Iterable[KnownVersion], group: FeatureGroup, data: Data | None
) -> list[KnownVersion]:
    """Return the versions of a declared group: of its definition, and of its source's types."""
    table = data.table(group.source) if data is not None else None
    types = source_digest(source_table(group, table)) if table is not None else None
    return [
        found
        for found in versions
        if found.definition_digest == group.definition_digest
        and (None in (types, found.source_digest) or types == found.source_digest)
    ]


def group_item(group: str, version: int) -> str:
    """Return the sort key of a version in the features table."""
    return f"group#{group}#v{version:0{WIDTH}d}"


def materialisation_prefix(group: str, version: int) -> str:
    """Return the beginning of the sort keys of a version's materialisations."""
    return f"materialisation#{group}#v{version:0{WIDTH}d}#"


def materialisation_item(group: str, version: int, delivery_id: str) -> str:
    """Return the sort key of what became of one delivery in one version."""
    return f"{materialisation_prefix(group, version)}{delivery_id}"


def streamed_prefix(group: str, version: int) -> str:
    """Return the beginning of the sort keys of rows that came as events."""
    return materialisation_item(group, version, f"{STREAM}-")


def statistics_item(group: str, version: int) -> str:
    """Return the sort key of a version's statistics."""
    return f"statistics#{group}#v{version:0{WIDTH}d}"


def label_of(group: str, version: int) -> str:
    """Return how people, events and manifests name a version: ``<group>/v<N>``."""
    return f"{group}/v{version}"


def parse_label(label: str) -> tuple[str, int]:
    """Return group and version of a label.

    Raises:
        RejectedError: It is none.
    """
    group, separator, number = label.rpartition("/v")
    if not separator or not group or not number.isdigit() or int(number) < 1:
        raise RejectedError(
            f"{label!r} names no version of a feature group", field="group", value=label,
            allowed="<group>/v<N>",
        )  # fmt: skip
    return group, int(number)


def known_versions(items: Iterable[dict[str, Any]]) -> list[KnownVersion]:
    """Return the versions that the features table's ``group#`` items hold."""
    return [
        KnownVersion(
            item["group"], int(item["version"]), item["definition_digest"],
            GroupStatus(item["status"]), item.get("source_digest"),
        )
        for item in items
        if str(item["item"]).startswith("group#")
    ]  # fmt: skip


def pin_versions(
    items: Iterable[dict[str, Any]],
    declared: Iterable[FeatureGroup],
    uses: Iterable[FeatureUse],
    data: Data,
) -> list[dict[str, Any]]:
    """Return the versions that a run uses, ``{"group", "version"}`` in order of use.

    A use that names a version gets it; any other the one that was registered for the group's
    definition and the types of its source, as ``data`` declares them now.

    Raises:
        InvalidProjectError: There is no such version, or it is retired.
    """
    known = known_versions(items)
    by_name = {group.feature_group: group for group in declared}
    pinned = []
    for index, use in enumerate(uses):
        mine = [found for found in known if found.group == use.group]
        if use.version is not None:
            fitting = [found for found in mine if found.version == use.version]
        else:
            fitting = _registered_for(mine, by_name[use.group], data)
        active = [found for found in fitting if found.status == GroupStatus.ACTIVE]
        if not active:
            versions = ", ".join(
                f"v{found.version} ({found.status.value})" for found in mine
            )  # fmt: skip
            raise InvalidProjectError(
                f"no active version of the feature group {use.group} fits",
                field=f"features[{index}].version", value=use.version or "as declared",
                allowed=versions or "a group that was registered by `steward project push`",
            )  # fmt: skip
        best = max(active, key=lambda found: found.version)
        pinned.append({"group": use.group, "version": best.version})
    return pinned


def consumers_of(
    group: str,
    version: int,
    models: Iterable[dict[str, Any]],
    runs: Mapping[str, dict[str, Any]],
    route: Mapping[str, Any] | None,
) -> list[dict[str, Any]]:
    """Return the model versions that were trained on a version, and whether they answer now.

    Args:
        group: The feature group.
        version: Its version.
        models: Items of the project's model versions, which may pin views themselves.
        runs: Items of runs by id, which pin the views of the versions that they trained.
        route: What the project's gateway follows.
    """
    answering = {int(arm["version"]) for arm in (route or {}).get("arms", [])}
    found = []
    for item in models:
        run = runs.get(str(item.get("run_id")), {})
        views = item.get("feature_views") or run.get("feature_views") or ()
        if (group, version) in {(view["group"], int(view["version"])) for view in views}:
            number = int(item["version"])
            found.append(
                {
                    "version": number, "state": item.get("state"), "run_id": item.get("run_id"),
                    "answers": number in answering,
                }
            )  # fmt: skip
    return found
