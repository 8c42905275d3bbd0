"""The features of a dataset: the project's views joined to its examples."""

# ruff: noqa: S608 - names and values go through identifier() and literal()

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from steward.domain.datasets import DATASET, EXAMPLES
from steward.domain.errors import InvalidProjectError
from steward.domain.feature_groups import FeatureColumn, FeatureGroup, FeatureUse
from steward.domain.feature_transforms import on_demand_sql, parquet_columns
from steward.domain.feature_versions import label_of, source_table
from steward.domain.feature_views import FeatureView, Selected, Spine, window_of
from steward.domain.point_in_time import JoinReport, parquet_view, point_in_time_join
from steward.domain.project import Project
from steward.domain.tables import Table
from steward.domain.workspace import Connection, identifier

JOINED = "joined"


@dataclass(frozen=True)
class PinnedView:
    """A version of a group as a run uses it.

    Attributes:
        group: The definition of that version.
        version: Its number.
        use: How the project uses it.
        table: What it reads of its source, with the types that the version was registered with.
    """

    group: FeatureGroup
    version: int
    use: FeatureUse
    table: Table

    @property
    def label(self) -> str:
        """``<group>/v<version>``."""
        return label_of(self.group.feature_group, self.version)


@dataclass(frozen=True)
class Registered:
    """A version of a group as it was registered.

    Attributes:
        definition: Its declaration.
        table: What it reads of its source; None where that was not written down.
    """

    version: int
    definition: Any
    table: Any = None


def pinned_views(project: Project, definitions: Mapping[str, Registered]) -> list[PinnedView]:
    """Return the project's views in order of use.

    Args:
        definitions: By group the version that is pinned.

    Raises:
        InvalidProjectError: A version is not there, lacks a feature that the model uses, or has
            an entity of another type.
    """
    views = []
    for index, use in enumerate(project.features):
        if use.group not in definitions:
            raise InvalidProjectError(
                f"no version of the feature group {use.group} was pinned",
                field=f"features[{index}]", value=use.group, allowed=", ".join(definitions),
            )  # fmt: skip
        found = definitions[use.group]
        version, group = found.version, FeatureGroup.model_validate(found.definition)
        table = _table(project, group, found.table)
        _check_entity(project, group, table, use, f"features[{index}].version", version)
        for column in columns_of(project, use):
            if column.feature not in group.feature_names:
                raise InvalidProjectError(
                    f"{label_of(use.group, version)} has no feature {column.feature!r}",
                    field=f"features[{index}].version", value=version,
                    allowed=", ".join(group.feature_names),
                )  # fmt: skip
        views.append(PinnedView(group, version, use, table))
    return views


def _table(project: Project, group: FeatureGroup, registered: Any) -> Table:
    """Return a version's table; where none was registered, what the project declares now."""
    if registered is not None:
        return Table.model_validate(registered)
    declared = project.data.table(group.source)
    if declared is None:
        raise InvalidProjectError(
            f"{group.feature_group} has no source {group.source!r} any more",
            field="data.sources", value=group.source, allowed=", ".join(project.data.sources),
        )  # fmt: skip
    return source_table(group, declared)


def _check_entity(
    project: Project, group: FeatureGroup, table: Table, use: FeatureUse, field: str, version: int
) -> None:
    """Refuse a version, named in the declaration, whose entity was of another type."""
    for key in group.keys:
        own, other = project.data.column(use.keys.get(key, key)), table.column(key)
        if own is not None and other is not None and own.type != other.type:
            raise InvalidProjectError(
                f"the key {key!r} of {label_of(use.group, version)} is of type {other.type},"
                f" and {own.name!r} of the primary table of type {own.type}",
                field=field, value=version,
                allowed=f"a version whose key {key!r} is of type {own.type}",
            )  # fmt: skip


def columns_of(project: Project, use: FeatureUse) -> list[FeatureColumn]:
    """Return the columns that a model gets from one view."""
    return [column for column in project.feature_columns if column.group == use.group]


