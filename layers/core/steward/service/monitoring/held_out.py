"""A version's held-out rows: what its labelled predictions are compared with."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from steward.domain.errors import EvidenceIncompleteError
from steward.domain.monitoring import bias_drift
from steward.domain.monitoring.labelled_rows import Groups
from steward.domain.monitoring.performance_statistics import (
    Classification,
    ErrorScale,
    Regression,
    classification_of,
    error_scale,
    regression_of,
)
from steward.domain.predictions import Predictions, read_predictions
from steward.ports import ObjectStore


@dataclass(frozen=True)
class HeldOut:
    """A version's held-out rows.

    Attributes:
        rows: Their statistics.
        groups: Counts by column and value, of the columns that evaluation slices by value.
    """

    rows: Classification | Regression
    groups: Groups

    @property
    def scale(self) -> ErrorScale | None:
        """On what errors of a regression are counted; None of a class."""
        rows = self.rows
        return ErrorScale(rows.centre, rows.cap) if isinstance(rows, Regression) else None


def read_held_out(
    objects: ObjectStore,
    baseline_uri: str,
    groups: Sequence[str],
    *,
    by_entity: bool,
    numbers: bool = False,
) -> HeldOut | None:
    """Return the held-out rows that lie beside a baseline, None where they are not kept.

    Args:
        objects: Where they are.
        baseline_uri: Where the baseline lies.
        groups: Columns whose groups are compared.
        by_entity: Whether the first row of each entity counts alone, as it does in a window.
        numbers: Whether they are of a regression.
    """
    try:
        content = objects.read(baseline_uri.rpartition("/")[0] + "/predictions.csv")
    except EvidenceIncompleteError:
        return None
    rows = read_predictions(io.StringIO(content.decode(), newline=""))
    if by_entity:
        rows = _first_of_each(rows)
    if numbers:
        scale = error_scale(rows.labels, rows.candidate)
        counted = regression_of(rows.labels, rows.candidate, centre=scale.centre, cap=scale.cap)
        return HeldOut(counted, {})
    return HeldOut(classification_of(rows.labels, rows.candidate), _groups(rows, groups))


def _first_of_each(rows: Predictions) -> Predictions:
    first: dict[str, int] = {}
    for row, entity in enumerate(rows.entities):
        first.setdefault(entity, row)
    kept = np.fromiter(first.values(), np.int64, len(first))
    return Predictions(
        list(first), rows.labels[kept], rows.candidate[kept],
        None if rows.champion is None else rows.champion[kept],
        {name: [column[row] for row in kept] for name, column in rows.slices.items()},
    )  # fmt: skip


def _groups(rows: Predictions, columns: Sequence[str]) -> Groups:
    return {
        column: bias_drift.counts_by_group(
            list(rows.slices[column]), rows.labels, rows.candidate >= 0.5
        )
        for column in columns
        if column in rows.slices
    }
