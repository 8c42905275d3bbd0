"""A few whole rows of numbers, for tests that look at all columns together."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from steward.domain.monitoring.counts import Frozen

LIMIT = 500
"""Rows of a window, and of a baseline, that are kept at most."""


class SampledRows(Frozen):
    """At most 500 rows of the numeric features, as they were: these may be personal data.

    Attributes:
        columns: Names, in the baseline's order.
        rows: How many.
        values: Row after row, little-endian floats of 4 bytes in base 64; NaN where missing.
    """

    columns: tuple[str, ...]
    rows: int = Field(ge=0, le=LIMIT)
    values: str

    @model_validator(mode="after")
    def _complete(self) -> Self:
        held = len(base64.b64decode(self.values, validate=True))
        if held != 4 * self.rows * len(self.columns):
            raise ValueError(f"{self.rows} rows of {len(self.columns)} columns in {held} bytes")
        return self

    @property
    def table(self) -> NDArray[np.float64]:
        """The values, a row a row."""
        plain = np.frombuffer(base64.b64decode(self.values), "<f4")
        return plain.reshape(self.rows, len(self.columns)).astype(np.float64)

    def of(self, names: Sequence[str]) -> NDArray[np.float64]:
        """Return the values of some columns, in the order that is given."""
        return self.table[:, [self.columns.index(name) for name in names]]


def sampled_rows(columns: Sequence[str], table: NDArray[np.float64]) -> SampledRows:
    """Return rows as they are kept; what is beyond the range of 4 bytes becomes infinite."""
    with np.errstate(over="ignore"):
        packed = np.ascontiguousarray(table, dtype="<f4").tobytes()
    return SampledRows(
        columns=tuple(columns), rows=table.shape[0], values=base64.b64encode(packed).decode()
    )
