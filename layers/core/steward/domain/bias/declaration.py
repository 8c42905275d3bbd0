"""What ``bias`` in ``project.yaml`` declares: who is compared, what is favourable, what is allowed.

Whether columns and values exist is checked against the data in :func:`check_bias`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Self

from pydantic import Field, model_validator

from steward.domain.bias.names import DESCRIBED, METRICS, POST_TRAINING
from steward.domain.bias.rates import RATES
from steward.domain.declaration import MisplacedError, Name, Scalar, Strict
from steward.domain.tables import Column, Label

MINIMUM_ROWS = 100
"""Rows of the metric's own denominator below which nothing is concluded."""

GroupMetric = Literal[
    "base_rate", "selection_rate", "accuracy", "true_positive_rate", "true_negative_rate",
    "false_positive_rate", "false_negative_rate", "precision", "negative_predictive_value",
    "mean_prediction", "brier", "mean_absolute_error", "mean_squared_error",
    "root_mean_squared_error", "mean_error",
]  # fmt: skip


class BiasBound(Strict):
    """Where a metric has to lie.

    Attributes:
        metric: Name of the metric, as SageMaker Clarify has it.
        min: Lowest value that is kept.
        max: Highest value that is kept.
        minimum_rows: Rows of the metric's own denominator; null for that of the section.
    """

    metric: str
    min: float | None = None
    max: float | None = None
    minimum_rows: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _has_room(self) -> Self:
        if self.metric not in METRICS:
            raise MisplacedError(
                "metric", f"no metric {self.metric}; there are {', '.join(METRICS)}",
                self.metric, ", ".join(METRICS),
            )  # fmt: skip
        if self.min is None and self.max is None:
            raise ValueError("a bound needs min or max")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise MisplacedError(
                "min", f"min {self.min} is above max {self.max}", self.min, f"at most {self.max}"
            )
        described = DESCRIBED[self.metric]
        low = described.low if self.min is None else self.min
        high = described.high if self.max is None else self.max
        if not low <= described.fair <= high:
            at_fault = "min" if low > described.fair else "max"
            raise MisplacedError(
                at_fault,
                f"{self.metric} is {described.fair:g} where the facets are alike: "
                "no fair model could pass",
                getattr(self, at_fault),
                f"at {'most' if at_fault == 'min' else 'least'} {described.fair:g}",
            )
        return self


class Facet(Strict):
    """The rows whose disadvantage is asked about (d), against all others that have a value (a).

    Attributes:
        values: These values of the column.
        above: Numbers greater than this.
        at_most: Numbers up to this.
    """

    values: list[Scalar] | None = Field(default=None, min_length=1)
    above: float | None = None
    at_most: float | None = None

    @model_validator(mode="after")
    def _one_rule(self) -> Self:
        given = [rule for rule in ("values", "above", "at_most") if getattr(self, rule) is not None]
        if len(given) != 1:
            raise ValueError("a facet needs exactly one of values, above and at_most")
        return self

    def name(self, column: str) -> str:
        """Return its name for people, such as ``sex = 2`` or ``age > 60``."""
        if self.above is not None:
            return f"{column} > {self.above:g}"
        if self.at_most is not None:
            return f"{column} <= {self.at_most:g}"
        shown = [str(v).lower() if isinstance(v, bool) else str(v) for v in self.values or ()]
        return f"{column} = {shown[0]}" if len(shown) == 1 else f"{column} in {', '.join(shown)}"


class BiasAttribute(Strict):
    """A protected attribute: a column of the data.

    Attributes:
        column: A column of the primary table, or one of a view that is a feature.
        facets: Who is compared with all others; each metric is judged in each facet.
        edges: Ascending; groups of a numeric column are the intervals between them. Without
            edges each value is a group.
        feature: Whether the model sees the column. ``false`` keeps it from training, from
            evaluation's requests and from the endpoint; it is read for bias alone.
    """

    column: Name
    facets: list[Facet] = Field(min_length=1, max_length=10)
    edges: list[float] | None = None
    feature: bool = True

    @model_validator(mode="after")
    def _told_apart(self) -> Self:
        edges = self.edges or []
        if sorted(set(edges)) != edges:
            raise ValueError("edges must ascend")
        names = [facet.name(self.column) for facet in self.facets]
        if len(set(names)) < len(names):
            raise ValueError("facets: each once")
        return self


@dataclass(frozen=True)
class Cut:
    """The number that parts favourable numbers from others.

    Attributes:
        at: The number.
        upwards: Whether greater numbers are favourable; else those up to it.
    """

    at: float
    upwards: bool

    def favours(self, number: float) -> bool:
        """Return whether a number is favourable."""
        return number > self.at if self.upwards else number <= self.at

    def __str__(self) -> str:
        """Return it as evidence names it."""
        return f"{'>' if self.upwards else '<='} {self.at:g}"


