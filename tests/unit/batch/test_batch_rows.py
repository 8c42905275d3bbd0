"""Rows of a batch are judged by the rules of requests; a file that cannot be read says why."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from dataclasses import dataclass
from pathlib import Path

import pytest

from steward.domain.batch_files import RowFiles
from steward.domain.batch_rows import (
    LONGEST_ROW,
    GoodRow,
    RefusedRow,
    Unpacked,
    judge_rows,
    plain,
    read_rows,
    request_features,
)
from steward.domain.errors import BatchInputRefusedError
from steward.domain.project import parse_project
from steward.domain.request_rules import Feature
from support.training_scene import declaration

FEATURES = request_features(parse_project(declaration()))
NEEDED = ["patient_id", "age", "bmi", "sex"]


@dataclass
class Judged:
    """Judged rows, sorted out."""

    rows: list[GoodRow | RefusedRow]

    @property
    def lines(self) -> list[str]:
        return [row.line for row in self.rows if isinstance(row, GoodRow)]

    @property
    def ids(self) -> list[str]:
        return [row.entity for row in self.rows if isinstance(row, GoodRow)]

    @property
    def refused(self) -> list[RefusedRow]:
        return [row for row in self.rows if isinstance(row, RefusedRow)]


def judged(
    path: Path, format_: str = "csv", most: int = 1_000_000,
    features: tuple[Feature, ...] = FEATURES,
) -> Judged:  # fmt: skip
    read = read_rows(path, format_, NEEDED, Unpacked(most))
    text = format_ == "csv"
    return Judged(list(judge_rows(path.name, read, "patient_id", features, set(), text=text)))


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


def test_times_of_parquet_with_a_zone_are_read_and_no_column_named_means_all(
    tmp_path: Path,
) -> None:
    import duckdb

    parquet = tmp_path / "rows.parquet"
    seen = "TIMESTAMPTZ '2026-01-05 10:00:00.5+02'"
    with duckdb.connect() as connection:
        connection.execute(
            f"COPY (SELECT * FROM (VALUES (1, {seen}), (2, NULL)) t(a, seen)) TO '{parquet}'"
        )
    rows = list(read_rows(parquet, "parquet", [], Unpacked()))
    assert [row["a"] for row in rows] == [1, 2]
    assert [plain(row["seen"]) for row in rows] == ["2026-01-05T08:00:00.500000+00:00", None]


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
    assert [(refused.row, refused.field) for refused in rows.refused] == [(2, field)]


def test_a_text_of_two_lines_is_refused_since_the_job_cuts_at_line_ends(tmp_path: Path) -> None:
    columns = declaration()["data"]["columns"]
    free = [{**column, "allowed": None} if column["name"] == "sex" else column
            for column in columns]  # fmt: skip
    project = parse_project(declaration(data={**declaration()["data"], "columns": free}))
    path = written(tmp_path, 'patient_id,age,bmi,sex\np1,50,,"F\u2028M"\np2,51,,M\n')
    rows = judged(path, features=request_features(project))
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
        ("[" * 100_000, "rows.jsonl", "jsonl", "line 1 is no JSON"),
        ("no parquet", "rows.parquet", "parquet", "rows.parquet"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_the_reason(
    tmp_path: Path, content: str, name: str, format_: str, words: str
) -> None:
    with pytest.raises(BatchInputRefusedError, match=words) as refused:
        judged(written(tmp_path, content, name), format_)
    assert refused.value.allowed


def test_a_broken_archive_is_refused_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv.gz"
    packed = gzip.compress(b"patient_id,age,bmi,sex\n" + bytes(range(256)) * 100)
    path.write_bytes(packed[:30] + b"\xff" * 30 + packed[60:])
    with pytest.raises(BatchInputRefusedError, match="no csv in UTF-8"):
        judged(path)


def refusing(row: int) -> RefusedRow:
    return RefusedRow("rows.csv", row, "anna-miller", "age", 4711, "a whole number, at most 120")


@pytest.mark.parametrize(
    ("rows", "count", "parts"),
    [("abcde", 2, ["a\nb\nc\n", "d\ne\n"]), ("a", 4, ["a\n"]), ("abc", 3, ["a\n", "b\n", "c\n"])],
)  # fmt: skip
def test_rows_are_cut_into_as_many_files_as_there_are_instances(
    tmp_path: Path, rows: str, count: int, parts: list[str]
) -> None:
    with RowFiles(tmp_path) as files:
        files.add(GoodRow(row, row) for row in rows)
        assert [path.read_text() for path in files.parts(count)] == parts


def test_what_is_told_of_a_refused_row_is_its_place_and_not_what_it_says(tmp_path: Path) -> None:
    text = "patient_id,age,bmi,sex\nanna-miller,4711,20.5,F\n"
    with RowFiles(tmp_path) as files:
        files.add(judged(written(tmp_path, text)).rows)
        with pytest.raises(BatchInputRefusedError, match=r"rows.csv row 1 age") as refused:
            files.require(0.5)
    assert "4711" not in refused.value.message
    assert "anna" not in refused.value.message


def test_every_refused_row_is_counted_and_so_many_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steward.domain.batch_files.MOST_KEPT", 2)
    with RowFiles(tmp_path) as files:
        files.add([*map(refusing, range(1, 6)), GoodRow("a", "a")])
        files.close()
        kept = [json.loads(line) for line in files.refused_path.read_text().splitlines()]
    assert (files.refused, files.rows, [row["row"] for row in kept]) == (5, 6, [1, 2])


def test_more_rows_than_ids_can_be_held_of_are_refused_with_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steward.domain.batch_files.MOST_ROWS", 3)
    with RowFiles(tmp_path) as files:
        files.add([GoodRow("a", "a"), refusing(2), GoodRow("b", "b")])
        with pytest.raises(BatchInputRefusedError, match="more than 3 rows"):
            files.add([GoodRow("c", "c")])


# A small file that holds much


def bomb(folder: Path, name: str) -> Path:
    """Write a file of a few kilobytes that holds 20 MB."""
    path = folder / name
    if name.endswith(".parquet"):
        import duckdb

        columns = "'p' || i patient_id, 61 age, 22.5 bmi, repeat('F', 1000) sex"
        with duckdb.connect() as connection:
            connection.execute(f"COPY (SELECT {columns} FROM range(20000) t(i)) TO '{path}'")
    elif "jsonl" in name:
        row = b'{"patient_id": "p1", "age": 61, "bmi": 22.5, "sex": "F"}\n'
        path.write_bytes(gzip.compress(row * 400_000))
    else:
        rows = b"patient_id,age,bmi,sex\n" + b"p1,61,22.5,F\n" * 1_600_000
        path.write_bytes(gzip.compress(rows))
    assert path.stat().st_size < 200_000
    return path


@pytest.mark.parametrize(
    ("name", "format_"),
    [("rows.csv.gz", "csv"), ("line.jsonl.gz", "jsonl"), ("rows.parquet", "parquet")],
)
def test_what_unpacks_to_more_than_is_read_is_refused_with_file_and_limit(
    tmp_path: Path, name: str, format_: str
) -> None:
    path = bomb(tmp_path, name)
    with pytest.raises(BatchInputRefusedError) as refused:
        judged(path, format_)
    assert refused.value.value == name
    assert f"{name}: unpacked, the input has more than 1000000 bytes" in refused.value.message
    assert "score it in parts" in str(refused.value.allowed)


def test_files_count_together(tmp_path: Path) -> None:
    path = written(tmp_path, "patient_id,age,bmi,sex\np1,61,22.5,F\n")
    unpacked = Unpacked(2 * path.stat().st_size)
    for _ in range(2):
        assert len(list(read_rows(path, "csv", NEEDED, unpacked))) == 1
    with pytest.raises(BatchInputRefusedError, match="unpacked"):
        list(read_rows(path, "csv", NEEDED, unpacked))


def test_columns_that_the_model_does_not_take_cost_nothing_in_parquet(tmp_path: Path) -> None:
    import duckdb

    path = tmp_path / "rows.parquet"
    columns = "'p1' patient_id, 61 age, 22.5 bmi, 'F' sex, repeat('x', 2000000) essay"
    with duckdb.connect() as connection:
        connection.execute(f"COPY (SELECT {columns}) TO '{path}'")
    assert judged(path, "parquet").lines == ["p1,61,22.5,F"]


# Rows that no job can take


@pytest.mark.parametrize(
    ("start", "repeated", "name", "format_"),
    [
        ('{"patient_id": "p1"}\n{"patient_id": "', "p" * 9, "rows.jsonl", "jsonl"),
        ("patient_id,age,bmi,sex\np1,61,,F,", ",", "rows.csv", "csv"),
        ("patient_id,age,bmi,sex\n", '"\n",', "rows.csv", "csv"),
        ("", "age,", "rows.csv", "csv"),
    ],
)
def test_a_row_of_any_length_is_refused_by_number_before_memory_holds_it(
    tmp_path: Path, start: str, repeated: str, name: str, format_: str
) -> None:
    path = written(tmp_path, start + repeated * (16 * 1024**2 // len(repeated)), name)
    tracemalloc.start()
    try:
        with pytest.raises(BatchInputRefusedError, match=r"line \d+ has more than 1048576 char"):
            judged(path, format_, most=200_000_000)
        assert tracemalloc.get_traced_memory()[1] < 2 * 16 * 1024**2
    finally:
        tracemalloc.stop()


def test_the_rows_of_a_file_are_not_counted_together(tmp_path: Path) -> None:
    text = "patient_id,age,bmi,sex\n" + "".join(f"p{n},61,,F\n" for n in range(100_000))
    assert len(text) > LONGEST_ROW
    assert len(judged(written(tmp_path, text), most=9_000_000).lines) == 100_000


def test_a_long_row_of_parquet_is_refused_by_its_number(tmp_path: Path) -> None:
    import duckdb

    path = tmp_path / "rows.parquet"
    columns = "'p' || i patient_id, 61 age, 22.5 bmi, repeat('F', i * 1100000) sex"
    with duckdb.connect() as connection:
        connection.execute(f"COPY (SELECT {columns} FROM range(2) t(i)) TO '{path}'")
    with pytest.raises(BatchInputRefusedError, match="row 2 has more than 1048576 bytes"):
        judged(path, "parquet", most=200_000_000)


def free_sex() -> tuple[Feature, ...]:
    """The features, of which ``sex`` may be any text."""
    return tuple(
        Feature("sex", "string") if feature.name == "sex" else feature for feature in FEATURES
    )


def test_half_a_character_is_refused_in_its_row_alone(tmp_path: Path) -> None:
    text = (
        '{"patient_id": "p\\ud800", "age": 61, "sex": "F"}\n'
        '{"patient_id": "p2", "age": 61, "sex": "F\\udfff"}\n'
        '{"patient_id": "p3", "age": 61, "sex": "\\ud83d\\ude00"}\n'
    )
    rows = judged(written(tmp_path, text, "rows.jsonl"), "jsonl", features=free_sex())
    assert [(refused.row, refused.field) for refused in rows.refused] == [
        (1, "patient_id"), (2, "sex"),
    ]  # fmt: skip
    with RowFiles(tmp_path) as files:
        files.add(rows.rows)
        files.require(0.7)
        files.close()
        [part] = files.parts(1)
        assert part.read_text(encoding="utf-8") == "p3,61,,\U0001f600\n"
        kept = files.refused_path.read_text(encoding="utf-8").splitlines()
        assert [json.loads(line)["row"] for line in kept] == [1, 2]


def test_a_row_that_is_longer_than_the_job_s_payload_in_bytes_is_refused(tmp_path: Path) -> None:
    rows = [{"patient_id": "p1", "age": 61, "sex": "\u20ac" * 400_000},
            {"patient_id": "p2", "age": 61, "sex": "F"}]  # fmt: skip
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    found = judged(
        written(tmp_path, text, "rows.jsonl"), "jsonl", most=9_000_000, features=free_sex()
    )
    assert (found.ids, [(r.row, r.field) for r in found.refused]) == (["p2"], [(1, "sex")])