def join_features(
    connection: Connection,
    project: Project,
    views: list[PinnedView],
    relations: list[tuple[str, str]],
    cutoff: datetime,
    *,
    event_time_only: bool = False,
) -> JoinReport:
    """Create :data:`~steward.domain.datasets.DATASET`: the examples with all their features.

    Args:
        relations: For each view relation and row id as :func:`view_relation` returns them.
    """
    if not views:
        connection.execute(f"CREATE TABLE {DATASET} AS FROM {EXAMPLES}")
        row = connection.execute(f"SELECT count(*) FROM {DATASET}").fetchone()
        assert row is not None
        return JoinReport(int(row[0]), (), 0)
    assert project.data.prediction_time is not None
    described = [
        described_view(view, number, relation, row_id)
        for number, (view, (relation, row_id)) in enumerate(zip(views, relations, strict=True))
    ]
    report = point_in_time_join(
        connection, Spine(EXAMPLES, "row_", project.data.prediction_time), described, cutoff,
        event_time_only=event_time_only, into=JOINED,
    )  # fmt: skip
    finish_join(connection, project, views)
    return report


def finish_join(connection: Connection, project: Project, views: list[PinnedView]) -> None:
    """Add the on-demand features to :data:`JOINED` and give all columns their names."""
    values = []
    joins = [f"FROM {EXAMPLES} e JOIN {JOINED} j USING (row_)"]
    for number, view in enumerate(views):
        columns = columns_of(project, view.use)
        demanded = [column.feature for column in columns if column.kind == "on_demand"]
        if demanded:
            connection.execute(
                f"CREATE TABLE demanded_{number} AS"
                f" {on_demand_sql(view.group, _inputs(view, number), demanded)}"
            )
            joins.append(f"JOIN demanded_{number} d{number} USING (row_)")
        for column in columns:
            source = (
                f"d{number}.{identifier(column.feature)}"
                if column.kind == "on_demand"
                else f"j.{identifier(_column(number, column.feature))}"
            )
            values.append(f"{source} AS {identifier(column.name)}")
    connection.execute(
        f"CREATE TABLE {DATASET} AS SELECT e.*, {', '.join(values)} {' '.join(joins)}"
    )


def view_relation(
    connection: Connection, view: PinnedView, paths: list[str], number: int
) -> tuple[str, str]:
    """Return relation and row id of a view's Parquet; of no files an empty one of its columns."""
    if paths:
        return parquet_view(paths)
    columns = ", ".join(
        f"{identifier(name)} {type_}" for name, type_ in parquet_columns(view.group, view.table)
    )
    connection.execute(f"CREATE TEMP TABLE empty_{number} ({columns})")
    return f"empty_{number}", "v.rowid"


def _column(number: int, feature: str) -> str:
    """Return a feature's column in :data:`JOINED`, where the names of groups may not clash."""
    return f"view{number}__{feature}"


def _needed(view: PinnedView) -> set[str]:
    """Return the row features and aggregates to join: all of them for on-demand features."""
    selected = view.use.select
    on_demand = {feature.name for feature in view.group.on_demand}
    if selected is None or on_demand & set(selected):
        return set(view.group.feature_names) - on_demand
    return set(selected)


def described_view(
    view: PinnedView, number: int, relation: str, row_id: str = "v.rowid"
) -> FeatureView:
    """Return a pinned view as every engine joins it; its columns go to :data:`JOINED`."""
    group, needed = view.group, _needed(view)
    return FeatureView(
        name=view.label,
        relation=relation,
        keys=tuple((key, view.use.keys.get(key, key)) for key in group.keys),
        features=tuple(
            Selected(feature.name, _column(number, feature.name))
            for feature in group.features
            if feature.name in needed
        ),
        aggregates=tuple(
            window_of(aggregate, _column(number, aggregate.name))
            for aggregate in group.aggregates
            if aggregate.name in needed
        ),
        ttl_s=group.ttl_s,
        row_id=row_id,
    )


def _inputs(view: PinnedView, number: int) -> str:
    """Return a relation of what on-demand features read, under the group's own names."""
    of_group = [
        *(feature.name for feature in view.group.features),
        *(aggregate.name for aggregate in view.group.aggregates),
    ]
    names = [name for name in of_group if name in _needed(view)]
    features = "".join(
        f", j.{identifier(_column(number, name))} AS {identifier(name)}" for name in names
    )
    given = dict.fromkeys(name for feature in view.group.on_demand for name in feature.inputs)
    request = "".join(f", e.{identifier(name)}" for name in given)
    return (
        f"(SELECT e.row_{features}{request} FROM {EXAMPLES} e JOIN {JOINED} j USING (row_))"
    )  # fmt: skip