class Favourable(Strict):
    """The outcome that people want.

    Attributes:
        labels: Values of the label that are favourable; null for ``label.positive``. The model
            tells ``label.positive`` from everything else, so either that alone, or others.
        threshold: Probability of ``label.positive`` from which it is predicted.
        above: Of a regression: numbers greater than this are favourable, labels and predictions
            alike, as Clarify's ``label_values_or_threshold`` has it.
        at_most: Of a regression instead: numbers up to this are favourable.
    """

    labels: list[Scalar] | None = Field(default=None, min_length=1)
    threshold: float = Field(default=0.5, gt=0, lt=1)
    above: float | None = None
    at_most: float | None = None

    @property
    def cut(self) -> Cut | None:
        """What makes a number favourable; None of a class."""
        if self.above is not None:
            return Cut(self.above, upwards=True)
        return None if self.at_most is None else Cut(self.at_most, upwards=False)


def _shown() -> list[GroupMetric]:
    return ["selection_rate", "true_positive_rate", "accuracy"]


def _four_fifths() -> list[BiasBound]:
    return [BiasBound(metric="DI", min=0.8, max=1.25)]


class Bias(Strict):
    """How held-out and live predictions are compared between groups of people.

    Attributes:
        attributes: Protected attributes.
        favourable: The outcome that people want.
        mode: ``exact`` follows AWS's guide, ``clarify_compatible`` the code that Clarify runs;
            docs/bias.md tells where they differ.
        metrics: What is judged: Clarify's metrics with bounds, each in every facet.
        minimum_rows: Rows of a metric's own denominator, in the smaller facet or in a group,
            below which nothing is concluded.
        strata: Column within which CDDL and CDDPL compare.
        group_metrics: Shown by group of each attribute.
        intersections: Attributes whose combinations are groups, too.
        correction: Control of multiple tests over all facets and metrics: of the probability of
            any false failure (``holm``), of their share (``benjamini_hochberg``), or none.
        confidence: Of every interval, two-sided.
    """

    attributes: list[BiasAttribute] = Field(min_length=1, max_length=10)
    favourable: Favourable = Field(default_factory=Favourable)
    mode: Literal["exact", "clarify_compatible"] = "exact"
    metrics: list[BiasBound] = Field(default_factory=_four_fifths, min_length=1)
    minimum_rows: int = Field(default=MINIMUM_ROWS, ge=20)
    strata: Name | None = None
    group_metrics: list[GroupMetric] = Field(default_factory=_shown)
    intersections: list[list[Name]] = Field(default_factory=list, max_length=10)
    correction: Literal["holm", "benjamini_hochberg", "none"] = "holm"
    confidence: float = Field(default=0.95, ge=0.5, lt=1)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        columns = [attribute.column for attribute in self.attributes]
        if len(set(columns)) < len(columns):
            raise ValueError("attributes: each column once")
        judged = [bound.metric for bound in self.metrics]
        for place, metric in enumerate(judged):
            if metric in judged[:place]:
                raise MisplacedError(
                    f"metrics[{place}].metric", f"{metric} has two bounds", metric, "each once"
                )
            if metric in ("CDDL", "CDDPL") and self.strata is None:
                raise MisplacedError(
                    "strata", f"{metric} needs a column to condition on", None, "a column"
                )
        for place, names in enumerate(self.intersections):
            allowed = f"two or more of {', '.join(columns)}"
            if len(set(names)) < 2 or not set(names) <= set(columns):
                raise MisplacedError(
                    f"intersections[{place}]", "an intersection is of declared attributes",
                    names, allowed,
                )  # fmt: skip
        return self

    @property
    def withheld(self) -> list[str]:
        """Columns that the model does not see."""
        return [one.column for one in self.attributes if not one.feature]

    @property
    def columns(self) -> list[str]:
        """Columns that are read beside label and features: attributes and strata."""
        names = [one.column for one in self.attributes]
        return [*names, self.strata] if self.strata and self.strata not in names else names

    def favours(self, label: Label) -> tuple[list[Scalar], bool]:
        """Return the favourable label values, and whether the positive label is one of them."""
        if (cut := self.favourable.cut) is not None:
            return [str(cut)], True
        values = self.favourable.labels or [label.positive_value]
        return values, label.positive_value in values


def check_bias(
    bias: Bias, own: Mapping[str, Column], joined: Mapping[str, Column], label: Label,
    reserved: Mapping[str, str],
) -> None:  # fmt: skip
    """Check a declaration against the data.

    Args:
        bias: What is declared.
        own: Columns of the primary table.
        joined: Columns of feature views.
        label: What is predicted.
        reserved: Columns that are no attribute, with what they are.

    Raises:
        MisplacedError: With the path below ``bias``, the value and what is allowed.
    """
    columns = {**own, **joined}
    for place, attribute in enumerate(bias.attributes):
        at = f"attributes[{place}]"
        column = _column(f"{at}.column", attribute.column, columns, reserved)
        _check_attribute(at, attribute, column)
        if not attribute.feature and attribute.column not in own:
            raise MisplacedError(
                f"{at}.feature", f"{attribute.column} is of a view, whose columns are features",
                False, "true, or leave the feature out of the view",
            )  # fmt: skip
    if bias.strata is not None:
        _column("strata", bias.strata, columns, reserved)
    if label.task == "regression":
        _check_numbers(bias, own[label.name])
    else:
        _check_labels(bias, own[label.name], label)


