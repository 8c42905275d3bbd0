"""Expressions of a declaration: what may be said, what may not, and that the engine agrees."""

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steward.domain.expressions import FUNCTIONS, ExpressionError, parse

COLUMNS = ("age", "bmi", "sex", "taken_at", "Order")
ROW = (
    "(SELECT 50::BIGINT AS age, 31.5::DOUBLE AS bmi, 'f' AS sex,"
    " TIMESTAMP '2026-01-02 03:04:05' AS taken_at, 7::BIGINT AS \"Order\") AS s"
)


def value(text: str) -> object:
    """Return what the engine makes of a parsed expression."""
    with duckdb.connect() as connection:
        found = connection.execute(f"SELECT {parse(text, COLUMNS).sql('s')} FROM {ROW}").fetchone()
    assert found is not None
    return found[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("age + 1 * 2", 52),
        ("(age + 1) * 2", 102),
        ("-age - -2", -48),
        ("7 // 2 % 2", 1),
        ("age > 40 AND NOT bmi < 30 OR false", True),
        ("(NOT age > 40) = false", True),
        ("sex || 'x' || 'y'", "fxy"),
        ("sex IN ('f', 'm') AND age NOT IN (1, 2)", True),
        ("age BETWEEN 40 AND 50 AND bmi NOT BETWEEN 1 AND 2", True),
        ("sex LIKE 'f%' AND sex NOT LIKE '_x'", True),
        ("bmi IS NOT NULL AND (bmi > 30) IS TRUE", True),
        ("age IS DISTINCT FROM 3", True),
        ("CASE WHEN bmi >= 30 THEN 'obese' WHEN bmi >= 25 THEN 'over' ELSE 'ok' END", "obese"),
        ("CASE sex WHEN 'f' THEN 1 ELSE 2 END", 1),
        ("CAST(bmi AS BIGINT) + '3'::INTEGER", 35),
        ("TRY_CAST(sex AS DOUBLE)", None),
        ("round(bmi / 7, 1)", 4.5),
        ("coalesce(NULL, nullif(age, 50), 9)", 9),
        ("extract(year FROM taken_at) + date_part('month', taken_at)", 2027),
        ("date_diff('day', TIMESTAMP '2026-01-01', taken_at)", 1),
        ("taken_at + to_days(1) > DATE '2026-01-03'", True),
        ('"Order" + "age"', 57),
        ("'it''s -- no comment; /* nor this */'", "it's -- no comment; /* nor this */"),
        ("1.5e1 + .5", 15.5),
    ],
)
def test_an_expression_means_what_sql_means(text: str, expected: object) -> None:
    assert value(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "(SELECT 1)",
        "age IN (SELECT patient FROM other)",
        "EXISTS (SELECT 1)",
        "read_text('/etc/passwd')",
        "read_csv('s3://bucket/key')",
        "read_blob('x')",
        "glob('/*')",
        "getenv('AWS_SECRET_ACCESS_KEY')",
        "current_setting('home_directory')",
        "query('DROP TABLE x')",
        "query_table('other')",
        "nextval('s')",
        "now()",
        "current_date",
        "current_timestamp",
        "random()",
        "uuid()",
        "repeat('a', 1000000000)",
        "replace(sex, 'f', 'ffff')",
        "1; DROP TABLE x",
        "1; ATTACH 'x.db'",
        "1) FROM s; COPY s TO '/tmp/x'; --",
        "age -- a comment",
        "age /* a comment */",
        "other.age",
        "s.age",
        "age.x",
        "sex[1]",
        "[1, 2]",
        "{'a': 1}",
        "x -> x + 1",
        "$1",
        "?",
        "@age",
        "$$text$$",
        "E'\\x27'",
        "U&'x'",
        "'open",
        '"open',
        '"missing"',
        "missing",
        "AGE",
        "*",
        "count(*)",
        "sum(age)",
        "sum(age) OVER ()",
        "age COLLATE nocase",
        "age::STRUCT(a INTEGER)",
        "age::BLOB",
        "CAST(age AS TABLE)",
        "CAST(age AS DECIMAL(99, 2))",
        "PRAGMA version",
        "SET threads = 1",
        "INSTALL httpfs",
        "CALL pragma_version()",
        "INTERVAL '1' day",
        "order",
        "age age",
        "1 < age < 3",
        "age +",
        "",
        "   ",
        "()",
        "lower()",
        "lower(sex, sex)",
        "CASE END",
        "a\0b",
        "'a\0b'",
        "1e",
        "0x10",
        "1_000",
        "lower (sex",
        "extract(epoch FROM taken_at)",
    ],
)
def test_what_is_no_scalar_expression_over_the_columns_is_refused(text: str) -> None:
    with pytest.raises(ExpressionError):
        parse(text, COLUMNS)


