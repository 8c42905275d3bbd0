"""What a table that is delivered must be: its format, columns and rules."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, Self

from pydantic import Field, model_validator

from steward.domain.declaration import (
    ColumnType,
    GroupName,
    MisplacedError,
    Name,
    Scalar,
    Severity,
    Strict,
)
from steward.domain.expressions import ExpressionError, Parsed, parse
from steward.domain.names import PRIMARY

Task = Literal["binary", "regression"]


class Label(Strict):
    """The column that is predicted, and what the model says of it.

    Attributes:
        name: Column that is predicted.
        task: `binary` models answer the probability of `positive`, `regression` models a number.
        positive: Its value whose probability is asked for, 1 by default; of `binary` alone.
    """

    name: Name
    task: Task = "binary"
    positive: Scalar | None = None

    @model_validator(mode="before")
    @classmethod
    def _one_is_positive(cls, declared: object) -> object:
        if not isinstance(declared, dict) or declared.get("task", "binary") != "binary":
            return declared
        return declared if "positive" in declared else {**declared, "positive": 1}

    @model_validator(mode="after")
    def _positive_of_binary(self) -> Self:
        if self.task == "regression" and self.positive is not None:
            raise MisplacedError(
                "positive", "a number has no positive value", self.positive,
                "nothing, or task: binary",
            )  # fmt: skip
        if self.task == "binary" and self.positive is None:
            raise MisplacedError(
                "positive", "task binary needs the value whose probability is asked for",
                None, "a value of the column, or task: regression",
            )  # fmt: skip
        return self

    @property
    def positive_value(self) -> Scalar:
        """The positive value of a binary label."""
        if self.positive is None:
            raise ValueError(f"{self.name} is a number and has no positive value")
        return self.positive


class Column(Strict):
    """One column of a table and what its values may be.

    Attributes:
        name: As in the header.
        type: Timestamps are ISO 8601; an offset is converted to UTC, none is UTC.
        nullable: Whether a value may be missing.
        unique: No value twice within a delivery.
        min: Smallest number.
        max: Largest number.
        allowed: The closed list of values.
        pattern: RE2 expression for the whole string.
        max_null_share: Largest share of rows without a value, for nullable columns.
        severity: What any broken rule of this column does. A share of rows cannot be set aside:
            for ``max_null_share`` ``quarantine_rows`` rejects.
    """

    name: Name
    type: ColumnType
    nullable: bool = False
    max_null_share: float | None = Field(default=None, ge=0, le=1)
    unique: bool = False
    min: float | None = None
    max: float | None = None
    allowed: list[Scalar] | None = None
    pattern: str | None = None
    severity: Severity = "reject"

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        numeric = self.type in ("integer", "float")
        if not numeric and (self.min is not None or self.max is not None):
            raise ValueError("min and max are for integer and float columns")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}")
        if self.pattern is not None and self.type != "string":
            raise ValueError("pattern is for string columns")
        if self.max_null_share is not None and not self.nullable:
            raise ValueError("max_null_share is for nullable columns")
        return self


class RowRule(Strict):
    """A rule over several columns of a row.

    Attributes:
        name: Shown where it is broken.
        expression: SQL over the typed columns that is true or null for a row that keeps it.
        message: What a person is told.
        severity: What a broken rule does.
    """

    name: Name
    expression: str = Field(min_length=1, max_length=2000)
    message: str = Field(default="", max_length=300)
    severity: Severity = "reject"

    def parsed(self, columns: list[str]) -> Parsed:
        """Return the checked expression.

        Raises:
            ValueError: It is no expression over these columns.
        """
        try:
            return parse(self.expression, columns)
        except ExpressionError as error:
            raise ValueError(f"rule {self.name}: {error}") from None


class RowCount(Strict):
    """How many rows a delivery has.

    Attributes:
        min: Fewest rows.
        max: Most rows.
        severity: What another number does.
    """

    min: int = Field(default=1, ge=0)
    max: int | None = Field(default=None, ge=1)
    severity: Literal["reject", "warn"] = "reject"

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}")
        return self


class Freshness(Strict):
    """The newest value of a timestamp column is at most this old when the delivery arrives.

    Attributes:
        column: A timestamp column.
        max_age_s: Greatest age.
        severity: What an older one does.
    """

    column: Name
    max_age_s: int = Field(ge=1)
    severity: Literal["reject", "warn"] = "reject"


class Distribution(Strict):
    """Comparison with the last accepted delivery and with the training baseline.

    One pre-declared p-value a column (rank-sum and scale, or chi-square), Benjamini-Hochberg over
    the columns at ``fdr``, and an effect floor; see STATISTICS 20, 21 and 32.

    Attributes:
        columns: Columns that are compared; all but keys and timestamps by default.
        fdr: False discovery rate over the columns.
        min_effect: Floor on |2 AUC - 1| and total variation (numbers), or total variation.
        severity: What a difference does.
    """

    columns: list[Name] | None = None
    fdr: float = Field(default=0.03, gt=0, lt=0.5)
    min_effect: float = Field(default=0.1, ge=0, lt=1)
    severity: Literal["reject", "warn"] = "warn"


_RESERVED = frozenset({"row_", "order_", "part_", "position_"})


class Table(Strict):
    """One kind of file that is delivered. A name that ends in ``.gz`` is unpacked.

    Attributes:
        format: Of the file.
        columns: In any order in the file; others are refused.
        rules: Rules over several columns.
        row_count: How many rows a delivery has.
        freshness: How old its newest row may be.
        distribution: Comparison with earlier deliveries; null for none.
        max_quarantined_share: Largest share of rows that may be set aside; more rejects.
    """

    format: Literal["csv", "jsonl", "parquet"] = "csv"
    columns: list[Column] = Field(min_length=2)
    rules: list[RowRule] = Field(default_factory=list)
    row_count: RowCount = Field(default_factory=RowCount)
    freshness: Freshness | None = None
    distribution: Distribution | None = Field(default_factory=Distribution)
    max_quarantined_share: float = Field(default=0.1, ge=0, le=1)

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        names = [column.name for column in self.columns]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"columns named twice: {', '.join(twice)}")
        folded = [name.lower() for name in names]
        alike = sorted({name for name in names if folded.count(name.lower()) > 1})
        if alike:
            raise ValueError(f"columns that differ in case alone: {', '.join(alike)}")
        taken = sorted(_RESERVED.intersection(folded))
        if taken:
            raise ValueError(f"columns named like Steward's own: {', '.join(taken)}")
        for place, rule in enumerate(self.rules):
            try:
                rule.parsed(names)
            except ValueError as error:
                raise ValueError(f"rules[{place}].expression: {error}") from None
        ruled = [rule.name for rule in self.rules]
        if len(set(ruled)) < len(ruled):
            raise ValueError("two rules have one name")
        if self.freshness is not None:
            self.require_timestamp("freshness.column", self.freshness.column)
        for name in (self.distribution and self.distribution.columns) or ():
            if name not in names:
                raise ValueError(f"distribution.columns: {name!r} is not among the columns")
        return self

    def column(self, name: str) -> Column | None:
        """Return a column by its name."""
        return next((column for column in self.columns if column.name == name), None)

    def require_timestamp(self, role: str, name: str) -> None:
        """Raise ValueError unless ``name`` is a timestamp column; ``role`` is said to a person."""
        column = self.column(name)
        if column is None:
            raise ValueError(f"{role} {name!r} is not among the columns")
        if column.type != "timestamp":
            raise ValueError(f"{role} {name!r} is of type {column.type}; allowed: timestamp")


class Data(Table):
    """The primary table: one row is one example, with its label.

    Attributes:
        label: What is predicted.
        minimum_rows: Fewest accepted rows that a run trains on.
        entity_id: Whom a row is about; decides traffic, held-out or train.
        prediction_time: When the prediction is asked for; needed to join features in time.
        label_known_at: When the label was known; a row whose label was not known at the
            dataset's cutoff is left out and counted.
        keep: ``latest_per_entity``: of an entity that several rows concern the latest wins, by
            order of receipt. ``all``: every row is an example.
        sources: Further tables by name, delivered below ``deliveries/<project>/<name>/``;
            feature groups are made of them.
    """

    entity_id: Name
    label: Label
    prediction_time: Name | None = None
    label_known_at: Name | None = None
    keep: Literal["latest_per_entity", "all"] = "latest_per_entity"
    minimum_rows: int = Field(default=50, ge=1)
    sources: dict[GroupName, Table] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [column.name for column in self.columns]
        for role, name in (("entity_id", self.entity_id), ("label.name", self.label.name)):
            if name not in names:
                raise ValueError(f"{role} {name!r} is not among the columns")
        label = self.column(self.label.name)
        if self.label.task == "regression" and label and label.type not in ("integer", "float"):
            raise MisplacedError(
                "label.task", f"{label.name} is of type {label.type}, and a regression predicts"
                " numbers", "regression", "binary, or a column of type integer or float",
            )  # fmt: skip
        for role in ("prediction_time", "label_known_at"):
            name = getattr(self, role)
            if name is not None:
                self.require_timestamp(role, name)
        if PRIMARY in self.sources:
            raise ValueError(f"sources: {PRIMARY!r} is the name of the primary table")
        return self

    @property
    def features(self) -> list[Column]:
        """The columns of the primary table that a model may see, in order."""
        hidden = {self.entity_id, self.label.name, self.prediction_time, self.label_known_at}
        return [column for column in self.columns if column.name not in hidden]

    def table(self, source: str) -> Table | None:
        """Return the table of a source; :data:`PRIMARY` is this one."""
        return self if source == PRIMARY else self.sources.get(source)


def source_of(path: str, sources: Collection[str]) -> str:
    """Return the source of a file below ``deliveries/<project>/``.

    Args:
        path: Its key below that prefix: ``<file>`` or ``<source>/<file>``.
        sources: Declared sources; any other first folder is part of the primary table's key.
    """
    first, slash, _ = path.partition("/")
    return first if slash and first in sources else PRIMARY
