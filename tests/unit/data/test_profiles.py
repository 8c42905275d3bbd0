"""Profiles count what is there, and profiles on the same bins merge exactly."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pytest

from steward.domain.delivery_files import load, reading_of
from steward.domain.profiles import BINS, TableProfile, merge, profile
from steward.domain.tables import Table
from steward.domain.workspace import Limits, workspace

TABLE = Table.model_validate(
    {
        "format": "parquet",
        "columns": [
            {"name": "x", "type": "float", "nullable": True},
            {"name": "n", "type": "integer"},
            {"name": "s", "type": "string"},
            {"name": "name", "type": "string"},
            {"name": "ok", "type": "boolean"},
            {"name": "at", "type": "timestamp"},
        ],
    }
)


def counted(
    tmp_path: Path, first: int, last: int, reference: TableProfile | None = None
) -> TableProfile:
    """Profile rows ``first`` to ``last`` of one made-up table."""
    path = tmp_path / "rows.parquet"
    duckdb.sql(
        f"""SELECT CASE WHEN i % 10 = 0 THEN NULL ELSE sqrt(i) * 3 END AS x, i % 7 AS n,
            chr((65 + i % 3)::INT) AS s, 'name ' || i AS name, i % 2 = 0 AS ok,
            TIMESTAMP '2026-01-01' + INTERVAL (i) MINUTE AS at FROM range({first}, {last}) t(i)"""
    ).write_parquet(str(path))
    with workspace(Limits(tmp_path, 300)) as connection:
        columns = load(connection, reading_of(connection, path, TABLE), TABLE, "d")
        return profile(connection, "d", columns, reference)


def test_counts_moments_and_bins_are_those_of_the_values(tmp_path: Path) -> None:
    found = counted(tmp_path, 0, 2000)
    x = found.column("x")
    assert x is not None
    values = np.array([np.sqrt(i) * 3 for i in range(2000) if i % 10])
    assert (x.count, x.nulls) == (1800, 200)
    assert x.mean == pytest.approx(values.mean(), rel=1e-11)
    assert x.deviation == pytest.approx(values.std(), rel=1e-11)
    assert len(x.bins) == len(x.bin_edges) + 1 == BINS
    places = np.searchsorted(x.bin_edges, values, side="left")
    assert x.bins == np.bincount(places, minlength=BINS).tolist()
    assert max(x.bins) <= 2 * min(x.bins)


def test_levels_are_counted_where_there_are_few(tmp_path: Path) -> None:
    found = counted(tmp_path, 0, 2100)
    levels = {column.name: column.levels for column in found.columns}
    assert levels["s"] == {"A": 700, "B": 700, "C": 700}
    assert levels["ok"] == {"false": 1050, "true": 1050}
    assert levels["n"] == {str(n): 300 for n in range(7)}
    assert levels["name"] == {}
    assert levels["x"] == {}
    at = found.column("at")
    assert at is not None
    assert (at.min, at.max) == ("2026-01-01T00:00:00.000Z", "2026-01-02T10:59:00.000Z")


def test_two_profiles_on_the_same_bins_merge_to_that_of_all_rows(tmp_path: Path) -> None:
    first = counted(tmp_path, 0, 1500)
    second = counted(tmp_path, 1500, 4000, first)
    both = merge(first, second)
    whole = counted(tmp_path, 0, 4000, first)
    assert both.rows == whole.rows
    for one, two in zip(both.columns, whole.columns, strict=True):
        exact = {"count", "nulls", "min", "max", "bins", "bin_edges", "levels", "other"}
        assert one.model_dump(include=exact) == two.model_dump(include=exact)
        if one.mean is not None:
            assert one.mean == pytest.approx(two.mean, rel=1e-11)
            assert one.deviation == pytest.approx(two.deviation, rel=1e-11)


def test_columns_on_other_bins_are_left_out_of_a_merge(tmp_path: Path) -> None:
    first, second = counted(tmp_path, 0, 1500), counted(tmp_path, 1500, 4000)
    assert [column.name for column in merge(first, second).columns] == ["n", "s", "name", "ok"]


def test_the_same_rows_have_the_same_profile(tmp_path: Path) -> None:
    assert counted(tmp_path, 0, 5000) == counted(tmp_path, 0, 5000)


def test_no_rows_have_an_empty_profile(tmp_path: Path) -> None:
    found = counted(tmp_path, 0, 0)
    assert found.rows == 0
    assert all(not column.bins and not column.levels for column in found.columns)
