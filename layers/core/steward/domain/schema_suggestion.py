"""A table's declaration proposed from one file: types, ranges, levels, keys.

A proposal errs on the wide side: what one file shows is where people begin, not what every later
file must be. It is made of the same readers and types that judge deliveries, so the file that it
was made from keeps it.
"""

# ruff: noqa: S608 - names and values go through identifier() and literal()

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from steward.domain import csv_files
from steward.domain.column_types import typed
from steward.domain.declaration import ColumnType
from steward.domain.delivery_files import Reading, csv_reading, fits, is_packed, plain_file
from steward.domain.delivery_files import load as load_columns
from steward.domain.delivery_structure import keys_of
from steward.domain.errors import UnreadableFileError
from steward.domain.profiles import ColumnProfile, TableProfile, profile
from steward.domain.tables import Column, Table
from steward.domain.workspace import Connection, Limits, identifier, literal, workspace

RELATION = "profiled"
MOST_LEVELS = 20
_LEAST_ROWS = 50
"""Rows below which levels prove nothing about what is allowed."""
_NAME = re.compile(r"^[A-Za-z_][A-Za-z0-9_]{0,63}\Z")
_ORDER: tuple[ColumnType, ...] = ("integer", "float", "boolean", "timestamp")


@dataclass(frozen=True)
class Suggestion:
    """What a file shows, and a declaration that it keeps.

    Attributes:
        table: The declaration.
        profile: What its columns hold.
        entity_id: A column that may name whom a row is about.
        label: A column with two values that may be what is predicted.
        positive: The value of the label that counts as positive.
        unnamed: Columns whose names cannot be declared.
    """

    table: Table
    profile: TableProfile
    entity_id: str | None = None
    label: str | None = None
    positive: str | int | bool | None = None
    unnamed: list[str] = field(default_factory=list)


def format_of(path: Path) -> str:
    """Return the format of a file by its first bytes, else by its name.

    Raises:
        UnreadableFileError: Neither says one.
    """
    with path.open("rb") as file:
        if file.read(4) == b"PAR1":
            return "parquet"
    names = [suffix.lower() for suffix in path.suffixes]
    for suffix, format_ in ((".csv", "csv"), (".jsonl", "jsonl"), (".ndjson", "jsonl")):
        if suffix in names:
            return format_
    raise UnreadableFileError(
        f"{path.name} is of no known format", field="format",
        allowed=".csv, .jsonl or .ndjson, each with .gz too, or Parquet",
    )  # fmt: skip


