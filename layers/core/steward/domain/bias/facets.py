"""Who is compared: rows of two facets, their labels and predictions, as one table of counts.

The facet ``d`` is the one whose disadvantage is asked about, ``a`` everybody else. Labels that
have more than two values, numbers and continuous facets are made binary first, as SageMaker
Clarify does: some values count as positive, or whatever is above a threshold.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steward.domain.errors import RejectedError

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Value = str | int | float | bool | None

A, D = 0, 1
"""Places of the two facets in a table of counts."""


def rows_of(
    values: Sequence[Value],
    *,
    of: Collection[Value] | None = None,
    above: float | None = None,
    field: str,
) -> Bools:
    """Return which rows have one of some values, or a number above a threshold.

    Args:
        values: The column.
        of: Values that count.
        above: Numbers greater than this count; missing ones do not.
        field: Name of the declaration, for the error.

    Raises:
        RejectedError: Neither or both of ``of`` and ``above`` are given, or a value is no number.
    """
    if (of is None) == (above is None):
        raise RejectedError(
            f"{field} needs values or a threshold, and not both",
            field=field, value={"of": of, "above": above}, allowed="one of the two",
        )  # fmt: skip
    if of is not None:
        wanted = set(of)
        return np.fromiter((value in wanted for value in values), np.bool_, len(values))
    assert above is not None
    numbers = np.full(len(values), np.nan)
    for row, value in enumerate(values):
        if isinstance(value, str | bool):
            raise RejectedError(
                f"{field}: row {row} is no number", field=field, value=value, allowed="numbers"
            )
        if value is not None:
            numbers[row] = value
    return np.asarray(numbers > above)


@dataclass(frozen=True)
class Compared:
    """Two facets as counts.

    Attributes:
        table: Counts by facet (``a``, ``d``), label (0, 1), predicted label (0, 1) and stratum,
            shape (2, 2, 2, strata). Without predictions all are counted as predicted 0.
        predicted: Whether there are predictions.
        strata: Names of the strata; one, ``all``, where nothing is declared to condition on.
    """

    table: Ints
    predicted: bool
    strata: tuple[str, ...]

    @property
    def rows(self) -> int:
        """Rows of both facets."""
        return int(self.table.sum())


def compare_facets(
    disadvantaged: Bools,
    labels: Bools,
    predictions: Bools | None = None,
    strata: Sequence[Value] | None = None,
) -> Compared:
    """Count the rows of two facets.

    Args:
        disadvantaged: Rows of facet ``d``, shape (n,).
        labels: Rows whose observed label is positive, shape (n,).
        predictions: Rows whose predicted label is positive, shape (n,).
        strata: A value per row to condition on, for CDDL and CDDPL.

    Raises:
        RejectedError: The columns differ in length, or a facet has no rows.
    """
    n = len(disadvantaged)
    for name, column in (("labels", labels), ("predictions", predictions), ("strata", strata)):
        if column is not None and len(column) != n:
            raise RejectedError(
                f"{name} has {len(column)} rows where the facet has {n}",
                field=name, value=len(column), allowed=str(n),
            )  # fmt: skip
    for name, size in (("a", n - int(disadvantaged.sum())), ("d", int(disadvantaged.sum()))):
        if size == 0:
            raise RejectedError(
                f"facet {name} has no rows: there is nothing to compare",
                field="facet", value=size, allowed="at least 1 row of each facet",
            )  # fmt: skip
    names = ["all"] if strata is None else sorted({_name(value) for value in strata})
    places = {name: place for place, name in enumerate(names)}
    stratum = (
        np.zeros(n, np.int64)
        if strata is None
        else np.fromiter((places[_name(value)] for value in strata), np.int64, n)
    )
    predicted = np.zeros(n, np.int64) if predictions is None else predictions.astype(np.int64)
    cell = ((disadvantaged.astype(np.int64) * 2 + labels) * 2 + predicted) * len(names) + stratum
    table = np.bincount(cell, minlength=8 * len(names)).reshape(2, 2, 2, len(names))
    return Compared(table.astype(np.int64), predictions is not None, tuple(names))


def _name(value: Value) -> str:
    return "missing" if value is None else str(value)
