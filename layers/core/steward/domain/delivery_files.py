"""The formats of delivered files behind one relation: typed columns and the number of each row.

CSV is text. JSON Lines carries JSON's own kinds, and a number in quotes is a string. Parquet
carries physical types. Whatever the format, a value that is none of the declared type is null in
the typed column; :func:`load` can keep it, as written, in the column's second one.

Rows are numbered from 1 in the order of the file. A gzip file is known by its first bytes.
"""

# ruff: noqa: S608 - names and values go through identifier() and literal()

from __future__ import annotations

import gzip
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from steward.domain import csv_files
from steward.domain.column_types import SQL_TYPES, instant, is_zoned, typed, wrong_of, zone_of
from steward.domain.errors import UnreadableFileError
from steward.domain.tables import Column, Table
from steward.domain.workspace import Connection, identifier, literal

REJECTS = "rejected"
MAX_LOCATED_FAULTS = 100_000
MAX_UNPACKED_BYTES = 4_500_000_000
"""What a packed file may unpack to: below the temporary space of the functions that read it."""
_BLOCK = 1 << 22
_WHOLE = 9_007_199_254_740_992  # 2**53: beyond it a double is not one whole number


@dataclass(frozen=True)
class Reading:
    """A file as DuckDB reads it.

    Attributes:
        path: The plain file.
        relation: SQL that yields the file's rows in order.
        raw: SQL of each column's value as the file has it, by the column's name.
        physical: Parquet type by column; empty for text formats.
        format: The table's format.
    """

    path: Path
    relation: str
    raw: dict[str, str]
    format: str
    physical: dict[str, str] = field(default_factory=dict)


def is_packed(path: Path) -> bool:
    """Return whether a file is gzip."""
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def unpack(path: Path, target: Path) -> None:
    """Write what a gzip file holds.

    Raises:
        UnreadableFileError: It is damaged, or larger than :data:`MAX_UNPACKED_BYTES`.
    """
    written = 0
    try:
        with gzip.open(path) as packed, target.open("wb") as plain:
            while block := packed.read(_BLOCK):
                written += len(block)
                if written > MAX_UNPACKED_BYTES:
                    raise UnreadableFileError(
                        f"the file unpacks to more than {MAX_UNPACKED_BYTES} bytes", field="size",
                        allowed="several smaller files, or Parquet",
                    )  # fmt: skip
                plain.write(block)
    except (EOFError, OSError, gzip.BadGzipFile) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise UnreadableFileError(
            f"the gzip file is damaged: {error}", field="format", allowed="a whole gzip file"
        ) from None


def plain_file(path: Path, format_: str) -> Path:
    """Return the file itself, or beside it one that is unpacked and has one kind of line ends."""
    readable = path
    if format_ != "parquet" and is_packed(path):
        readable = path.with_name(f"{path.name}.plain")
        unpack(path, readable)
    if format_ == "csv" and csv_files.scan(readable).mixed_line_ends:
        normal = path.with_name(f"{path.name}.normal")
        csv_files.normalise_line_ends(readable, normal)
        if readable != path:
            readable.unlink()
        readable = normal
    return readable


def reading_of(connection: Connection, path: Path, table: Table) -> Reading:
    """Return how a plain file is read.

    Args:
        connection: Reads the schema of a Parquet file.
        path: As :func:`plain_file` returns it.
        table: Its declaration.

    Raises:
        UnreadableFileError: A CSV file has no header, or a Parquet file no readable footer.
    """
    if table.format == "csv":
        header = csv_files.read_header(path)
        if header is None or not header.names:
            raise UnreadableFileError("the file has no readable header line", field="header")
        return csv_reading(path, header)
    if table.format == "jsonl":
        return _jsonl_reading(path, table)
    return _parquet_reading(connection, path)


def csv_reading(path: Path, header: csv_files.Header) -> Reading:
    """Return how a CSV file with this header is read.

    Columns are read by their place, since DuckDB does not tell names of other case apart.
    """
    places = [f"c{place}" for place in range(len(header.names))]
    columns = ", ".join(f"{literal(place)}: 'VARCHAR'" for place in places)
    relation = f"""read_csv({literal(str(path))}, auto_detect = false, delim = ',', quote = '"',
        escape = '"', header = false, skip = {header.lines}, columns = {{{columns}}},
        store_rejects = true, rejects_table = '{REJECTS}', rejects_scan = '{REJECTS}_scans',
        rejects_limit = {MAX_LOCATED_FAULTS})"""
    raw = dict(zip(header.names, places, strict=True))
    return Reading(path, relation, raw, "csv")