def test_a_refusal_says_where_and_what_is_allowed() -> None:
    with pytest.raises(ExpressionError, match=r"'agee' at character 5 is no declared column.*bmi"):
        parse("1 + agee", COLUMNS)
    with pytest.raises(ExpressionError, match=r"';' at character 2 is not allowed"):
        parse("1;", COLUMNS)
    with pytest.raises(ExpressionError, match="function 'getenv' at character 1 is not allowed"):
        parse("getenv('X')", COLUMNS)


def test_depth_and_length_of_chains_are_bounded() -> None:
    parse("(" * 30 + "age" + ")" * 30, COLUMNS)
    with pytest.raises(ExpressionError, match="nested deeper"):
        parse("(" * 900 + "age" + ")" * 900, COLUMNS)
    with pytest.raises(ExpressionError, match="follow one another"):
        parse("+".join("1" * 500), COLUMNS)
    with pytest.raises(ExpressionError, match="follow one another"):
        parse("NOT " * 400 + "true", COLUMNS)


def test_the_columns_that_are_read_are_known() -> None:
    assert parse('bmi + "Order" * bmi', COLUMNS).columns == ("bmi", "Order")


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_every_allowed_function_is_one_that_the_engine_has_as_scalar(name: str) -> None:
    with duckdb.connect() as connection:
        kinds = connection.execute(
            "SELECT DISTINCT function_type, stability FROM duckdb_functions()"
            " WHERE function_name = ?",
            [name],
        ).fetchall()
    in_grammar = {"coalesce", "nullif"}
    assert kinds or name in in_grammar
    assert {kind for kind, _ in kinds} <= {"scalar", "macro"}
    assert "VOLATILE" not in {stability for _, stability in kinds}
    # Constant within a query, but another value in the next one.
    assert "CONSISTENT_WITHIN_QUERY" not in {stability for _, stability in kinds}


@settings(max_examples=400, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                "age",
                "bmi",
                "(",
                ")",
                "+",
                "-",
                "'",
                '"',
                ";",
                "--",
                "/*",
                "SELECT",
                "FROM",
                "1",
                "::",
                "BIGINT",
                "AND",
                "NOT",
                "IN",
                ",",
                "lower",
                "read_text",
                "'x'",
                "CASE",
                "WHEN",
                "THEN",
                "END",
                " ",
                "\\",
                "$",
                ".",
            ]
        ),
        max_size=14,
    ).map(" ".join)
    | st.text(max_size=20)
)
def test_whatever_parses_is_one_expression_for_the_engine(text: str) -> None:
    try:
        parsed = parse(text, COLUMNS)
    except ExpressionError:
        return
    with duckdb.connect() as connection:
        found = connection.execute(
            "SELECT json_serialize_sql(?)", [f"SELECT {parsed.sql('s')} FROM s"]
        ).fetchone()
        assert found is not None
        import json

        tree = json.loads(found[0])
    assert tree["error"] is False, tree
    assert len(tree["statements"]) == 1
    assert len(tree["statements"][0]["node"]["select_list"]) == 1
    assert "SUBQUERY" not in found[0]
