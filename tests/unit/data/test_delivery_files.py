"""Whatever its format, a file becomes one relation with typed columns and numbered rows."""

from __future__ import annotations

import gzip
from datetime import datetime
from pathlib import Path

import duckdb
import pytest

from steward.domain import delivery_files
from steward.domain.delivery_files import load, load_typed, plain_file, reading_of
from steward.domain.errors import UnreadableFileError
from steward.domain.tables import Table
from steward.domain.workspace import Limits, workspace

CSV = (
    "when,id,n,x,ok,N\n"
    "2026-01-01T01:00:00.1239+02:00,p1,7,1.5,true,9\n"
    "2026-01-01,p2,+8,1e3,0,9\n"
    ",p3,,,,\n"
)
JSONL = (
    '{"id":"p1","n":7,"x":1.5,"ok":true,"when":"2026-01-01T01:00:00.1239+02:00","N":9}\n'
    '{"id":"p2","n":8,"x":1e3,"ok":false,"when":"2026-01-01"}\n'
    "\n"
    '{"id":"p3","n":null}\n'
)
PARQUET = """SELECT * FROM (VALUES
    ('p1', 7.0::DOUBLE, 1.5::FLOAT, true, TIMESTAMPTZ '2026-01-01T01:00:00.1239+02:00'),
    ('p2', 8.0, 1000.0, false, TIMESTAMPTZ '2026-01-01T00:00:00Z'),
    ('p3', NULL, NULL, NULL, NULL)) t(id, n, x, ok, "when")"""
ROWS = [
    (1, "p1", 7, 1.5, True, datetime(2025, 12, 31, 23, 0, 0, 123000)),  # noqa: DTZ001
    (2, "p2", 8, 1000.0, False, datetime(2026, 1, 1)),  # noqa: DTZ001
    (3, "p3", None, None, None, None),
]


def table(format_: str) -> Table:
    return Table.model_validate(
        {
            "format": format_,
            "columns": [
                {"name": "id", "type": "string"},
                {"name": "n", "type": "integer", "nullable": True},
                {"name": "x", "type": "float", "nullable": True},
                {"name": "ok", "type": "boolean", "nullable": True},
                {"name": "when", "type": "timestamp", "nullable": True},
            ],
        }
    )


def write(folder: Path, kind: str) -> tuple[Path, Table]:
    format_, _, packed = kind.partition(".")
    path = folder / "delivery"
    if format_ == "parquet":
        duckdb.sql(PARQUET).write_parquet(str(path))
    else:
        content = (CSV if format_ == "csv" else JSONL).encode()
        path.write_bytes(gzip.compress(content) if packed else content)
    return path, table(format_)


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "jsonl", "jsonl.gz", "parquet"])
def test_the_same_rows_in_each_format_are_the_same_relation(tmp_path: Path, kind: str) -> None:
    path, declared = write(tmp_path, kind)
    with workspace(Limits(tmp_path, 300)) as connection:
        load_typed(connection, path, declared, "typed")
        assert connection.execute("SELECT * FROM typed ORDER BY row_").fetchall() == ROWS
        described = connection.execute("DESCRIBE typed").fetchall()
        assert [row[1] for row in described] == [
            "BIGINT", "VARCHAR", "BIGINT", "DOUBLE", "BOOLEAN", "TIMESTAMP",
        ]  # fmt: skip
        delivery_files.drop(connection, "typed")
        load_typed(connection, path, declared, "typed", as_written=("n",))
        kept = [row[0] for row in connection.execute("SELECT n FROM typed").fetchall()]
        assert [None if n is None else float(n) for n in kept] == [7.0, 8.0, None]
    assert [found.name for found in tmp_path.iterdir()] == ["delivery"]


def test_mixed_line_ends_are_read(tmp_path: Path) -> None:
    path = tmp_path / "delivery"
    path.write_bytes(CSV.replace("\n", "\r\n", 2).encode())
    with workspace(Limits(tmp_path, 300)) as connection:
        load_typed(connection, path, table("csv"), "typed")
        assert connection.execute("SELECT * FROM typed").fetchall() == ROWS


def wrong_texts(tmp_path: Path, path: Path, declared: Table) -> list[dict[str, str]]:
    """Return, per row, what is none of its column's type."""
    with workspace(Limits(tmp_path, 300)) as connection:
        load(connection, reading_of(connection, path, declared), declared, "d", judged=True)
        cursor = connection.execute("SELECT * FROM d")
        names = [column[0] for column in cursor.description]
        return [
            {name[1:]: value for name, value in zip(names, row, strict=True)
             if name.startswith("!") and value is not None}
            for row in cursor.fetchall()
        ]  # fmt: skip


def test_json_kinds_are_kept_apart(tmp_path: Path) -> None:
    path = tmp_path / "delivery"
    path.write_text('{"id":5,"n":"7","x":"1.5","ok":"true","when":3}\n{"id":"5","n":1.5}\n')
    assert wrong_texts(tmp_path, path, table("jsonl")) == [
        {"id": "5", "n": "7", "x": "1.5", "ok": "true", "when": "3"}, {"n": "1.5"},
    ]  # fmt: skip


def test_a_parquet_column_of_another_kind_holds_no_value(tmp_path: Path) -> None:
    path = tmp_path / "delivery"
    duckdb.sql("SELECT 5 id, '7' n, 'nan'::DOUBLE x, 1 ok, 3 \"when\"").write_parquet(str(path))
    assert wrong_texts(tmp_path, path, table("parquet")) == [
        {"id": "5", "n": "7", "x": "nan", "ok": "1", "when": "3"}
    ]
    duckdb.sql("SELECT 'a' id, 1.5::DOUBLE n").write_parquet(str(path))
    assert wrong_texts(tmp_path, path, table("parquet")) == [{"n": "1.5"}]


@pytest.mark.parametrize(
    ("format_", "content", "said"),
    [
        ("csv", b"\n\n", "header"),
        ("csv", gzip.compress(b"a,b\n1,2\n", mtime=0)[:-9], "damaged"),
        ("jsonl", b"\x1f\x8bno gzip at all", "damaged"),
        ("parquet", b"no parquet", "Parquet"),
    ],
)
def test_a_file_of_another_format_is_refused(
    tmp_path: Path, format_: str, content: bytes, said: str
) -> None:
    path = tmp_path / "delivery"
    path.write_bytes(content)
    declared = table(format_)
    with (
        workspace(Limits(tmp_path, 300)) as connection,
        pytest.raises(UnreadableFileError, match=said),
    ):
        reading_of(connection, plain_file(path, declared.format), declared)


def test_what_unpacks_to_more_than_a_function_holds_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_files, "MAX_UNPACKED_BYTES", 1000)
    path = tmp_path / "delivery"
    path.write_bytes(gzip.compress(b"a" * 2000))
    with pytest.raises(UnreadableFileError, match="unpacks to more"):
        plain_file(path, "csv")