def _jsonl_reading(path: Path, table: Table) -> Reading:
    columns = ", ".join(f"{literal(column.name)}: 'JSON'" for column in table.columns)
    relation = (
        f"read_json({literal(str(path))}, format = 'newline_delimited',"
        f" maximum_object_size = {csv_files.MAX_FIELD * 2}, columns = {{{columns}}})"
    )
    raw = {column.name: identifier(column.name) for column in table.columns}
    return Reading(path, relation, raw, "jsonl")


def _parquet_reading(connection: Connection, path: Path) -> Reading:
    relation = f"read_parquet({literal(str(path))})"
    try:
        described = connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()
    except duckdb.Error as error:
        raise UnreadableFileError(
            f"not readable as Parquet: {str(error).strip().splitlines()[0][:300]}", field="format"
        ) from None
    physical = {str(row[0]): str(row[1]) for row in described}
    return Reading(path, relation, {n: identifier(n) for n in physical}, "parquet", physical)


_KINDS = {
    "string": ("VARCHAR", "ENUM", "UUID"),
    "integer": ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT",
                "UINTEGER", "UBIGINT", "FLOAT", "DOUBLE", "DECIMAL"),
    "boolean": ("BOOLEAN",),
    "timestamp": ("TIMESTAMP", "DATE", "VARCHAR"),
}  # fmt: skip
_KINDS["float"] = _KINDS["integer"]


def fits(column: Column, physical: str) -> bool:
    """Return whether a Parquet type can hold values of the declared type.

    Doubles may hold integers, since that is how pandas writes integers with nulls; each value
    must then be whole. Text is no number and a number no text.
    """
    if physical.endswith("]"):
        return False
    return physical.startswith(_KINDS[column.type])


@dataclass(frozen=True)
class _Cell:
    """SQL of one column: its typed value, its text, and whether that may say an offset."""

    value: str
    text: str
    says_zone: bool = True


def _cell(column: Column, reading: Reading) -> _Cell:
    raw = reading.raw[column.name]
    if reading.format == "csv":
        return _Cell(typed(column, raw), raw)
    if reading.format == "jsonl":
        is_text = f"starts_with({raw}::VARCHAR, '\"')"
        text = f"CASE WHEN {is_text} THEN {raw}->>'$' ELSE {raw}::VARCHAR END"
        kind = is_text if column.type in ("string", "timestamp") else f"NOT {is_text}"
        return _Cell(f"CASE WHEN {kind} THEN {typed(column, f'({text})')} END", text)
    physical, text = reading.physical[column.name], f"{raw}::VARCHAR"
    if not fits(column, physical):
        return _Cell(f"NULL::{SQL_TYPES[column.type]}", text)
    return _Cell(_of_parquet(column, raw, physical), text, physical.startswith("VARCHAR"))


def _of_parquet(column: Column, raw: str, physical: str) -> str:
    if column.type == "integer":
        whole = f"TRY_CAST({raw} AS BIGINT)"
        if physical.startswith(("FLOAT", "DOUBLE", "DECIMAL")):
            bound = "" if physical.startswith("DECIMAL") else f" AND abs({raw}) <= {_WHOLE}"
            return f"CASE WHEN {raw} = trunc({raw}){bound} THEN {whole} END"
        return whole
    if column.type == "float":
        return f"CASE WHEN isfinite({raw}::DOUBLE) THEN {raw}::DOUBLE + 0.0 END"
    if column.type == "timestamp" and physical.startswith("VARCHAR"):
        return typed(column, raw)
    if column.type == "timestamp":
        zoned = physical.startswith("TIMESTAMP WITH TIME ZONE")
        return instant(f"make_timestamp(epoch_us({raw}))" if zoned else f"{raw}::TIMESTAMP")
    return f"{raw}::{SQL_TYPES[column.type]}"


