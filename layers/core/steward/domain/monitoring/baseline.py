"""The baseline of a version: what its columns held when it was trained, as bins with counts.

Features come from the rows that trained it. Whatever concerns predictions (their distribution,
labels, performance, calibration, attributions) comes from held-out rows: in-sample ones would
alarm in most windows (STATISTICS.md, rule 24).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Literal

from pydantic import Field, model_validator

from steward.domain.digests import digest_of
from steward.domain.monitoring.binning import (
    Column,
    as_numbers,
    count_levels,
    count_numbers,
    is_numeric,
    learn_bins,
    learn_levels,
)
from steward.domain.monitoring.counts import ColumnBaseline, Count, Frozen
from steward.domain.monitoring.sampled_rows import SampledRows

FORMAT: Literal[1] = 1
Kind = Literal["numeric", "categorical"]
Unit = Literal["event", "entity"]


class MetricBaseline(Frozen):
    """A metric on held-out rows, with its own uncertainty.

    Attributes:
        estimate: The figure.
        standard_error: Of the estimate.
        rows: Held-out rows behind it.
        higher_is_better: The direction that is better.
    """

    estimate: float
    standard_error: float = Field(ge=0)
    rows: Count
    higher_is_better: bool


class CalibrationBin(Frozen):
    """Held-out rows whose predicted probability lies in ``(lower, upper]``.

    Attributes:
        rows: How many.
        predicted: Sum of their predicted probabilities.
        positives: Those whose label is positive.
    """

    lower: float
    upper: float
    rows: Count
    predicted: float
    positives: Count


class AttributionBaseline(Frozen):
    """Mean absolute attribution by feature, over held-out rows.

    Attributes:
        mean_absolute: By feature.
        rows: Rows that were explained.
        scale: What attributions add up to.
        explainer: Method and version.
        background: Digest of the background rows.
        values: |phi| of at most 500 of the rows, features in the order of ``mean_absolute``: what
            attribution drift is resampled from.
        background_rows: Training rows that stand for "not known", cells in that order: these may
            be personal data, as ``sample`` is. Empty where rows of traffic cannot be explained
            alike.
        coalitions: Asked of the model for each row.
        linear: The linear form of the model, where it has one: then nothing is asked.
    """

    mean_absolute: dict[str, float]
    rows: Count
    scale: Literal["log_odds", "probability", "value"]
    explainer: str
    background: str
    values: tuple[tuple[float, ...], ...] = ()
    background_rows: tuple[tuple[str | int | float | bool | None, ...], ...] = ()
    coalitions: int | None = None
    linear: dict[str, Any] | None = None

    @property
    def features(self) -> tuple[str, ...]:
        """Names, in the order of ``values``."""
        return tuple(self.mean_absolute)

    @property
    def ranking(self) -> list[str]:
        """Features, the most important first."""
        return sorted(self.mean_absolute, key=lambda name: (-self.mean_absolute[name], name))


class Baseline(Frozen):
    """What a version was trained on, and how it did on rows that it never saw.

    Attributes:
        format: Version of this form.
        project: Project.
        version: Model version; None before it is registered.
        unit: What one count is: a row (``event``) or a distinct entity (``entity``).
        rows: Rows behind ``features``.
        features: One a feature, in the order of the model.
        sample: A few of these rows, for tests of all columns together.
        held_out_rows: Rows behind all that follows.
        predictions: Distribution of predictions.
        label: Distribution of labels.
        performance: By metric.
        calibration: Reliability by bin of predicted probability.
        attribution: Ranking of the features.
    """

    format: Literal[1] = FORMAT
    project: str
    version: int | None = None
    unit: Unit = "event"
    rows: Count
    features: tuple[ColumnBaseline, ...]
    sample: SampledRows | None = None
    held_out_rows: Count = 0
    predictions: tuple[ColumnBaseline, ...] = ()
    label: ColumnBaseline | None = None
    performance: dict[str, MetricBaseline] = Field(default_factory=dict)
    calibration: tuple[CalibrationBin, ...] = ()
    attribution: AttributionBaseline | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Baseline:
        names = [column.name for column in self.columns]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"columns named twice: {', '.join(twice)}")
        for column in self.columns:
            column.require(column.counts)
        return self

    @property
    def columns(self) -> tuple[ColumnBaseline, ...]:
        """All columns that a captured chunk has: features, then predictions."""
        return (*self.features, *self.predictions)

    def column(self, name: str) -> ColumnBaseline | None:
        """Return a column by its name."""
        return self._by_name.get(name)

    @cached_property
    def _by_name(self) -> dict[str, ColumnBaseline]:
        return {column.name: column for column in self.columns}

    @cached_property
    def schema_digest(self) -> str:
        """SHA-256 of the names and kinds of the columns, in order."""
        return digest_of([[column.name, column.cells.kind] for column in self.columns])

    @cached_property
    def digest(self) -> str:
        """SHA-256 of everything but ``project`` and ``version``: profiles name it."""
        return digest_of(self.model_dump(mode="json", exclude={"project", "version"}))


def column_baseline(name: str, column: Column, kind: Kind | None = None) -> ColumnBaseline:
    """Return the baseline of one column.

    Args:
        name: Its name.
        column: Its values.
        kind: ``categorical`` also for numbers that are codes; by default arrays of numbers are
            numeric and all else is categorical.
    """
    numeric = is_numeric(column) if kind is None else kind == "numeric"
    if numeric:
        numbers = as_numbers(column)
        bins = learn_bins(numbers)
        return ColumnBaseline.model_construct(
            name=name, cells=bins, counts=count_numbers(numbers, bins)
        )
    levels = learn_levels(column)
    return ColumnBaseline.model_construct(
        name=name, cells=levels, counts=count_levels(column, levels)
    )


def column_baselines(
    columns: Mapping[str, Column], kinds: Mapping[str, Kind] | None = None
) -> tuple[ColumnBaseline, ...]:
    """Return the baselines of several columns, in their order."""
    known = kinds or {}
    return tuple(column_baseline(name, column, known.get(name)) for name, column in columns.items())
