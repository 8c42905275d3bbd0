"""Athena's query and DuckDB's join give equal rows: one definition, two engines."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import duckdb
import pytest
import sqlglot
from hypothesis import given, settings
from hypothesis import strategies as st

from steward.domain.athena_sql import join_query, table_ddl, unload
from steward.domain.feature_views import FeatureView, Selected, Spine, Window
from steward.domain.point_in_time import point_in_time_join
from steward.domain.workspace import Connection

START = datetime(2026, 3, 1, tzinfo=UTC)
WHOLE = Window("sum", "of_whole", "integer", 7, "whole_sum")


def view(name: str, ttl_s: int) -> FeatureView:
    windows = tuple(
        Window(function, "of_amount", "float", seconds, f"{name}_{function}_{seconds}")  # type: ignore[arg-type]
        for function, seconds in (("count", 3), ("sum", 4), ("mean", 6), ("min", 2), ("max", 100))
    )
    return FeatureView(
        name, name, (("k", "k"), ("n", "n")),
        (Selected("v", f"{name}_v"), Selected("t", f"{name}_t")),
        (*windows, Window("mean", "of_whole", "integer", 7, f"{name}_whole"),
         Window("sum", "of_whole", "integer", 7, f"{name}_whole_sum")), ttl_s,
    )  # fmt: skip


def fill(connection: Connection, seed: int, records: int, spine: int, moments: int) -> None:
    draw = random.Random(seed)

    def moment(most: int) -> datetime | None:
        if draw.random() < 0.02:
            return None
        return (START + timedelta(seconds=draw.randrange(most))).replace(tzinfo=None)

    for name in ("one", "two"):
        connection.execute(
            f"CREATE TABLE {name} (k VARCHAR, n BIGINT, event_time_ TIMESTAMP,"
            " known_at_ TIMESTAMP, deleted_ BOOLEAN, digest_ VARCHAR, v DOUBLE, t TIMESTAMP,"
            " of_amount DECIMAL(38, 9), of_whole BIGINT)"
        )
        rows: list[Any] = [
            (
                draw.choice("abc"), draw.randrange(2), moment(moments), moment(moments),
                draw.choice([True, False, False, False, None]), f"{number:04x}",
                draw.choice([None, draw.random()]), moment(moments),
                draw.choice([None, Decimal(draw.randrange(-999, 999)) / 8]),
                draw.choice([None, draw.randrange(-(2**62), 2**62)]),
            )
            for number in range(records)
        ]  # fmt: skip
        if rows:
            marks = ", ".join("?" * 10)
            connection.executemany(f"INSERT INTO {name} VALUES ({marks})", rows)
    connection.execute(
        "CREATE TABLE spine (row_ BIGINT, k VARCHAR, n BIGINT, prediction_time TIMESTAMP)"
    )
    for number in range(spine):
        values = (number, draw.choice(["a", "b", "c", "z", None]), draw.randrange(2))
        connection.execute("INSERT INTO spine VALUES (?, ?, ?, ?)", [*values, moment(moments)])


def both(
    connection: Connection, cutoff: datetime, ttl_s: int, event_time_only: bool
) -> tuple[list[Any], list[Any]]:
    views = [view("one", ttl_s), view("two", 0)]
    spine = Spine("spine")
    point_in_time_join(connection, spine, views, cutoff, event_time_only=event_time_only)
    query = join_query(spine, views, cutoff, event_time_only=event_time_only)
    [rendered] = sqlglot.transpile(query, read="athena", write="duckdb")
    cursor = connection.execute(f"SELECT * FROM ({rendered}) ORDER BY row_")
    names = [column[0] for column in cursor.description or []]
    of_athena = cursor.fetchall()
    listed = ", ".join(f'"{name}"' for name in names)
    return of_athena, connection.execute(f"SELECT {listed} FROM joined ORDER BY row_").fetchall()


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10**6), records=st.integers(0, 60), spine=st.integers(0, 15),
    cutoff=st.integers(0, 14), ttl_s=st.integers(0, 6), event_time_only=st.booleans(),
)  # fmt: skip
def test_both_engines_give_equal_rows_on_random_data(
    seed: int, records: int, spine: int, cutoff: int, ttl_s: int, event_time_only: bool
) -> None:
    with duckdb.connect(":memory:", config={"threads": 2}) as connection:
        fill(connection, seed, records, spine, 13)
        moment = START + timedelta(seconds=cutoff)
        of_athena, of_duckdb = both(connection, moment, ttl_s, event_time_only)
    assert of_athena == of_duckdb
    assert len(of_duckdb) == spine


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 10**6), records=st.integers(0, 60), cutoff=st.integers(0, 14),
    ttl_s=st.integers(0, 6),
)  # fmt: skip
def test_both_engines_report_the_same_on_random_data(
    seed: int, records: int, cutoff: int, ttl_s: int
) -> None:
    views, spine = [view("one", ttl_s), view("two", 0)], Spine("spine")
    moment = START + timedelta(seconds=cutoff)
    with duckdb.connect(":memory:", config={"threads": 2}) as connection:
        fill(connection, seed, records, 12, 13)
        report = point_in_time_join(connection, spine, views, moment)
        query = join_query(spine, views, moment, with_report=True)
        [rendered] = sqlglot.transpile(query, read="athena", write="duckdb")
        connection.execute(f"CREATE TABLE told AS {rendered}")
        for number, told in enumerate(report.views):
            counted = connection.execute(
                f"SELECT count(*) FILTER (WHERE state_{number} = 'found'),"
                f" count(*) FILTER (WHERE state_{number} = 'missing'),"
                f" count(*) FILTER (WHERE state_{number} = 'deleted'),"
                f" count(*) FILTER (WHERE state_{number} = 'expired'),"
                f" count(*) FILTER (WHERE leaks_{number}),"
                f" count(*) FILTER (WHERE exists_{number} AND state_{number} = 'missing') FROM told"
            ).fetchone()
            assert counted == (
                told.found, told.missing, told.deleted, told.expired, told.later_knowledge,
                told.null_by_known_at,
            )  # fmt: skip
        leaked = connection.execute(
            "SELECT count(*) FILTER (WHERE leaks_0 OR leaks_1) FROM told"
        ).fetchone()
    assert leaked == (report.rows_with_later_knowledge,)


def test_both_engines_agree_on_a_long_history() -> None:
    with duckdb.connect(":memory:", config={"threads": 2}) as connection:
        fill(connection, 5, 3000, 400, 2000)
        cutoff = START + timedelta(seconds=1500)
        of_athena, of_duckdb = both(connection, cutoff, 300, False)
    assert of_athena == of_duckdb
    assert sum(value is not None for row in of_duckdb for value in row) > 2000


def test_the_query_is_athenas_own_dialect() -> None:
    query = join_query(Spine("db.spine"), [view("db.one", 5)], START)
    parsed = sqlglot.parse_one(query, read="athena")
    tables = {f"{t.db}.{t.name}" for t in parsed.find_all(sqlglot.exp.Table) if t.db}
    assert tables == {"db.spine", "db.one"}
    for only_duckdb in ("ASOF", "QUALIFY", "::", "to_seconds", "HUGEINT"):
        assert only_duckdb not in query


def test_tables_and_results_are_parquet_at_a_place() -> None:
    ddl = table_ddl("db.one", [("k", "VARCHAR"), ("of_x", "DECIMAL(38,9)")], "s3://b/p/")
    assert ddl == (
        "CREATE EXTERNAL TABLE IF NOT EXISTS db.one (`k` string, `of_x` decimal(38,9))"
        " STORED AS PARQUET LOCATION 's3://b/p/'"
    )
    assert unload("SELECT 1", "s3://b/o'k/").startswith("UNLOAD (SELECT 1) TO 's3://b/o''k/'")
    with pytest.raises(KeyError):
        table_ddl("db.one", [("k", "UNKNOWN")], "s3://b/p/")