def _column(
    field: str, name: str, columns: Mapping[str, Column], reserved: Mapping[str, str]
) -> Column:
    usable = sorted(
        name for name, one in columns.items() if name not in reserved and one.type != "timestamp"
    )
    if name not in usable:
        why = reserved.get(name) or ("a timestamp" if name in columns else "not among the columns")
        raise MisplacedError(field, f"{name!r} is {why}", name, ", ".join(usable) or "no column")
    return columns[name]


_KINDS: dict[str, tuple[type, ...]] = {
    "string": (str,), "boolean": (bool,), "integer": (int,), "float": (int, float),
}  # fmt: skip


def _check_attribute(at: str, attribute: BiasAttribute, column: Column) -> None:
    numeric = column.type in ("integer", "float")
    if attribute.edges and not numeric:
        raise MisplacedError(
            f"{at}.edges", f"{column.name} is of type {column.type}", attribute.edges,
            "integer or float columns",
        )  # fmt: skip
    for index, facet in enumerate(attribute.facets):
        field = f"{at}.facets[{index}]"
        for rule in ("above", "at_most"):
            bound = getattr(facet, rule)
            if bound is not None and not numeric:
                raise MisplacedError(
                    f"{field}.{rule}", f"{column.name} is of type {column.type}", bound,
                    "values of the column",
                )  # fmt: skip
        for value in facet.values or ():
            boolean = isinstance(value, bool)
            fits = isinstance(value, _KINDS[column.type]) and boolean == (column.type == "boolean")
            if not fits or (column.allowed is not None and value not in column.allowed):
                allowed = column.allowed or [f"values of type {column.type}"]
                raise MisplacedError(
                    f"{field}.values", f"no row has {column.name} = {value!r}", value,
                    ", ".join(map(str, allowed)),
                )  # fmt: skip


_OF_NUMBERS = ("mean_prediction", "mean_absolute_error", "mean_squared_error",
               "root_mean_squared_error", "mean_error", *RATES)  # fmt: skip


def _check_numbers(bias: Bias, column: Column) -> None:
    """Check what is favourable of numbers."""
    given = bias.favourable
    cut = given.cut
    if cut is None or (given.above is not None and given.at_most is not None):
        raise MisplacedError(
            "favourable", "of numbers one end is favourable: it needs exactly one of above and"
            " at_most", "both" if cut else "neither", "{above: NUMBER} or {at_most: NUMBER}",
        )  # fmt: skip
    if given.labels is not None or given.threshold != 0.5:
        key = "labels" if given.labels is not None else "threshold"
        raise MisplacedError(
            f"favourable.{key}", "a regression predicts no label with a probability",
            getattr(given, key), "above or at_most",
        )  # fmt: skip
    low, high = column.min, column.max
    if (low is not None and cut.at < low) or (high is not None and cut.at >= high):
        raise MisplacedError(
            f"favourable.{'above' if cut.upwards else 'at_most'}",
            f"all values of {column.name} are on one side", cut.at,
            f"a number within {low} to below {high}",
        )  # fmt: skip
    for place, metric in enumerate(bias.group_metrics):
        if metric not in _OF_NUMBERS:
            raise MisplacedError(
                f"group_metrics[{place}]", f"{metric} is of probabilities", metric,
                ", ".join(_OF_NUMBERS),
            )  # fmt: skip


def _check_labels(bias: Bias, column: Column, label: Label) -> None:
    for key in ("above", "at_most"):
        if (number := getattr(bias.favourable, key)) is not None:
            raise MisplacedError(
                f"favourable.{key}", f"{label.name} is a class, not a number", number,
                "labels, or data.label.task: regression",
            )  # fmt: skip
    values, positive = bias.favours(label)
    known = column.allowed or ([True, False] if column.type == "boolean" else None)
    strange = [value for value in values if known is not None and value not in known]
    if strange:
        raise MisplacedError(
            "favourable.labels", f"{label.name} is never {strange[0]!r}", strange[0],
            ", ".join(map(str, known or ())),
        )  # fmt: skip
    if positive and len(values) > 1:
        raise MisplacedError(
            "favourable.labels",
            f"the model tells {label.positive!r} from everything else, and nothing more",
            values, f"[{label.positive!r}], or values without it",
        )  # fmt: skip
    rest = [value for value in known or () if value != label.positive]
    judged = [bound.metric for bound in bias.metrics if bound.metric in POST_TRAINING]
    if not positive and judged and known is not None and set(rest) != set(values):
        raise MisplacedError(
            "favourable.labels",
            f"{judged[0]} compares predictions, and these only say {label.positive!r} or not",
            values, ", ".join(map(str, rest)),
        )  # fmt: skip
