"""Severities, rules over several columns and over the whole file, and what is set aside."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from steward.domain.column_rules import check_table
from steward.domain.errors import InvalidProjectError
from steward.domain.findings import Violation
from steward.domain.tables import Table
from steward.domain.validation import Context, Validated, validate_file
from steward.domain.workspace import Limits, workspace

RECEIVED = datetime(2026, 3, 1, 12, tzinfo=UTC)
HEADER = "id,low,high,at\n"


def table(**changes: Any) -> Table:
    columns = {
        "id": {"name": "id", "type": "string", "unique": True},
        "low": {"name": "low", "type": "float", "nullable": True},
        "high": {"name": "high", "type": "float", "nullable": True},
        "at": {"name": "at", "type": "timestamp", "nullable": True},
    }
    for name, changed in changes.pop("columns", {}).items():
        columns[name] |= changed
    return Table.model_validate(
        {"columns": list(columns.values()), "distribution": None, **changes}
    )


def check(
    tmp_path: Path, content: str | bytes, declared: Table | None = None, **context: Any
) -> Validated:
    path = tmp_path / "delivery"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    judged = Context(received_at=RECEIVED, **context)
    return validate_file(path, declared or table(), Limits(tmp_path, 300), judged)


def found(validated: Validated) -> list[tuple[str, str | None, str, int]]:
    return [(v.rule, v.column, v.severity, v.count) for v in validated.report.violations]


def only(validated: Validated) -> Violation:
    [violation] = validated.report.violations
    return violation


RULE = {"name": "ordered", "expression": "low <= high", "message": "low lies above high"}


def test_a_rule_over_columns_names_the_rows_and_their_values(tmp_path: Path) -> None:
    rows = HEADER + "a,1,2,\nb,3,2,\nc,3,,\nd,9,1.5,\n"
    validated = check(tmp_path, rows, table(rules=[RULE]))
    violation = only(validated)
    assert (violation.rule, violation.count, violation.share) == ("ordered", 2, 0.5)
    assert violation.message == "low lies above high"
    assert [(e.row, e.line, e.value) for e in violation.examples] == [
        (2, 3, "low=3, high=2"), (4, 5, "low=9, high=1.5"),
    ]  # fmt: skip
    assert not validated.report.accepted


def test_a_rule_whose_column_is_missing_is_not_judged(tmp_path: Path) -> None:
    validated = check(tmp_path, "id,low,at\na,1,\n", table(rules=[RULE]))
    assert [v.rule for v in validated.report.violations] == ["missing_column"]


@pytest.mark.parametrize(
    "expression",
    [
        "low <= (SELECT 1)", "read_text('/etc/passwd') = ''", "low; DROP TABLE delivery",
        "sum(low) > 1", "random() < low", "width > 1", "low <=", "getenv('HOME') = ''",
        "1=1) OR (1=1", "low > now()",
    ],
)  # fmt: skip
def test_what_is_no_expression_over_the_columns_is_refused_with_its_path(expression: str) -> None:
    with pytest.raises(ValueError, match=r"rules\[0\]\.expression: rule r: "):
        table(rules=[{"name": "r", "expression": expression}])


def test_an_expression_that_does_not_fit_its_columns_is_refused_with_its_path() -> None:
    declared = table(rules=[RULE, {"name": "r", "expression": "lower(low) = 'x' AND at > 3"}])
    with duckdb.connect() as connection, pytest.raises(InvalidProjectError) as refused:
        check_table(connection, declared, "data.sources.labs")
    assert refused.value.field == "data.sources.labs.rules[1].expression"


def test_a_warning_lets_a_delivery_pass(tmp_path: Path) -> None:
    declared = table(columns={"low": {"max": 5, "severity": "warn"}})
    validated = check(tmp_path, HEADER + "a,1,,\nb,9,,\n", declared)
    assert found(validated) == [("max", "low", "warn", 1)]
    assert validated.report.accepted
    assert validated.report.warnings == 1
    assert validated.aside is None


ASIDE = {"low": {"max": 5, "severity": "quarantine_rows"}}


def formatted(rows: list[tuple[Any, ...]], kind: str, tmp_path: Path) -> bytes:
    if kind == "jsonl":
        names = ("id", "low", "high", "at")
        lines = [json.dumps(dict(zip(names, row, strict=True))) for row in rows]
        return ("\n".join([lines[0], "", *lines[1:]]) + "\n").encode()
    if kind == "parquet":
        goal = tmp_path / "made.parquet"
        values = ", ".join(
            f"('{a}', {b}::DOUBLE, {c}::DOUBLE, NULL::TIMESTAMP)" for a, b, c, _ in rows
        )
        sql = f'SELECT * FROM (VALUES {values}) t(id, low, high, "at")'
        duckdb.sql(sql).write_parquet(str(goal))
        return goal.read_bytes()
    text = HEADER + "".join(f"{a},{b},{c},\n" for a, b, c, _ in rows)
    return gzip.compress(text.encode()) if kind == "csv.gz" else text.encode()


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "jsonl", "parquet"])
def test_rows_are_set_aside_as_they_were_delivered(tmp_path: Path, kind: str) -> None:
    rows = [(f"p{n}", 9 if n in (3, 7) else 1, n, None) for n in range(30)]
    declared = table(
        format=kind.removesuffix(".gz"), columns=ASIDE,
        rules=[{**RULE, "severity": "quarantine_rows"}],
    )  # fmt: skip
    validated = check(tmp_path, formatted(rows, kind, tmp_path), declared)
    report, aside = validated.report, validated.aside
    assert report.accepted
    assert (report.rows, report.quarantined_rows) == (30, 3)
    assert aside is not None
    read = {"csv": "read_csv", "jsonl": "read_json", "parquet": "read_parquet"}[declared.format]
    kept = duckdb.sql(f"SELECT id FROM {read}('{aside.accepted}')").fetchall()
    others = duckdb.sql(f"SELECT id FROM {read}('{aside.rows}')").fetchall()
    assert [row[0] for row in others] == ["p0", "p3", "p7"]
    assert [row[0] for row in kept] == [f"p{n}" for n in range(30) if n not in (0, 3, 7)]
    assert (
        aside.reasons.read_text()
        == "row,rule,column\n1,ordered,\n4,max,low\n4,ordered,\n8,max,low\n8,ordered,\n"
    )
    assert report.profile is not None
    assert report.profile.rows == 27


def test_too_many_rows_set_aside_reject_the_delivery(tmp_path: Path) -> None:
    rows = HEADER + "".join(f"p{n},{9 if n < 3 else 1},,\n" for n in range(20))
    validated = check(tmp_path, rows, table(columns=ASIDE))
    assert found(validated) == [
        ("max", "low", "quarantine_rows", 3), ("max_quarantined_share", None, "reject", 3),
    ]  # fmt: skip
    assert validated.aside is None
    allowed = table(columns=ASIDE, max_quarantined_share=0.15)
    assert check(tmp_path, rows, allowed).report.accepted


def test_repeated_rows_can_be_set_aside_and_the_first_one_stays(tmp_path: Path) -> None:
    rows = HEADER + "".join(f"p{n % 19},1,,\n" for n in range(20))
    declared = table(columns={"id": {"severity": "quarantine_rows"}})
    validated = check(tmp_path, rows, declared)
    assert validated.report.quarantined_rows == 1
    assert validated.aside is not None
    assert validated.aside.reasons.read_text() == "row,rule,column\n20,unique,id\n"


def test_the_share_of_empty_values_is_bounded(tmp_path: Path) -> None:
    declared = table(columns={"low": {"max_null_share": 0.25}})
    assert check(tmp_path, HEADER + "a,,,\nb,1,,\nc,1,,\nd,1,,\n", declared).report.accepted
    violation = only(check(tmp_path, HEADER + "a,,,\nb,,,\nc,1,,\nd,1,,\n", declared))
    assert (violation.rule, violation.count, violation.share) == ("max_null_share", 2, 0.5)
    assert "50.0% of the rows; allowed: 25.0%" in violation.message


@pytest.mark.parametrize(("rows", "broken"), [(1, True), (2, False), (3, False), (4, True)])
def test_the_number_of_rows_is_bounded(tmp_path: Path, rows: int, broken: bool) -> None:
    declared = table(row_count={"min": 2, "max": 3})
    content = HEADER + "".join(f"p{n},1,,\n" for n in range(rows))
    rules = [v.rule for v in check(tmp_path, content, declared).report.violations]
    assert rules == (["row_count"] if broken else [])


@pytest.mark.parametrize(
    ("newest", "broken"),
    [("2026-03-01T11:00:00Z", False), ("2026-03-01T10:59:59.999Z", True), ("", True)],
)
def test_the_newest_value_may_not_be_too_old_at_receipt(
    tmp_path: Path, newest: str, broken: bool
) -> None:
    declared = table(freshness={"column": "at", "max_age_s": 3600})
    content = HEADER + f"a,1,,2026-01-01T00:00Z\nb,1,,{newest}\n"
    content = content if newest else HEADER + "a,1,,\n"
    rules = [v.rule for v in check(tmp_path, content, declared).report.violations]
    assert rules == (["freshness"] if broken else [])


def test_a_feature_time_in_the_future_is_refused(tmp_path: Path) -> None:
    rows = HEADER + "a,1,,2026-03-01T12:04:59Z\nb,1,,2026-03-01T12:05:01Z\nc,1,,2027-01-01T00:00Z\n"
    violation = only(check(tmp_path, rows, event_times=frozenset({"at"})))
    assert (violation.rule, violation.count) == ("future", 2)
    assert [e.row for e in violation.examples] == [2, 3]
    assert check(tmp_path, rows).report.accepted


def test_mixed_time_zones_are_converted_and_said(tmp_path: Path) -> None:
    rows = HEADER + "a,1,,2026-03-01T12:00:00+02:00\nb,1,,2026-03-01T09:00:00\nc,1,,2026-02-01\n"
    validated = check(tmp_path, rows)
    violation = only(validated)
    assert (violation.rule, violation.severity, violation.count) == ("mixed_time_zones", "warn", 2)
    assert validated.report.profile is not None
    at = validated.report.profile.column("at")
    assert at is not None
    assert (at.min, at.max) == ("2026-02-01T00:00:00.000Z", "2026-03-01T10:00:00.000Z")


def test_a_parquet_column_of_another_type_is_said_once(tmp_path: Path) -> None:
    goal = tmp_path / "made.parquet"
    sql = "SELECT 'a' id, 'high' low, 1.5 high, NULL::TIMESTAMP AS \"at\" FROM range(5)"
    duckdb.sql(sql).write_parquet(str(goal))
    declared = table(format="parquet", columns={"id": {"unique": False}})
    violation = only(check(tmp_path, goal.read_bytes(), declared))
    assert (violation.rule, violation.column, violation.count) == ("type", "low", 1)
    assert violation.message == "low must be float; the file's column is VARCHAR"


def test_lines_that_are_no_objects_are_named_and_the_others_still_judged(tmp_path: Path) -> None:
    lines = [
        b'{"id":"a","low":1,"high":2,"at":null}', b"", b"[1,2]", b'{"id":"b","low":',
        b'{"id":"\xff"}',
        b'{"id":"c","id":"d"}', b'{"id":"e","low":NaN}', b'{"id":"f","low":"7","weight":1}',
    ]  # fmt: skip
    validated = check(tmp_path, b"\n".join(lines), table(format="jsonl"))
    by_rule = {v.rule: v for v in validated.report.violations}
    assert [(e.row, e.line) for e in by_rule["json"].examples] == [(2, 3), (3, 4), (5, 6), (6, 7)]
    assert [(e.row, e.line) for e in by_rule["encoding"].examples] == [(4, 5)]
    assert [(e.row, e.line, e.value) for e in by_rule["type"].examples] == [(7, 8, "7")]
    assert by_rule["unexpected_column"].column == "weight"
    assert validated.report.rows == 7


def test_a_null_key_is_named_in_each_format(tmp_path: Path) -> None:
    for kind, content in (
        ("csv", HEADER + ",1,2,\nb,1,2,\n"),
        ("jsonl", '{"id":null,"low":1,"high":1,"at":null}\n{"id":"b"}\n'),
    ):
        violation = only(check(tmp_path, content, table(format=kind)))
        assert (violation.rule, violation.column, violation.examples[0].row) == ("null", "id", 1)


def test_files_that_are_made_beside_the_delivery_are_removed(tmp_path: Path) -> None:
    check(tmp_path, gzip.compress((HEADER + "a,1,2,\r\nb,1,2,\n").encode()))
    assert [path.name for path in tmp_path.iterdir()] == ["delivery"]


def test_a_declared_column_may_not_be_named_like_one_of_ours() -> None:
    columns = [{"name": "row_", "type": "string"}, {"name": "x", "type": "string"}]
    with pytest.raises(ValueError, match="named like Steward's own: row_"):
        Table.model_validate({"columns": columns})
    columns[0]["name"] = "X"
    with pytest.raises(ValueError, match="case alone: X, x"):
        Table.model_validate({"columns": columns})


def test_the_engine_is_only_asked_what_it_can_read(tmp_path: Path) -> None:
    with workspace(Limits(tmp_path, 300)) as connection, pytest.raises(InvalidProjectError) as no:
        check_table(connection, table(columns={"id": {"pattern": "(?=x)"}}))
    assert no.value.field == "data.columns[0].pattern"
