"""Feature groups as they are declared: keys, times, features, one definition for both paths.

A group is made of one source (a delivered table). Row features are SQL expressions over a row,
aggregates are windows over the rows of a key that end at the moment of the prediction, and
on-demand features are computed from features and the request's own values.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from steward.domain.declaration import (
    ColumnType,
    GroupName,
    MisplacedError,
    Name,
    Scalar,
    Strict,
)
from steward.domain.digests import digest_of
from steward.domain.expressions import ExpressionError, Parsed, parse
from steward.domain.names import PRIMARY
from steward.domain.tables import Data, Table

RESERVED = frozenset(
    ("entity", "event_time", "known_at", "deleted", "digest", "erased_until",
     "written_at", "is_deleted", "write_time", "api_invocation_time")
)  # fmt: skip
"""What a record of SageMaker Feature Store holds besides features, ours first; see
:mod:`steward.domain.feature_records`."""

Expression = str
AggregateFunction = Literal["count", "sum", "mean", "min", "max"]


class RowFeature(Strict):
    """A feature of one row of the source.

    Attributes:
        name: The feature.
        type: Of its value.
        description: For people.
        expression: SQL over the source's typed columns; the column of its name by default.
    """

    name: Name
    type: ColumnType
    expression: Expression | None = Field(default=None, min_length=1, max_length=2000)
    description: str = Field(default="", max_length=255)

    @property
    def sql(self) -> str:
        """The expression, defaults applied."""
        return self.expression if self.expression is not None else f'"{self.name}"'

    @property
    def parsed(self) -> Parsed:
        """The expression, ready for the engine."""
        return parse(self.sql, None)


class Aggregate(Strict):
    """A window over the rows of a key: event times in ``(t - window_s, t]``, known at ``t``.

    Of rows with one key and event time the latest known counts. Sums are exact: integers as
    HUGEINT, floats as DECIMAL(38, 9); a mean is sum / count as DOUBLE.

    Attributes:
        name: The feature.
        function: What is computed of the window.
        of_type: Type of ``of``.
        window_s: Length of the window.
        description: For people.
        of: SQL over the source's typed columns; ``count`` needs none.
        max_rows: Rows of a window that the online record may hold; more is an error, not a
            silent cut.
    """

    name: Name
    function: AggregateFunction
    of: Expression | None = Field(default=None, min_length=1, max_length=2000)
    of_type: Literal["integer", "float"] = "float"
    window_s: int = Field(ge=1)
    max_rows: int = Field(default=500, ge=1, le=5000)
    description: str = Field(default="", max_length=255)

    @model_validator(mode="after")
    def _has_input(self) -> Self:
        if (self.of is None) != (self.function == "count"):
            raise ValueError("of: needed by sum, mean, min and max, and by no count")
        return self

    @property
    def type(self) -> ColumnType:
        """The type of its value."""
        if self.function == "count":
            return "integer"
        return "float" if self.function == "mean" else self.of_type

    @property
    def parsed(self) -> Parsed | None:
        """The input, ready for the engine; None for a count."""
        return parse(self.of, None) if self.of is not None else None


class OnDemandFeature(Strict):
    """A feature computed at the request.

    Attributes:
        name: The feature.
        type: Of its value.
        description: For people.
        expression: SQL over the group's features and the request's columns.
        inputs: Columns of the request (of the primary table offline) that it reads.
    """

    name: Name
    type: ColumnType
    expression: Expression = Field(min_length=1, max_length=2000)
    inputs: list[Name] = Field(default_factory=list)
    description: str = Field(default="", max_length=255)

    @property
    def parsed(self) -> Parsed:
        """The expression, ready for the engine."""
        return parse(self.expression, None)


class Backfill(Strict):
    """``known_at`` of a history that has none: event time and a delay; flagged in every report.

    Attributes:
        backfill_delay_s: Added to the event time.
    """

    backfill_delay_s: int = Field(ge=0)


class FeatureGroup(Strict):
    """One ``features/<name>.yaml``.

    Attributes:
        feature_group: Its name, as the file's.
        description: For people, and in SageMaker.
        owner: Who answers for it.
        tags: For search.
        source: The table that it is made of: `data` or one of `data.sources`.
        features: Of one row.
        aggregates: Over a window.
        on_demand: Computed at the request.
        keys: Columns of the source that name the entity.
        event_time: When it was so.
        known_at: When it was known: a column, or a backfill's delay. Without it, event time.
        deleted: Boolean column: the row is a tombstone.
        where: SQL over the typed columns; other rows are no part of the group.
        ttl_s: How long a value counts after its event time, inclusive; 0 is without end.
    """

    feature_group: GroupName
    description: str = Field(default="", max_length=255)
    owner: str = Field(min_length=1, max_length=100)
    tags: dict[str, str] = Field(default_factory=dict)
    source: GroupName = PRIMARY
    keys: list[Name] = Field(min_length=1, max_length=5)
    event_time: Name
    known_at: Name | Backfill | None = None
    deleted: Name | None = None
    where: Expression | None = Field(default=None, min_length=1, max_length=2000)
    ttl_s: int = Field(default=0, ge=0)
    features: list[RowFeature] = Field(default_factory=list)
    aggregates: list[Aggregate] = Field(default_factory=list)
    on_demand: list[OnDemandFeature] = Field(default_factory=list)

    @field_validator("feature_group")
    @classmethod
    def _no_trailing_hyphen(cls, name: str) -> str:
        if name.endswith("-") or "--" in name:
            raise ValueError("single hyphens between letters and digits only")
        return name

    @model_validator(mode="after")
    def _named_once(self) -> Self:
        names = self.feature_names
        if not names:
            raise ValueError(
                "a feature group needs a feature, an aggregate or an on-demand feature"
            )
        taken = [*self.keys, *names, *(f"of_{aggregate.name}" for aggregate in self.aggregates)]
        # Engine, catalogue and SageMaker do not tell upper from lower case.
        lower = [name.lower() for name in taken]
        twice = sorted({name for name in taken if lower.count(name.lower()) > 1})
        if twice:
            raise ValueError(f"features named twice, or named like a key: {', '.join(twice)}")
        for name in names:
            if name.lower() in RESERVED or name.startswith("_") or name.endswith("_"):
                raise ValueError(
                    f"a feature may not be named {name!r}; allowed: names that neither begin nor "
                    f"end with an underscore, other than {', '.join(sorted(RESERVED))}"
                )
        for key in self.keys:
            if key.lower() in ("event_time_", "known_at_", "deleted_", "digest_", "row_"):
                raise ValueError(f"a key may not be named {key!r}")
        return self

    @property
    def feature_names(self) -> list[str]:
        """All features in order: of the row, aggregates, on demand."""
        return [
            *(feature.name for feature in self.features),
            *(aggregate.name for aggregate in self.aggregates),
            *(feature.name for feature in self.on_demand),
        ]

    def plain_column(self, feature: str) -> str | None:
        """Return the source's column that a feature is as it stands, else None."""
        found = next((f for f in self.features if f.name == feature), None)
        return feature if found is not None and found.expression is None else None

    @property
    def is_backfill(self) -> bool:
        """Whether ``known_at`` is declared by a delay."""
        return isinstance(self.known_at, Backfill)

    @property
    def definition_digest(self) -> str:
        """Digest of what decides values; another one is another version of the group.

        Owner, description and tags may change within a version.
        """
        decides = self.model_dump(mode="json", exclude={"description", "owner", "tags"})
        return digest_of(decides)

    def check_against(self, table: Table) -> None:
        """Raise ValueError where the source lacks a column, or has it with another type."""
        for place, name in enumerate(self.keys):
            column, path = table.column(name), f"keys[{place}]"
            told = f"{self.feature_group}: key {name!r}"
            if column is None:
                listed = ", ".join(column.name for column in table.columns)
                raise MisplacedError(path, f"{told} is not in {self.source!r}", name, listed)
            if column.type not in ("string", "integer"):
                raise MisplacedError(
                    path, f"{told} is of type {column.type}", column.type, "string, integer"
                )
            if column.nullable:
                raise MisplacedError(path, f"{told} may not be nullable", name, "nullable: false")
        table.require_timestamp(f"{self.feature_group}: event_time", self.event_time)
        if isinstance(self.known_at, str):
            table.require_timestamp(f"{self.feature_group}: known_at", self.known_at)
        if self.deleted is not None:
            column = table.column(self.deleted)
            if column is None or column.type != "boolean":
                raise ValueError(f"{self.feature_group}: deleted {self.deleted!r} is no boolean")
        columns = [column.name for column in table.columns]
        if self.where is not None:
            _check_expression("where", self.where, columns)
        for index, feature in enumerate(self.features):
            # An expression by default is the column of the feature's name.
            _check_expression(f"features[{index}].expression", feature.sql, columns)
        for index, aggregate in enumerate(self.aggregates):
            if aggregate.of is not None:
                _check_expression(f"aggregates[{index}].of", aggregate.of, columns)

    def check_on_demand(self, data: Data) -> None:
        """Raise MisplacedError where an on-demand feature reads what is not there to read.

        It reads features of the group and its inputs: columns of the primary table that are known
        when the prediction is asked for, so never the label.
        """
        known = self.feature_names[: len(self.features) + len(self.aggregates)]
        later = {data.label.name, data.label_known_at}
        for index, feature in enumerate(self.on_demand):
            path = f"on_demand[{index}]"
            for place, name in enumerate(feature.inputs):
                if data.column(name) is None or name in later:
                    raise MisplacedError(
                        f"{path}.inputs[{place}]",
                        f"{name!r} is no column of the primary table that a request may give",
                        name,
                    )
                if name.lower() in {other.lower() for other in known}:
                    raise MisplacedError(
                        f"{path}.inputs[{place}]", f"{name!r} is a feature of the group", name
                    )
            _check_expression(f"{path}.expression", feature.expression, [*known, *feature.inputs])

    @property
    def parsed_where(self) -> Parsed | None:
        """The condition, ready for the engine."""
        return parse(self.where, None) if self.where is not None else None


