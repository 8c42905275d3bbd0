"""Every rule that a file breaks is reported with its rows, lines and values."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from steward.domain.errors import InvalidProjectError
from steward.domain.tables import Data, Label
from steward.domain.validation import FileReport, validate_file
from steward.domain.workspace import Limits
from support.training_scene import declaration

HEADER = b"patient_id,age,bmi,sex,outcome\n"
GOOD = b"p1,40,22.5,F,1\np2,41,,M,0\n"


def data_of(**columns: dict[str, object]) -> Data:
    declared = declaration()["data"]
    for column in declared["columns"]:
        column.update(columns.get(column["name"], {}))
    return Data.model_validate(declared)


def check(tmp_path: Path, content: bytes, data: Data | None = None) -> FileReport:
    path = tmp_path / "delivery.csv"
    path.write_bytes(content)
    return validate_file(path, data or data_of(), Limits(tmp_path, 300)).report


def found(report: FileReport) -> list[tuple[str, str | None, int, list[tuple[int | None, ...]]]]:
    return [
        (v.rule, v.column, v.count, [(e.row, e.line) for e in v.examples])
        for v in report.violations
    ]


@pytest.mark.parametrize(
    "content",
    [
        HEADER + GOOD,
        b"\xef\xbb\xbf" + HEADER + GOOD,
        (HEADER + GOOD).replace(b"\n", b"\r\n"),
        (HEADER + GOOD).replace(b"\n", b"\r"),
        (HEADER + GOOD).removesuffix(b"\n"),
        b"\n\n" + HEADER + GOOD + b"\n\n",
        HEADER.replace(b"\n", b"\r\n") + GOOD,
        b'"patient_id","age","bmi","sex","outcome"\n"p1","40","","F","1"\np2,41,21,M,0\n',
        b"outcome,sex,bmi,age,patient_id\n1,F,22.5,40,p1\n0,M,,41,p2\n",
        HEADER + b"p1,+40,2e1,F,1\np2,041,.5e2,M,0\n",
    ],
    ids=["plain", "bom", "crlf", "cr", "no-last-end", "blank-lines", "mixed-ends", "quoted",
         "order", "numbers"],
)  # fmt: skip
def test_a_sound_file_is_accepted_however_it_is_written(tmp_path: Path, content: bytes) -> None:
    report = check(tmp_path, content)
    assert report.violations == []
    assert report.rows == 2


@pytest.mark.parametrize(
    ("content", "rule", "said"),
    [
        (b"", "empty", "0 bytes"),
        (HEADER, "rows", "no rows"),
        (HEADER.removesuffix(b"\n"), "rows", "no rows"),
        (b"\n\r\n", "header", "no readable header"),
        ("patient_id,age".encode("utf-16"), "encoding", "UTF-16"),
        (b"\x1f\x8b\x08\x00\x00", "format", "damaged"),
        (HEADER + b"p1,4\0,6,F,1\n", "encoding", "NUL"),
        (HEADER.replace(b",", b";") + b"p1;40;1;F;1\n", "format", "';'"),
    ],
)
def test_a_file_that_is_no_table_is_refused_with_the_reason(
    tmp_path: Path, content: bytes, rule: str, said: str
) -> None:
    report = check(tmp_path, content)
    [violation] = [v for v in report.violations if v.rule == rule]
    assert said in violation.message


def test_missing_unexpected_and_repeated_columns_are_named(tmp_path: Path) -> None:
    report = check(tmp_path, b"patient_id,age,age,weight,sex,outcome\np1,4,4,60,F,1\n")
    assert {(v.rule, v.column) for v in report.violations} == {
        ("missing_column", "bmi"), ("duplicate_column", "age"), ("unexpected_column", "weight"),
    }  # fmt: skip


def test_each_rule_counts_and_names_row_line_and_value(tmp_path: Path) -> None:
    rows = b'p1,40,22.5,F,1\np2,forty,nan,M,0\np1,200,3,Q,2\n"p\n4",-1,inf,F,0\n,,1_0,F,0\n'
    report = check(tmp_path, HEADER + rows)
    assert found(report) == [
        ("null", "patient_id", 1, [(5, 7)]),
        ("pattern", "patient_id", 1, [(4, 5)]),
        ("unique", "patient_id", 1, [(3, 4)]),
        ("null", "age", 1, [(5, 7)]),
        ("type", "age", 1, [(2, 3)]),
        ("min", "age", 1, [(4, 5)]),
        ("max", "age", 1, [(3, 4)]),
        ("type", "bmi", 3, [(2, 3), (4, 5), (5, 7)]),
        ("min", "bmi", 1, [(3, 4)]),
        ("allowed", "sex", 1, [(3, 4)]),
        ("binary", "outcome", 1, [(3, 4)]),
    ]
    by_rule = {(v.rule, v.column): v for v in report.violations}
    assert by_rule["max", "age"].examples[0].value == "200"
    assert by_rule["max", "age"].message == "age must be <= 120"
    assert by_rule["unique", "patient_id"].examples[0].first_row == 1


def test_rows_of_a_wrong_shape_are_named_and_the_others_still_judged(tmp_path: Path) -> None:
    rows = b'p1,40,22.5,F,1\np2,41\np3,42,1\xff,F,1\n\np4,500,22.5,F,0\np5,"43,22.5,F,0\n'
    report = check(tmp_path, HEADER + rows)
    assert found(report) == [
        ("field_count", None, 1, [(2, 3)]),
        ("encoding", None, 1, [(3, 4)]),
        ("quoting", None, 1, [(5, 7)]),
        ("max", "age", 1, [(4, 6)]),
    ]
    assert report.rows == 5


def test_a_field_beyond_two_million_characters_is_refused(tmp_path: Path) -> None:
    report = check(tmp_path, HEADER + b"p1,1,1," + b"x" * 2_100_000 + b",1\n" + GOOD)
    assert [v.rule for v in report.violations] == ["quoting"]


def test_at_most_twenty_examples_are_given_and_all_are_counted(tmp_path: Path) -> None:
    rows = b"".join(b"p%d,999,6,F,%d\n" % (n, n % 2) for n in range(60))
    [violation] = check(tmp_path, HEADER + rows).violations
    assert violation.count == 60
    assert [e.row for e in violation.examples] == list(range(1, 21))


def test_integers_are_not_rounded_and_values_not_trimmed(tmp_path: Path) -> None:
    report = check(tmp_path, HEADER + b"p1,59.0,6,F,1\np2, 7,6,F,0\np3,1,6, F,0\n")
    assert found(report) == [
        ("type", "age", 2, [(1, 2), (2, 3)]),
        ("allowed", "sex", 1, [(3, 4)]),
    ]


def test_a_nullable_entity_id_is_still_needed(tmp_path: Path) -> None:
    data = data_of(patient_id={"nullable": True, "pattern": None})
    report = check(tmp_path, HEADER + b",40,6,F,1\np2,40,6,F,0\n", data)
    assert [(v.rule, v.column) for v in report.violations] == [("null", "patient_id")]


def test_a_label_of_the_positive_value_and_one_other_is_binary(tmp_path: Path) -> None:
    assert check(tmp_path, HEADER + b"p1,40,6,F,1\np2,40,6,F,7\n").accepted
    [violation] = check(tmp_path, HEADER + b"p1,40,6,F,5\np2,40,6,F,7\n").violations
    assert violation.rule == "binary"


def test_an_unreadable_pattern_is_a_fault_of_the_project(tmp_path: Path) -> None:
    data = data_of(patient_id={"pattern": "(?=x)p"})
    with pytest.raises(InvalidProjectError) as refused:
        check(tmp_path, HEADER + GOOD, data)
    assert refused.value.field == "data.columns[0].pattern"


def test_column_names_and_values_are_never_sql(tmp_path: Path) -> None:
    data = data_of(sex={"allowed": ["F", "M", "'; DROP TABLE delivery; --"]})
    rows = b"p1,40,6,'; DROP TABLE delivery; --,1\np2,40,6,\"' OR 1=1\",0\n"
    [violation] = check(tmp_path, HEADER + rows, data).violations
    assert (violation.rule, violation.examples[0].value) == ("allowed", "' OR 1=1")
    report = check(tmp_path, b'"a"" FROM x; --",age\n1,2\n')
    assert {v.rule for v in report.violations} == {"missing_column", "unexpected_column"}


def test_two_hundred_thousand_rows_take_seconds(tmp_path: Path) -> None:
    draw = random.Random(1)
    with (tmp_path / "delivery.csv").open("w") as file:
        file.write(HEADER.decode())
        for n in range(200_000):
            file.write(f"p{n},{draw.randint(0, 99)},{draw.gauss(26, 2):.2f},F,{n & 1}\n")
    started = time.perf_counter()
    report = validate_file(tmp_path / "delivery.csv", data_of(), Limits(tmp_path, 300)).report
    assert report.accepted
    assert report.rows == 200_000
    assert time.perf_counter() - started < 30


def test_a_label_that_is_a_number_may_have_many_values(tmp_path: Path) -> None:
    data = data_of()
    data = data.model_copy(update={"label": Label(name=data.label.name, task="regression")})
    content = HEADER + b"p1,40,6,F,5\np2,40,6,F,7\np3,40,6,F,-9\n"
    assert check(tmp_path, content, data).accepted
    [violation] = check(tmp_path, HEADER + b"p1,40,6,F,high\n", data).violations
    assert violation.rule == "type"
