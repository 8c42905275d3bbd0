"""Slice names: one for each row, ordered by edges, missing values apart."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steward.domain.slices import slice_of


@pytest.mark.parametrize(
    ("value", "edges", "name"),
    [
        (44.9, [45, 60], "< 45"),
        (45, [45, 60], "45 to < 60"),
        (60, [45, 60], ">= 60"),
        (2, None, "2"),
        (2.0, None, "2"),
        (True, None, "true"),
        ("north", None, "north"),
        ("", None, ""),
        (None, [45], "missing"),
        (float("nan"), None, "missing"),
    ],
)
def test_a_value_belongs_to_the_named_slice(
    value: str | float | None, edges: list[float] | None, name: str
) -> None:
    assert slice_of(value, edges) == name


@given(
    values=st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=30),
    edges=st.lists(st.integers(-1000, 1000), min_size=1, max_size=5, unique=True),
)
def test_slices_of_ascending_values_never_return_to_an_earlier_one(
    values: list[float], edges: list[int]
) -> None:
    names = [slice_of(value, sorted(edges)) for value in sorted(values)]
    changes = sum(a != b for a, b in pairwise(names))
    assert changes == len(set(names)) - 1


def test_edges_on_text_are_refused() -> None:
    with pytest.raises(ValueError, match="need a number"):
        slice_of("north", [1.0])
