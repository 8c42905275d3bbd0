"""Segments are declared conditions; chunks cut a history without losing a row."""

from __future__ import annotations

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steward.domain.expressions import ExpressionError
from steward.domain.monitoring.chunking import Chunk, by_count, by_period, by_size
from steward.domain.monitoring.segments import MOST, declared

COLUMNS = ["age", "sex", "smoker", "the site"]


def _rows_of(conditions: list[tuple[str, object]]) -> dict[str, list[int]]:
    segments = declared(conditions, COLUMNS)  # type: ignore[arg-type]
    with duckdb.connect() as connection:
        connection.execute(
            "CREATE TABLE t AS SELECT * FROM (VALUES (1, 30, 'f', true, 'a'), (2, 70, 'm',"
            " false, 'it''s'), (3, NULL, 'f', NULL, 'a')) v(id, age, sex, smoker, \"the site\")"
        )
        return {
            segment.name: [
                row[0]
                for row in connection.execute(
                    f"SELECT id FROM t WHERE {segment.sql('t')} ORDER BY id"
                ).fetchall()
            ]
            for segment in segments
        }


def test_a_segment_is_an_expression_or_values_that_columns_equal() -> None:
    assert _rows_of(
        [
            ("old", "age >= 65"),
            ("not old", "NOT (age >= 65)"),
            ("women", {"sex": "f"}),
            ("smoking women", {"sex": "f", "smoker": True}),
            ("quoted", {"the site": "it's"}),
            ("exact", {"age": 30}),
        ]
    ) == {
        "old": [2], "not old": [1], "women": [1, 3], "smoking women": [1], "quoted": [2],
        "exact": [1],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ([("a", "weight > 3")], "weight"),
        ([("a", {"weight": 3})], "weight"),
        ([("a", {})], "no condition"),
        ([("a", "age > 1"), ("a", "age > 2")], "twice"),
        ([(f"s{n}", "age > 1") for n in range(MOST + 1)], "at most 50"),
        ([("a", "age > 1; DROP TABLE t")], ";"),
        ([("a", "(SELECT 1) = 1")], "SELECT"),
    ],
)
def test_what_is_no_condition_over_known_columns_is_refused(
    conditions: list[tuple[str, object]], message: str
) -> None:
    with pytest.raises(ExpressionError, match=message):
        declared(conditions, COLUMNS)  # type: ignore[arg-type]


def test_periods_are_aligned_and_an_empty_one_is_a_chunk_too() -> None:
    assert by_period([3_700, 3_800, 11_000], 3_600, until_s=15_000) == [
        Chunk(3_600, 0, 2),
        Chunk(7_200, 2, 2),
        Chunk(10_800, 2, 3),
        Chunk(14_400, 3, 3, complete=False),
    ]
    assert by_period([], 3_600, until_s=0) == []
    # A row on the edge belongs to the period that it begins.
    assert by_period([0, 10], 10, until_s=20) == [Chunk(0, 0, 1), Chunk(10, 1, 2)]


@pytest.mark.parametrize(
    ("times", "period", "until", "message"),
    [([1, 2], 0, 9, "positive"), ([2, 1], 1, 9, "ascend"), ([1, 9], 1, 9, "not before")],
)
def test_times_that_make_no_history_are_refused(
    times: list[float], period: float, until: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        by_period(times, period, until_s=until)


def test_the_remainder_of_a_size_is_kept_joined_or_dropped() -> None:
    assert by_size(7, 3)[-1] == Chunk(2, 6, 7, complete=False)
    assert by_size(7, 3, remainder="join") == [Chunk(0, 0, 3), Chunk(1, 3, 7)]
    assert by_size(7, 3, remainder="drop") == [Chunk(0, 0, 3), Chunk(1, 3, 6)]
    assert by_size(2, 3, remainder="join") == [Chunk(0, 0, 2, complete=False)]
    assert by_size(0, 3) == []
    with pytest.raises(ValueError, match="size"):
        by_size(3, 0)
    with pytest.raises(ValueError, match="count"):
        by_count(2, 3)


@given(rows=st.integers(1, 300), n=st.integers(1, 40))
def test_no_row_is_lost_or_counted_twice(rows: int, n: int) -> None:
    times = [float(row * row % 977) for row in range(rows)]
    times.sort()
    cuts = [by_size(rows, n), by_period(times, n, until_s=1_000)]
    if n <= rows:
        cuts.append(by_count(rows, n))
        sizes = [chunk.stop - chunk.start for chunk in cuts[-1]]
        assert max(sizes) - min(sizes) <= 1
    for chunks in cuts:
        assert [row for chunk in chunks for row in range(chunk.start, chunk.stop)] == list(
            range(rows)
        )
