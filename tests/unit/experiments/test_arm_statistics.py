"""Frozen statistics: merge, digest, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steward.domain.errors import InvalidStatisticsError
from steward.domain.experiments.arm_statistics import (
    SUMS,
    ArmStatistics,
    Histogram,
    bin_of,
    histogram_of,
    statistics_of,
)

BINARY = (0.0, 0.0, 1.0, 1.0)
UNITS = st.lists(st.integers(-64, 64).map(lambda whole: whole / 8), max_size=30)


@given(UNITS, UNITS)
def test_merging_equals_freezing_together(first: list[float], second: list[float]) -> None:
    edges = (-4.0, 0.0, 0.0, 4.0)
    merged = statistics_of(first, x=first, edges=edges).merge(
        statistics_of(second, x=second, edges=edges)
    )
    together = statistics_of(first + second, x=first + second, edges=edges)
    assert merged == together
    assert merged.digest == together.digest


def test_the_digest_speaks_of_every_field() -> None:
    frozen = statistics_of([1.0, 2.0, 4.0], x=[1.0, 1.0, 3.0], d=[2.0, 3.0, 4.0])
    for name in SUMS:
        changed = frozen.model_copy(update={name: getattr(frozen, name) + 1e-9})
        assert changed.digest != frozen.digest, name


def test_the_sums_are_those_of_the_units() -> None:
    frozen = statistics_of([1.0, 2.0], x=[3.0, 5.0], d=[2.0, 4.0])
    assert frozen.model_dump(exclude={"histogram"}) == {
        "n": 2, "y": 3, "x": 8, "y2": 5, "x2": 34, "xy": 13, "d": 6, "d2": 20, "yd": 10,
    }  # fmt: skip
    assert frozen.mean == 1.5


def test_a_record_survives_json() -> None:
    frozen = statistics_of([0.0, 1.0, 1.0], edges=BINARY)
    again = ArmStatistics.model_validate_json(frozen.model_dump_json())
    assert again == frozen
    assert again.digest == frozen.digest


@pytest.mark.parametrize(
    ("value", "position"), [(0.0, 0), (0.5, 1), (1.0, 2), (0.001, 1), (0.999, 1)]
)
def test_an_edge_written_twice_is_an_atom(value: float, position: int) -> None:
    assert bin_of(value, BINARY) == position


def test_the_last_bin_includes_its_upper_edge_and_outside_is_counted_apart() -> None:
    found = histogram_of([-1.0, 0.0, 1.0, 2.0, 2.5], (0.0, 1.0, 2.0))
    assert (found.below, found.counts, found.above) == (1, (1, 2), 1)
    assert found.clipped == (2, 3)
    assert [found.at_most(position) for position in range(3)] == [1, 2, 4]
    assert found.total == 5


@pytest.mark.parametrize(
    ("fields", "at_fault"),
    [
        ({"n": -1}, "n"),
        ({"n": 2, "y": math.nan}, "y"),
        ({"n": 2, "y": math.inf}, "y"),
        ({"n": 2, "y2": -1.0}, "y2"),
        ({"n": 2, "d": -1.0, "d2": 1.0}, "d"),
        ({"n": 0, "y": 1.0}, "y"),
        ({"n": 2, "y": 3.0, "y2": 1.0}, "y"),
        ({"n": 2, "y": 0.0, "y2": 1.0, "d": 1.0, "d2": 1.0, "yd": 5.0}, "yd"),
        ({"n": 2, "histogram": Histogram(edges=(0, 1), counts=(1,))}, "histogram"),
    ],
)
def test_sums_that_no_data_can_have_are_refused(fields: dict[str, Any], at_fault: str) -> None:
    with pytest.raises(InvalidStatisticsError) as refused:
        ArmStatistics(**fields)
    assert refused.value.field == at_fault
    assert refused.value.allowed


@pytest.mark.parametrize(
    "fields",
    [
        {"edges": (0.0, math.nan), "counts": (1,)},
        {"edges": (1.0, 0.0), "counts": (1,)},
        {"edges": (0.0, 1.0), "counts": (1, 2)},
        {"edges": (0.0, 1.0), "counts": (-1,)},
        {"edges": (0.0, 1.0), "counts": (1,), "below": -1},
    ],
)
def test_impossible_histograms_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidStatisticsError):
        Histogram(**fields)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_unit_that_is_no_number_is_named(bad: float) -> None:
    with pytest.raises(InvalidStatisticsError, match=r"y\[1\]"):
        statistics_of([1.0, bad])
    with pytest.raises(InvalidStatisticsError, match=r"x\[0\]"):
        statistics_of([1.0], x=[bad])
    with pytest.raises(InvalidStatisticsError, match=r"d\[0\]"):
        statistics_of([1.0], d=[-1.0])
    with pytest.raises(InvalidStatisticsError, match="1 values"):
        statistics_of([1.0], d=[])


def test_histograms_of_other_edges_do_not_merge() -> None:
    first, second = statistics_of([1.0], edges=(0, 1)), statistics_of([1.0], edges=(0, 2))
    with pytest.raises(InvalidStatisticsError, match="edges"):
        first.merge(second)
    with pytest.raises(InvalidStatisticsError, match="histogram"):
        first.merge(statistics_of([1.0]))
