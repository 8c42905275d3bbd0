"""Values go into DuckDB without a search of all folders for pandas, which is not installed."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

import duckdb
import pytest

from steward.domain import duckdb_imports


class Searches:
    """A finder that notes what is searched and finds nothing."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def find_spec(self, name: str, *_: object) -> None:
        self.names.append(name)


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> Searches:
    """What the finders of this process are asked, as in a process that has just begun."""
    noted = Searches()
    kept = [finder for finder in sys.meta_path if finder is not duckdb_imports._Answered]
    monkeypatch.setattr(sys, "meta_path", [noted, *kept])
    return noted


def insert() -> list[tuple[object, ...]]:
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE lab (n INTEGER, name VARCHAR)")
        connection.execute("INSERT INTO lab VALUES (?, ?), (?, ?)", [1, "a", 2, "b"])
        return list(connection.execute("FROM lab").fetchall())


def test_a_value_searches_for_pandas_unless_that_is_answered(searches: Searches) -> None:
    assert insert() == [(1, "a"), (2, "b")]
    assert searches.names.count("pandas") >= 4
    duckdb_imports.answer_at_once()
    searches.names.clear()
    assert insert() == [(1, "a"), (2, "b")]
    assert "pandas" not in searches.names


def test_it_is_answered_once_and_as_python_does(searches: Searches) -> None:
    for _ in range(2):
        duckdb_imports.answer_at_once()
    assert sys.meta_path.count(duckdb_imports._Answered) == 1
    with pytest.raises(ModuleNotFoundError, match="No module named 'pandas'"):
        importlib.import_module("pandas")
    assert importlib.util.find_spec("duckdb") is not None


def test_a_pandas_that_is_there_is_left_to_python(
    searches: Searches, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", ModuleType("pandas"))
    duckdb_imports.answer_at_once()
    assert duckdb_imports._Answered not in sys.meta_path
