"""Rows judged apart: by the value of a column, or by the interval its number falls into."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from math import isnan

MISSING = "missing"


def slice_of(value: str | float | bool | None, edges: Sequence[float] | None = None) -> str:
    """Return the name of the slice that holds a value.

    Without edges each value is a slice of its own. With edges e1 < ... < ek the slices are
    ``< e1``, ``e1 to < e2``, ..., ``>= ek``: the lower edge belongs to the interval.

    Args:
        value: A value of the slice's column; ``None`` and NaN are the slice ``missing``.
        edges: Ascending bounds, for numeric columns only.

    Raises:
        ValueError: Edges are given and the value is not a number.
    """
    if value is None or (isinstance(value, float) and isnan(value)):
        return MISSING
    if not edges:
        if isinstance(value, bool):
            return "true" if value else "false"
        return f"{value:g}" if isinstance(value, float) else str(value)
    if isinstance(value, str | bool):
        raise ValueError(f"edges {list(edges)} need a number, not {value!r}")
    index = bisect_right(edges, value)
    if index == 0:
        return f"< {edges[0]:g}"
    if index == len(edges):
        return f">= {edges[-1]:g}"
    return f"{edges[index - 1]:g} to < {edges[index]:g}"