def suggest(
    path: Path, limits: Limits, told: Callable[[str, Connection | None], None] | None = None
) -> Suggestion:
    """Profile a file and propose its declaration.

    Args:
        path: The file; it is left alone, temporary files go to the limits' folder.
        limits: Of the engine.
        told: Is told of each stage, with the connection that then works.

    Raises:
        UnreadableFileError: The file is none of the known formats, or has no usable column.
    """
    say = told or (lambda _stage, _connection: None)
    format_ = format_of(path)
    with workspace(limits) as connection:
        say("reading", None)
        plain = _plain(path, format_, limits)
        reading = _reading(connection, plain, format_)
        unnamed = [name for name in reading.raw if not _NAME.match(name)]
        names = [name for name in reading.raw if name not in unnamed]
        if len(names) < 2:
            header = ", ".join(reading.raw)[:120]
            raise UnreadableFileError(
                f"{path.name} has {len(names)} columns with plain names", field="columns",
                value=header, allowed="two or more, of letters, digits and underscores; "
                "in CSV a comma between them, no semicolon or tab",
            )  # fmt: skip
        say("finding types", connection)
        types = _types(connection, reading, names)
        columns = [Column(name=name, type=type_, nullable=True) for name, type_ in types.items()]
        bare = Table.model_validate(
            {"format": format_, "columns": [c.model_dump() for c in columns]}
        )
        say("loading", connection)
        load_columns(connection, reading, bare, RELATION)
        say("counting values", connection)
        found = profile(connection, RELATION, columns)
        unique = {column.name for column in found.columns if _is_unique(connection, column)}
        declared = [
            _declared(connection, column, column.name in unique) for column in found.columns
        ]
    table = Table.model_validate(
        {"format": format_, "columns": declared, "row_count": {"min": max(1, found.rows // 10)}}
    )
    entity = next((c.name for c in table.columns if c.unique and not c.nullable), None)
    label, positive = _label(found, entity)
    return Suggestion(table, found, entity, label, positive, unnamed)


def columns_of(path: Path, limits: Limits) -> list[str]:
    """Return the names of a file's columns as they are written, whether or not they are plain.

    Raises:
        UnreadableFileError: The file is none of the known formats, or its names cannot be read.
    """
    format_ = format_of(path)
    with workspace(limits) as connection:
        return list(_reading(connection, _plain(path, format_, limits), format_).raw)


def _plain(path: Path, format_: str, limits: Limits) -> Path:
    """Return a plain file; what must be made is made in the limits' folder."""
    packed = format_ != "parquet" and is_packed(path)
    mixed = format_ == "csv" and not packed and csv_files.scan(path).mixed_line_ends
    if not packed and not mixed:
        return path
    link = limits.folder / path.name
    link.symlink_to(path.resolve())
    return plain_file(link, format_)


def _reading(connection: Connection, path: Path, format_: str) -> Reading:
    if format_ == "csv":
        header = csv_files.read_header(path)
        if header is None or not header.names:
            raise UnreadableFileError("the file has no readable header line", field="header")
        repeated = sorted({name for name in header.names if header.names.count(name) > 1})
        if repeated:
            raise UnreadableFileError(
                f"columns are there twice: {', '.join(repeated)}", field="header"
            )
        return csv_reading(path, header)
    if format_ == "parquet":
        relation = f"read_parquet({literal(str(path))})"
        described = connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()
        physical = {str(row[0]): str(row[1]) for row in described}
        raw = {name: identifier(name) for name in physical}
        return Reading(path, relation, raw, "parquet", physical)
    names = keys_of(connection, path)
    if names is None:
        raise UnreadableFileError(
            "a line is no JSON object, or has a key twice", field="format",
            allowed="one JSON object a line",
        )  # fmt: skip
    columns = ", ".join(f"{literal(name)}: 'JSON'" for name in names)
    relation = (
        f"read_json({literal(str(path))}, format = 'newline_delimited',"
        f" maximum_object_size = {csv_files.MAX_FIELD * 2}, columns = {{{columns}}})"
    )
    return Reading(path, relation, {name: identifier(name) for name in names}, "jsonl")


def _types(connection: Connection, reading: Reading, names: list[str]) -> dict[str, ColumnType]:
    """Return the narrowest type of each column that all of its values have, in one pass."""
    if reading.format == "parquet":
        return {name: _type_of_parquet(reading.physical[name]) for name in names}
    pieces = [piece for name in names for piece in _counts(reading, name)]
    found = connection.execute(f"SELECT {', '.join(pieces)} FROM {reading.relation}").fetchone()
    assert found is not None
    width = len(pieces) // len(names)
    types: dict[str, ColumnType] = {}
    for place, name in enumerate(names):
        count, leading_zeros, *matching = found[place * width : (place + 1) * width]
        fitting = [t for t, rows in zip(_ORDER, matching, strict=True) if rows == count]
        # Digits with leading zeros are names, not amounts.
        types[name] = fitting[0] if fitting and count and not leading_zeros else "string"
    return types


def _counts(reading: Reading, name: str) -> list[str]:
    raw = reading.raw[name]
    text, bare = raw, "true"
    if reading.format == "jsonl":
        quoted = f"starts_with({raw}::VARCHAR, '\"')"
        text = f"CASE WHEN {quoted} THEN {raw}->>'$' ELSE {raw}::VARCHAR END"
        bare = f"NOT {quoted}"
    pieces = [
        f"count({raw})",
        f"count(*) FILTER (WHERE regexp_full_match({text}, '[+-]?0[0-9]+'))",
    ]
    for type_ in _ORDER:
        value = typed(Column(name="value", type=type_), f"({text})")
        condition = bare
        if type_ == "boolean":
            condition = f"lower({text}) IN ('true', 'false') AND {bare}"
        elif type_ == "timestamp":
            condition = "true"
        pieces.append(f"count({value}) FILTER (WHERE {condition})")
    return pieces


def _type_of_parquet(physical: str) -> ColumnType:
    if physical.startswith("VARCHAR"):
        return "string"
    if physical.startswith(("FLOAT", "DOUBLE", "DECIMAL")):
        return "float"
    kinds: tuple[ColumnType, ...] = ("boolean", "integer", "timestamp", "string")
    fitting = (kind for kind in kinds if fits(Column(name="value", type=kind), physical))
    return next(fitting, "string")


def _is_unique(connection: Connection, column: ColumnProfile) -> bool:
    """Return whether no value is there twice; counted only where the estimate allows it."""
    if column.type not in ("string", "integer") or column.count < 2:
        return False
    if column.distinct < 0.6 * column.count:
        return False
    found = connection.execute(
        f"SELECT count(DISTINCT {identifier(column.name)}) FROM {RELATION}"
    ).fetchone()
    return found is not None and int(found[0]) == column.count


def _declared(connection: Connection, column: ColumnProfile, unique: bool) -> dict[str, Any]:
    declared: dict[str, Any] = {"name": column.name, "type": column.type}
    rows = column.count + column.nulls
    if column.nulls or not rows:
        declared["nullable"] = True
        if column.count:
            declared["max_null_share"] = min(1.0, math.ceil(150 * column.nulls / rows) / 100)
    if unique:
        declared["unique"] = True
    if column.type == "string" and unique:
        pattern = _pattern(connection, column)
        if pattern is not None:
            declared["pattern"] = pattern
    few = column.levels and not column.other and len(column.levels) <= MOST_LEVELS
    if few and column.type == "string" and column.count >= _LEAST_ROWS and not unique:
        declared["allowed"] = sorted(column.levels)
    if column.type in ("integer", "float") and column.count and not unique:
        low, high = _bounds(float(column.min or 0), float(column.max or 0))
        declared |= {"min": low, "max": high}
    return declared


def _bounds(low: float, high: float) -> tuple[float, float]:
    """Return the range with half its width on either side, rounded outwards to two digits."""
    reach = (high - low) / 2 or abs(high) / 2 or 1.0
    below, above = low - reach, high + reach
    if low >= 0:
        below = max(0.0, below)
    if high <= 0:
        above = min(0.0, above)
    return _rounded(below, math.floor), _rounded(above, math.ceil)


def _rounded(value: float, towards: Callable[[float], int]) -> float:
    if value == 0:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(abs(value))) - 1)
    return float(f"{towards(value / unit) * unit:.6g}")


def _pattern(connection: Connection, column: ColumnProfile) -> str | None:
    """Return a pattern for names of letters and digits, such as ``p[0-9]{1,7}``."""
    name = identifier(column.name)
    found = connection.execute(
        f"SELECT min(regexp_extract({name}, '^([A-Za-z_-]*)[0-9]+$', 1)),"
        f" max(regexp_extract({name}, '^([A-Za-z_-]*)[0-9]+$', 1)),"
        f" bool_and(regexp_full_match({name}, '[A-Za-z_-]*[0-9]+')),"
        f" max(length({name})) FROM {RELATION} WHERE {name} IS NOT NULL"
    ).fetchone()
    if found is None or not found[2] or found[0] != found[1]:
        return None
    prefix, digits = str(found[0]), int(found[3]) - len(str(found[0]))
    return f"{prefix}[0-9]{{1,{digits + 2}}}"


def _label(found: TableProfile, entity: str | None) -> tuple[str | None, str | int | bool | None]:
    """Return the last column of two values, and which of them is the likelier positive one."""
    for column in reversed(found.columns):
        if column.name == entity or column.nulls or column.other or len(column.levels) != 2:
            continue
        if column.type == "boolean":
            return column.name, True
        if column.type == "integer":
            return column.name, max(int(level) for level in column.levels)
        if column.type == "string":
            rarer = min(column.levels, key=lambda level: (column.levels[level], level))
            return column.name, rarer
    return None, None
