"""Text as Arrow hands it over: the same counts as from any other form."""

from __future__ import annotations

import tracemalloc
from typing import Any

import duckdb
import numpy as np
import pytest

from steward.domain.monitoring import arrow_columns as module
from steward.domain.monitoring.arrow_columns import arrow_columns, fixed_width
from steward.domain.monitoring.baseline import Baseline, column_baselines
from steward.domain.monitoring.binning import count_by_value, count_levels, learn_levels
from steward.domain.monitoring.profiles import profile_chunk

WORDS = ["Mitte", "Süd", "東京", "", "a b", "x" * 90, "naïve", None]


@pytest.fixture
def engine() -> Any:
    with duckdb.connect() as connection:
        yield connection


def _drawn(seed: int, rows: int, words: list[str | None] = WORDS) -> list[str | None]:
    draw = np.random.default_rng(seed)
    return [words[n] for n in draw.integers(0, len(words), rows)]


def _handed_over(engine: Any, values: list[str | None]) -> Any:
    engine.execute("CREATE OR REPLACE TABLE given(n INTEGER, text VARCHAR)")
    if values:
        engine.executemany("INSERT INTO given VALUES (?, ?)", list(enumerate(values)))
    return arrow_columns(engine.sql("SELECT text FROM given ORDER BY n"))["text"]


@pytest.mark.parametrize("rows", [0, 1, 7, 500])
def test_arrow_text_counts_as_the_same_objects_do(engine: Any, rows: int) -> None:
    values = _drawn(rows, rows)
    handed = _handed_over(engine, values)
    objects = np.array([*values, None], dtype=object)[:-1]
    assert handed.dtype.kind == "S"
    assert count_by_value(handed) == count_by_value(objects)
    assert learn_levels(handed) == learn_levels(objects)
    known = learn_levels(np.array(["Mitte", "東京", "gone"]))
    assert count_levels(handed, known) == count_levels(objects, known)


@pytest.mark.parametrize("odd", ["y" * 300, "zero\0byte", "ends\0"])
def test_text_that_no_fixed_width_holds_counts_too(engine: Any, odd: str) -> None:
    values = [*_drawn(3, 40), odd, "ends", odd]
    handed = _handed_over(engine, values)
    assert handed.dtype.kind == "O"
    assert count_by_value(handed) == count_by_value(np.array(values, dtype=object))
    assert count_by_value(handed)[odd] == 2


def test_a_profile_of_arrow_columns_is_that_of_plain_ones(engine: Any) -> None:
    draw = np.random.default_rng(5)
    cities, ages = _drawn(6, 900), draw.normal(50, 12, 900)
    objects = {"city": np.array(cities, dtype=object), "age": ages}
    baseline = Baseline(
        project="ward", version=1, rows=900, features=column_baselines(objects),
        held_out_rows=900, predictions=(),
    )  # fmt: skip
    engine.execute("CREATE TABLE given(n INTEGER, city VARCHAR, age DOUBLE)")
    engine.executemany(
        "INSERT INTO given VALUES (?, ?, ?)", list(zip(range(900), cities, ages, strict=True))
    )
    handed = arrow_columns(engine.sql("SELECT city, age FROM given ORDER BY n"))
    before, after = (profile_chunk(baseline, each, "c") for each in (objects, handed))
    assert after == before
    assert after.digest == before.digest


def test_numbers_booleans_and_nulls_are_handed_over(engine: Any) -> None:
    found = arrow_columns(
        engine.sql(
            "SELECT CASE WHEN i % 3 > 0 THEN i / 2 END AS half, i::SMALLINT AS small, i > 4 AS big,"
            " CASE WHEN i > 2 THEN 'b' || i END AS text FROM range(10) AS t(i)"
        )
    )
    assert found["half"].tolist() == [None if i % 3 == 0 else i / 2 for i in range(10)]
    assert found["small"].tolist() == list(range(10))
    assert found["big"].tolist() == [i > 4 for i in range(10)]
    assert found["text"].tolist() == [None] * 3 + [f"b{i}".encode() for i in range(3, 10)]


def test_many_batches_are_one_column(engine: Any) -> None:
    rows = 300_000
    query = f"SELECT 'k' || (i % 13) AS text FROM range({rows}) AS t(i)"
    found = arrow_columns(engine.sql(query))["text"]
    assert found.size == rows
    assert count_by_value(found) == {f"k{n}": len(range(n, rows, 13)) for n in range(13)}


def test_batches_of_other_widths_and_forms_join() -> None:
    short = fixed_width(np.array([0, 1, 3]), np.frombuffer(b"abc", dtype=np.uint8))
    long = fixed_width(np.array([0, 300]), np.frombuffer(b"z" * 300, dtype=np.uint8))
    wide = fixed_width(np.array([2, 6]), np.frombuffer(b"..four", dtype=np.uint8))
    assert module._joined([short, wide], b"u").tolist() == [b"a", b"bc", b"four"]
    assert module._joined([short, long], b"u").tolist() == ["a", "bc", "z" * 300]


@pytest.mark.parametrize("expression", ["[1, 2]", "DATE '2026-01-01'", "{'a': 1}"])
def test_another_type_is_refused_by_the_column_s_name(engine: Any, expression: str) -> None:
    with pytest.raises(ValueError, match="odd is of Arrow's type"):
        arrow_columns(engine.sql(f"SELECT {expression} AS odd"))


def test_a_query_that_fails_says_why(engine: Any) -> None:
    with pytest.raises((ValueError, duckdb.Error), match=r"Could not convert"):
        arrow_columns(engine.sql("SELECT CAST('x' || i AS INTEGER) AS n FROM range(9) AS t(i)"))


def test_arrow_text_makes_no_object_of_each_row(engine: Any) -> None:
    """Counted in memory of Python, as time says how busy the machine is."""
    engine.execute("CREATE TABLE given AS SELECT 'level' || (i * 7 % 20) AS text"
                   " FROM range(100000) AS t(i)")  # fmt: skip
    known = learn_levels(np.array([f"level{n}" for n in range(20)]))
    peaks = {}
    for name in ("arrow", "objects"):
        tracemalloc.start()
        if name == "arrow":
            count_levels(arrow_columns(engine.sql("FROM given"))["text"], known)
        else:
            count_levels(engine.sql("FROM given").fetchnumpy()["text"], known)
        peaks[name] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert arrow_columns(engine.sql("FROM given"))["text"].dtype.kind == "S"
    assert peaks["arrow"] < 0.75 * peaks["objects"]