def _check_expression(path: str, text: str, columns: list[str]) -> None:
    try:
        parse(text, columns)
    except ExpressionError as error:
        raise MisplacedError(path, str(error), text) from None


class FeatureUse(Strict):
    """A model's view of a group.

    Attributes:
        group: Name of the feature group.
        select: Features of it; all by default.
        version: A version of the group; the newest by default, pinned when the run starts.
        keys: For each key of the group the column of the primary table; same name by default.
    """

    group: GroupName
    select: list[Name] | None = Field(default=None, min_length=1)
    version: int | None = Field(default=None, ge=1)
    keys: dict[Name, Name] = Field(default_factory=dict)


class FeatureColumn(Strict):
    """One column that a model gets from a view.

    Attributes:
        name: Its name in the dataset: the feature's, or ``<group>__<feature>`` where two clash.
    """

    name: Name
    group: GroupName
    feature: Name
    type: ColumnType
    kind: Literal["row", "aggregate", "on_demand"]


def feature_columns(
    data: Data, groups: list[FeatureGroup], uses: list[FeatureUse]
) -> list[FeatureColumn]:
    """Return the columns that a model gets from its views, in order of use and declaration.

    Raises:
        ValueError: A group, feature or key does not exist, a group is used twice, keys of one
            column differ in type, or features are joined without ``prediction_time``.
    """
    by_name = {group.feature_group: group for group in groups}
    if len(by_name) < len(groups):
        raise ValueError("two feature groups have one name")
    if uses and data.prediction_time is None:
        raise MisplacedError(
            "data.prediction_time", "data.prediction_time is needed to join features in time",
            None, "a timestamp column of the primary table",
        )  # fmt: skip
    found: list[FeatureColumn] = []
    for index, use in enumerate(uses):
        group, path = by_name.get(use.group), f"features[{index}]"
        if group is None:
            known = ", ".join(sorted(by_name)) or "none declared"
            raise MisplacedError(f"{path}.group", f"no group {use.group!r}", use.group, known)
        if use.group in {before.group for before in uses[:index]}:
            raise MisplacedError(f"{path}.group", f"{use.group} is used twice", use.group, "once")
        _check_keys(data, group, use, path)
        kinds: list[tuple[str, ColumnType, Literal["row", "aggregate", "on_demand"]]] = [
            *((f.name, f.type, "row") for f in group.features),
            *((a.name, a.type, "aggregate") for a in group.aggregates),
            *((o.name, o.type, "on_demand") for o in group.on_demand),
        ]
        for place, name in enumerate(use.select or ()):
            if name not in group.feature_names:
                listed = ", ".join(group.feature_names)
                told = f"{use.group} has no feature {name!r}"
                raise MisplacedError(f"{path}.select[{place}]", told, name, listed)
        found += [
            FeatureColumn(name=name, group=use.group, feature=name, type=type_, kind=kind)
            for name, type_, kind in kinds
            if use.select is None or name in use.select
        ]
    taken = [column.name for column in data.columns] + [column.name for column in found]
    return [
        column.model_copy(update={"name": f"{column.group.replace('-', '_')}__{column.name}"})
        if taken.count(column.name) > 1
        else column
        for column in found
    ]


