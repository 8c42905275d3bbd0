"""Rows of a batch are judged by the rules of requests; a file that cannot be read says why."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from steward.domain.batch_rows import BatchRows, judge_rows, read_rows, request_features
from steward.domain.errors import BatchInputRefusedError
from steward.domain.project import parse_project
from support.training_scene import declaration

FEATURES = request_features(parse_project(declaration()))
NEEDED = ["patient_id", "age", "bmi", "sex"]


def judged(path: Path, format_: str = "csv") -> BatchRows:
    rows = BatchRows()
    read = read_rows(path, format_, NEEDED)
    judge_rows(rows, path.name, read, "patient_id", FEATURES, text=format_ == "csv")
    return rows


def written(folder: Path, text: str, name: str = "rows.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_columns_are_put_in_the_model_s_order_and_others_left_out(tmp_path: Path) -> None:
    rows = judged(written(tmp_path, "sex,more,patient_id,bmi,age\nF,1,p1,,61\nM,2,p2,22.50,48\n"))
    assert rows.lines == ["p1,61,,F", "p2,48,22.5,M"]


def test_csv_json_lines_and_parquet_of_the_same_rows_are_the_same_to_the_job(
    tmp_path: Path,
) -> None:
    import duckdb

    text = "patient_id,age,bmi,sex\np1,61,,F\np2,48,22.5,M\n"
    plain = judged(written(tmp_path, text))
    packed = tmp_path / "rows.csv.gz"
    packed.write_bytes(gzip.compress(text.encode()))
    lines = written(
        tmp_path,
        '{"patient_id": "p1", "age": 61, "bmi": null, "sex": "F"}\n\n'
        '{"patient_id": "p2", "age": 48, "bmi": 22.5, "sex": "M"}\n',
        "rows.jsonl",
    )
    parquet = tmp_path / "rows.parquet"
    with duckdb.connect() as connection:
        connection.execute(f"COPY (FROM '{lines}') TO '{parquet}'")
    found = [judged(packed).lines, judged(lines, "jsonl").lines, judged(parquet, "parquet").lines]
    assert found == [plain.lines] * 3


def test_decimals_of_parquet_are_numbers(tmp_path: Path) -> None:
    import duckdb

    parquet = tmp_path / "rows.parquet"
    row = "'p1' patient_id, 61::DECIMAL(18, 0) age, 22.50::DECIMAL(10, 2) bmi, 'F' sex"
    with duckdb.connect() as connection:
        connection.execute(f"COPY (SELECT {row}) TO '{parquet}'")
    found = judged(parquet, "parquet")
    assert (found.lines, found.refused) == (["p1,61,22.5,F"], [])


@pytest.mark.parametrize(
    ("row", "field"),
    [
        (",61,,F", "patient_id"),
        ("p1,61,,F", "patient_id"),
        ("p3,121,,F", "age"),
        ("p3,6.5,,F", "age"),
        ("p3,,,F", "age"),
        ("p3,61,x,F", "bmi"),
        ("p3,61,,D", "sex"),
        ('"p\n3",61,,F', "patient_id"),
    ],
)
def test_a_row_that_breaks_a_rule_is_named(tmp_path: Path, row: str, field: str) -> None:
    rows = judged(written(tmp_path, f"patient_id,age,bmi,sex\np1,50,,F\n{row}\n"))
    assert rows.ids == ["p1"]
    assert [(refused.row, refused.field) for refused in rows.refused] == [(1, field)]


def test_a_text_of_two_lines_is_refused_since_the_job_cuts_at_line_ends(tmp_path: Path) -> None:
    columns = declaration()["data"]["columns"]
    free = [{**column, "allowed": None} if column["name"] == "sex" else column
            for column in columns]  # fmt: skip
    project = parse_project(declaration(data={**declaration()["data"], "columns": free}))
    path = written(tmp_path, 'patient_id,age,bmi,sex\np1,50,,"F\u2028M"\np2,51,,M\n')
    rows = BatchRows()
    read = read_rows(path, "csv", NEEDED)
    judge_rows(rows, "rows.csv", read, "patient_id", request_features(project), text=True)
    assert (rows.ids, rows.refused[0].field) == (["p2"], "sex")


@pytest.mark.parametrize(
    ("content", "name", "format_", "words"),
    [
        ("patient_id,age\np1,50\n", "rows.csv", "csv", "no column bmi, sex"),
        ("", "rows.csv", "csv", "no column patient_id"),
        ("patient_id,age,bmi,sex\np1,50\n", "rows.csv", "csv", "not as many cells"),
        ("{]\n", "rows.jsonl", "jsonl", "line 1 is no JSON"),
        ("[1]\n", "rows.jsonl", "jsonl", "no JSON object"),
        ("not packed", "rows.csv.gz", "csv", "no csv"),
        ("no parquet", "rows.parquet", "parquet", "rows.parquet"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_the_reason(
    tmp_path: Path, content: str, name: str, format_: str, words: str
) -> None:
    with pytest.raises(BatchInputRefusedError, match=words) as refused:
        judged(written(tmp_path, content, name), format_)
    assert refused.value.allowed


def test_rows_are_cut_into_as_many_files_as_there_are_instances() -> None:
    rows = BatchRows(ids=list("abcde"), lines=list("abcde"))
    assert rows.parts(2) == ["a\nb\nc\n", "d\ne\n"]
    assert BatchRows(ids=["a"], lines=["a"]).parts(4) == ["a\n"]


def test_what_is_told_of_a_refused_row_is_its_place_and_not_what_it_says(tmp_path: Path) -> None:
    text = "patient_id,age,bmi,sex\nanna-miller,4711,20.5,F\n"
    with pytest.raises(BatchInputRefusedError, match=r"rows.csv row 0 age") as refused:
        judged(written(tmp_path, text)).require(0.5)
    assert "4711" not in refused.value.message
    assert "anna" not in refused.value.message
