"""Athena's SQL as the embedded Athena reads it."""

import pytest

from steward_local.athena.errors import MalformedQueryError
from steward_local.athena.statements import TableName, Unload, parse


def rendered(text: str) -> str:
    return parse(text).for_duckdb("db", lambda table: f"<{table.database}.{table.name}>")


def test_tables_are_named_with_their_database_and_common_table_expressions_are_none() -> None:
    statement = parse(
        "WITH own AS (SELECT * FROM One), f AS (SELECT * FROM other.two) "
        "SELECT * FROM own JOIN f ON own.a = f.a WHERE a IN (SELECT b FROM awsdatacatalog.x.three)"
    )
    assert set(statement.tables("db")) == {
        TableName("db", "one"),
        TableName("other", "two"),
        TableName("x", "three"),
    }


def test_table_keeps_its_name_for_its_columns() -> None:
    assert rendered("SELECT One.a FROM One") == 'SELECT One.a FROM "<db.one>" AS "One"'
    assert rendered("SELECT o.a FROM s.one AS o") == 'SELECT o.a FROM "<s.one>" AS o'
    assert rendered("SELECT s.one.a FROM s.one") == 'SELECT one.a FROM "<s.one>" AS "one"'


def test_a_common_table_expression_hides_a_table_only_where_it_is_seen() -> None:
    text = rendered("SELECT * FROM t WHERE a IN (WITH t AS (SELECT 1 AS a) SELECT a FROM t)")
    assert text.count("<db.t>") == 1


@pytest.mark.parametrize(
    ("options", "compression"),
    [
        ("format = 'PARQUET'", "GZIP"),
        ("FORMAT='parquet', compression='zstd'", "ZSTD"),
    ],
)
def test_unload_is_a_query_and_a_place(options: str, compression: str) -> None:
    statement = parse(
        f"-- nightly (\n unload (SELECT ')' AS a, (1 + 2) AS \"(\" /* ) */ FROM t)\n"
        f"TO 's3://bucket/it''s' WITH ({options});"
    )
    assert statement.unload == Unload("s3://bucket/it's/", compression)
    assert statement.tables("db") == [TableName("db", "t")]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "SELECT",
        "DROP VIEW v",
        "INSERT INTO t SELECT 1",
        "SELECT 1; SELECT 2",
        "UNLOAD (SELECT 1) TO 's3://b/' WITH (format = 'PARQUET', compression = 'RAR')",
        "UNLOAD (SELECT 1) TO 's3://b/' WITH (format = 'PARQUET', shoe = 'x')",
        "UNLOAD (DELETE FROM t) TO 's3://b/' WITH (format = 'PARQUET')",
    ],
)
def test_what_athena_does_not_take_is_malformed(text: str) -> None:
    with pytest.raises(MalformedQueryError):
        parse(text)