def _check_keys(data: Data, group: FeatureGroup, use: FeatureUse, path: str) -> None:
    """Raise MisplacedError where a view's entity is none of the primary table's, or another type.

    So all views of a project agree with each other on the type of an entity.
    """
    source = data.table(group.source)
    assert source is not None
    listed = ", ".join(column.name for column in data.columns)
    for key in use.keys:
        if key not in group.keys:
            told = f"{use.group} has no key {key!r}"
            raise MisplacedError(f"{path}.keys.{key}", told, key, ", ".join(group.keys))
    for key in group.keys:
        name = use.keys.get(key, key)
        own, other = data.column(name), source.column(key)
        if own is None:
            told = f"the primary table has no column {name!r} for the key {key!r} of {use.group}"
            raise MisplacedError(f"{path}.keys.{key}", told, name, listed)
        if other is not None and own.type != other.type:
            raise MisplacedError(
                f"{path}.keys.{key}",
                f"the key {key!r} of {use.group} is of type {other.type} in the source"
                f" {group.source!r}, and {name!r} of the primary table of type {own.type}",
                other.type, f"{own.type}, as all views of one entity have it",
            )  # fmt: skip


def request_inputs(groups: list[FeatureGroup], uses: list[FeatureUse]) -> list[str]:
    """Return the request's columns that on-demand features in use read."""
    used = {use.group: use for use in uses}
    names: dict[str, None] = {}
    for group in groups:
        use = used.get(group.feature_group)
        for feature in group.on_demand if use else ():
            if use and (use.select is None or feature.name in use.select):
                names.update(dict.fromkeys(feature.inputs))
    return list(names)


__all__ = [
    "Aggregate", "Backfill", "FeatureColumn", "FeatureGroup", "FeatureUse", "OnDemandFeature",
    "RowFeature", "Scalar", "feature_columns", "request_inputs",
]  # fmt: skip
