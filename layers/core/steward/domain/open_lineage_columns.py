"""Where each column of a dataset and of its feature groups comes from, by its manifest.

Expressions are parsed, so a feature leads to exactly the columns that it reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # read where a declaration is: most events carry none
    from steward.domain.feature_groups import FeatureGroup, FeatureUse

Manifest = Mapping[str, Any]


@dataclass(frozen=True)
class Origin:
    """A column that another one is made of.

    Attributes:
        view: ``<group>/v<N>`` whose feature it is; None for a column of a delivered table.
        how: OpenLineage's subtype of a direct transformation.
    """

    view: str | None
    field: str
    how: str


@dataclass(frozen=True)
class Column:
    """A column with what it is made of."""

    name: str
    type: str
    origins: tuple[Origin, ...]


def dataset_columns(manifest: Manifest) -> list[Column]:
    """Return the columns of a dataset: of the primary table, then of its views.

    A manifest that the declarations of today cannot read has none.
    """
    declared = manifest.get("declaration") or manifest
    if not declared.get("data"):
        return []
    from steward.domain.feature_groups import feature_columns
    from steward.domain.tables import Data

    try:
        data = Data.model_validate(declared["data"])
        joined = [_Joined.of(feature) for feature in manifest.get("features") or []]
        groups, uses = [one.group for one in joined], [one.use for one in joined]
        added = feature_columns(data, groups, uses)
    except (ValueError, KeyError, TypeError):
        return []
    views = {one.use.group: one for one in joined}
    own = [
        Column(column.name, column.type, (Origin(None, column.name, "IDENTITY"),))
        for column in data.columns
    ]
    return own + [
        Column(column.name, column.type, views[column.group].origins(column.feature, column.kind))
        for column in added
    ]


def view_columns(feature: Mapping[str, Any]) -> list[Column]:
    """Return the features that a view holds, made of columns of the group's source.

    Args:
        feature: One entry of a manifest's ``features``.
    """
    from steward.domain.feature_groups import FeatureGroup

    try:
        group = FeatureGroup.model_validate(feature["definition"])
    except (ValueError, KeyError, TypeError):
        return []
    plain = [
        Column(each.name, each.type, tuple(_read(each.parsed.columns, each.sql)))
        for each in group.features
    ]
    windows = [
        Column(
            each.name, "integer" if each.function == "count" else each.of_type,
            tuple(Origin(None, name, "AGGREGATION") for name in _input(each, group)),
        )
        for each in group.aggregates
    ]  # fmt: skip
    return plain + windows


def _input(aggregate: Any, group: FeatureGroup) -> tuple[str, ...]:
    """Return what an aggregate reads; a count reads that there is a row of the key."""
    parsed = aggregate.parsed
    return parsed.columns if parsed is not None else tuple(group.keys)


def _read(columns: tuple[str, ...], sql: str) -> list[Origin]:
    same = len(columns) == 1 and sql.strip().strip('"') == columns[0]
    return [Origin(None, name, "IDENTITY" if same else "TRANSFORMATION") for name in columns]


@dataclass(frozen=True)
class _Joined:
    label: str
    group: FeatureGroup
    use: FeatureUse

    @classmethod
    def of(cls, feature: Mapping[str, Any]) -> _Joined:
        from steward.domain.feature_groups import FeatureGroup, FeatureUse

        return cls(
            feature["view"],
            FeatureGroup.model_validate(feature["definition"]),
            FeatureUse.model_validate(feature["use"]),
        )

    def origins(self, feature: str, kind: str) -> tuple[Origin, ...]:
        """Return what a feature of the dataset is: one of the view, or computed on demand."""
        if kind != "on_demand":
            return (Origin(self.label, feature, "IDENTITY"),)
        computed = next(each for each in self.group.on_demand if each.name == feature)
        return tuple(
            Origin(None if name in computed.inputs else self.label, name, "TRANSFORMATION")
            for name in computed.parsed.columns
        )