def load(
    connection: Connection,
    reading: Reading,
    table: Table,
    into: str,
    *,
    judged: bool = False,
    as_written: Collection[str] = (),
) -> list[Column]:
    """Read a file once into the relation ``into``: ``row_`` and the declared columns, typed.

    Args:
        connection: Gets a table ``<into>_rows_`` and the view ``into`` of it.
        reading: The file.
        table: Its declaration; columns that the file does not have are left out.
        into: Name of the relation.
        judged: Keep beside each column what rules ask for: the text of values that are none of
            the declared type (``!<name>``), and of timestamps whether they say an offset
            (``@<name>``).
        as_written: Columns that stay text, as an entity id that is hashed.

    Returns:
        The declared columns that the file has.

    Raises:
        duckdb.Error: The file cannot be read at all.
    """
    columns = [column for column in table.columns if column.name in reading.raw]
    inner, outer, shown = [], [], []
    wrong: dict[str, str] = {}
    for column in columns:
        cell, name = _cell(column, reading), identifier(column.name)
        is_text = column.name in as_written
        inner.append(f"{cell.text if is_text else cell.value} AS {name}")
        outer.append(name)
        shown.append(name)
        if not judged or is_text:
            continue
        if reading.format == "csv" and column.type == "string":
            shown.append(f"NULL::VARCHAR AS {identifier(wrong_of(column))}")
            continue
        text = identifier(f"={column.name}")
        inner.append(
            f"CASE WHEN {reading.raw[column.name]} IS NOT NULL THEN {cell.text} END AS {text}"
        )
        wrong[column.name] = f"{name} IS NULL AND {text} IS NOT NULL"
        found = f"json_extract_string(wrong_, '$.{column.name}')"
        shown.append(f"{found} AS {identifier(wrong_of(column))}")
        if column.type == "timestamp":
            zoned = is_zoned(text) if cell.says_zone else "NULL::BOOLEAN"
            outer.append(f"{zoned} AS {identifier(zone_of(column))}")
            shown.append(identifier(zone_of(column)))
    if wrong:
        outer.append(f"{_all_wrong(wrong)} AS wrong_")
    rows = identifier(f"{into}_rows_")
    connection.execute(
        f"CREATE TABLE {rows} AS SELECT {', '.join(outer)}"
        f" FROM (SELECT {', '.join(inner)} FROM {reading.relation})"
    )
    # A table that is made at once has ascending row ids without gaps, so the number costs nothing.
    view = f"SELECT rowid + 1 AS row_, {', '.join(shown)} FROM {rows}"
    connection.execute(f"CREATE VIEW {identifier(into)} AS {view}")
    return columns


def _all_wrong(wrong: dict[str, str]) -> str:
    """Return SQL for one column of what is wrong in a row, by column, null for most rows.

    A column for each would have to be written for every row: a third of the time of reading.
    """
    pairs = ", ".join(
        f"{literal(name)}, CASE WHEN {condition} THEN {identifier(f'={name}')} END"
        for name, condition in wrong.items()
    )
    return f"CASE WHEN {' OR '.join(wrong.values())} THEN json_object({pairs}) END"


def drop(connection: Connection, into: str) -> None:
    """Remove what :func:`load` made."""
    connection.execute(f"DROP VIEW IF EXISTS {identifier(into)}")
    for name in (f"{into}_rows_", REJECTS, f"{REJECTS}_scans"):
        connection.execute(f"DROP TABLE IF EXISTS {identifier(name)}")


def load_typed(
    connection: Connection,
    path: Path,
    table: Table,
    into: str,
    *,
    as_written: Collection[str] = (),
) -> None:
    """Read an accepted delivery: ``row_`` and every declared column with its type.

    Names of the SQL types are those of :data:`steward.domain.column_rules.SQL_TYPES`; timestamps
    are UTC with milliseconds. :func:`drop` removes the relation.

    Args:
        connection: Where the relation is made.
        path: The file, packed or not; its folder must be writable.
        table: What it was validated against.
        into: Name of the relation.
        as_written: Columns that stay text.

    Raises:
        UnreadableFileError: It is no such file.
        duckdb.Error: It cannot be read.
    """
    plain = plain_file(path, table.format)
    try:
        load(connection, reading_of(connection, plain, table), table, into, as_written=as_written)
    finally:
        if plain != path:
            plain.unlink(missing_ok=True)
