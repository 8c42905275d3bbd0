"""What a delivered file is before its values are judged: bytes, header, fields of each row."""

# ruff: noqa: S608 - names and values go through identifier() and literal()

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from steward.domain import csv_files
from steward.domain.csv_files import RowFault, Scan
from steward.domain.delivery_files import (
    MAX_LOCATED_FAULTS,
    REJECTS,
    Reading,
    csv_reading,
    fits,
    reading_of,
)
from steward.domain.errors import UnreadableFileError
from steward.domain.findings import EXAMPLES, Example, Violation, shown
from steward.domain.tables import Table
from steward.domain.workspace import Connection, identifier, literal

Rows = NDArray[np.int64]
_NONE = np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class Structure:
    """What reading a file needs, and what is wrong with it as a table.

    Attributes:
        names: Columns as written.
        reading: How it is read; None where it is no table at all.
        faults: Records that are no rows.
        numbers: Rows of the faults, ascending; None where the parsers disagree on them.
        simple: Rows and lines go together.
    """

    path: Path
    format: str
    names: list[str]
    violations: list[Violation]
    reading: Reading | None = None
    faults: list[RowFault] = field(default_factory=list)
    numbers: Rows | None = None
    lines: int = 0
    simple: bool = True

    def number(self, position: int) -> int:
        """Return the file's row of a position among the sound rows."""
        assert self.numbers is not None
        shifts = self.numbers - np.arange(self.numbers.size)
        return position + int(np.searchsorted(shifts, position, side="right"))

    def located(self, found: list[Violation]) -> list[Violation]:
        """Turn positions among the sound rows into row numbers and lines of the file."""
        if self.numbers is None:
            return []
        rows = {self.number(e.row) for v in found for e in v.examples if e.row is not None}
        lines = self._lines_of(rows) if rows else {}
        return [
            violation.model_copy(
                update={"examples": [self._located(e, lines) for e in violation.examples]}
            )
            for violation in found
        ]

    def _lines_of(self, rows: set[int]) -> dict[int, int]:
        if self.format == "parquet":
            return {}
        if self.format == "jsonl":
            if self.simple:
                return {row: row for row in rows}
            return {row: line for row, line, _ in _json_lines(self.path) if row in rows}
        if self.simple:
            return {row: row + 1 for row in rows}
        return csv_files.lines_of(self.path, rows)

    def _located(self, example: Example, lines: dict[int, int]) -> Example:
        row = self.number(example.row) if example.row is not None else None
        first = self.number(example.first_row) if example.first_row is not None else None
        line = lines.get(row) if row is not None else None
        return example.model_copy(update={"row": row, "line": line, "first_row": first})


def structure_of(connection: Connection, path: Path, table: Table) -> Structure:
    """Return what a plain file is; its rows are not read yet, except for JSON Lines' faults."""
    if table.format == "csv":
        return _csv(path, table)
    if table.format == "jsonl":
        return _jsonl(connection, path, table)
    return _parquet(connection, path, table)


def with_rejects(
    connection: Connection, structure: Structure, reading: Reading, sound: int
) -> Structure:
    """Return the structure with the records that the engine rejected while it read a CSV file.

    Args:
        connection: Holds the engine's rejects.
        structure: As it was before.
        reading: What was read.
        sound: Rows that were read.
    """
    if reading.format == "jsonl":
        return replace(structure, simple=structure.lines == sound + len(structure.faults))
    if reading.format != "csv":
        return structure
    faults = _csv_faults(connection, structure.path, structure.names)
    return replace(
        structure,
        faults=faults,
        violations=[*structure.violations, *_fault_violations(faults)],
        numbers=_row_numbers(structure.path, faults, sound),
        simple=structure.lines == sound + 1,
    )


def _csv(path: Path, table: Table) -> Structure:
    seen = csv_files.scan(path)
    fatal = _bytes(seen)
    if fatal:
        return Structure(path, "csv", [], [fatal])
    header = csv_files.read_header(path)
    if header is None or not header.names:
        missing = _violation("header", "the file has no readable header line")
        return Structure(path, "csv", [], [missing])
    violations = _columns(header.names, table)
    if len(header.names) == 1 and ";" in header.names[0]:
        violations.append(_violation("format", "fields are separated by ';'; allowed: ','"))
    named = {column.name for column in table.columns}
    if len(set(header.names)) < len(header.names) or named.isdisjoint(header.names):
        return Structure(path, "csv", header.names, violations)
    reading = csv_reading(path, header)
    return Structure(path, "csv", header.names, violations, reading, lines=seen.lines)


def _parquet(connection: Connection, path: Path, table: Table) -> Structure:
    try:
        reading = reading_of(connection, path, table)
    except UnreadableFileError as error:
        return Structure(path, "parquet", [], [_violation("format", error.message)])
    names = list(reading.raw)
    violations = _columns(names, table)
    for column in table.columns:
        physical = reading.physical.get(column.name)
        if physical is not None and not fits(column, physical):
            said = f"{column.name} must be {column.type}; the file's column is {physical}"
            violations.append(_violation("type", said, column.name))
            # Said once for the column, not again for each of its rows.
            del reading.raw[column.name]
    return Structure(path, "parquet", names, violations, reading, numbers=_NONE)


def _jsonl(connection: Connection, path: Path, table: Table) -> Structure:
    seen = csv_files.scan(path)
    fatal = _bytes(seen)
    if fatal:
        return Structure(path, "jsonl", [], [fatal])
    faults: list[RowFault] = []
    readable = path
    names = keys_of(connection, path)
    if names is None:
        readable = path.with_name(f"{path.name}.sound")
        faults = _sift(path, readable)
        names = keys_of(connection, readable) or []
    violations = [] if not names and not faults else _columns(names, table)
    reading = reading_of(connection, readable, table)
    for name in [name for name in reading.raw if name not in names]:
        del reading.raw[name]
    return Structure(
        path, "jsonl", names, [*violations, *_fault_violations(faults)], reading, faults,
        numbers=np.array([fault.row for fault in faults], dtype=np.int64), lines=seen.lines,
    )  # fmt: skip


def keys_of(connection: Connection, path: Path) -> list[str] | None:
    """Return the keys of all objects in the order of their first use; None for a broken file."""
    relation = (
        f"read_ndjson_objects({literal(str(path))},"
        f" maximum_object_size = {csv_files.MAX_FIELD * 2})"
    )
    try:
        found = connection.execute(
            f"SELECT DISTINCT json_type(json), json_keys(json) FROM {relation}"
        ).fetchall()
    except (duckdb.InvalidInputException, duckdb.ConversionException):
        return None
    if any(kind != "OBJECT" for kind, _ in found):
        return None
    names: dict[str, None] = {}
    for _, keys in sorted(found, key=lambda row: (-len(row[1]), row[1])):
        if len(set(keys)) < len(keys):
            return None
        names.update(dict.fromkeys(keys))
    return list(names)


def _sift(path: Path, sound: Path) -> list[RowFault]:
    """Write the lines that are JSON objects, and return the others."""
    faults: list[RowFault] = []
    with sound.open("wb") as file:
        for row, line, content in _json_lines(path):
            said = _fault_of(content)
            if said is None:
                file.write(content + b"\n")
            elif len(faults) < MAX_LOCATED_FAULTS:
                value = content.decode("utf-8", "surrogateescape")
                faults.append(RowFault(row, line, said, None, value))
    return faults


def _fault_of(content: bytes) -> str | None:
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return "encoding"
    try:
        parsed = json.loads(text, object_pairs_hook=_pairs, parse_constant=_constant)
    except (ValueError, RecursionError):
        return "json"
    return None if isinstance(parsed, dict) else "json"


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is there twice")
    return found


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _json_lines(path: Path) -> Iterator[tuple[int, int, bytes]]:
    row = 0
    with path.open("rb") as file:
        for line, content in enumerate(file, start=1):
            stripped = content.strip()
            if stripped:
                row += 1
                yield row, line, stripped


def _bytes(seen: Scan) -> Violation | None:
    if seen.size == 0:
        return _violation("empty", "the file has 0 bytes")
    if seen.utf16:
        return _violation("encoding", "the file is UTF-16; allowed: UTF-8 with or without BOM")
    if seen.nul_line is not None:
        example = Example(row=None, line=seen.nul_line, column=None, value="\\0", rule="encoding")
        message = "the file holds NUL bytes, so it is no text file"
        return Violation(rule="encoding", count=1, message=message, examples=[example])
    return None


def _columns(names: list[str], table: Table) -> list[Violation]:
    declared = [column.name for column in table.columns]
    violations = [
        _violation("missing_column", f"column {name!r} is missing", name)
        for name in declared
        if name not in names
    ]
    for name in dict.fromkeys(names):
        if name not in declared:
            hint = f"column {shown(name)!r} is not declared; allowed: {', '.join(declared)}"
            violations.append(_violation("unexpected_column", hint, shown(name)))
        elif names.count(name) > 1:
            message = f"column {name!r} is there {names.count(name)} times"
            repeated = Violation(
                rule="duplicate_column", column=name, count=names.count(name), message=message
            )
            violations.append(repeated)
    return violations


def _csv_faults(connection: Connection, path: Path, columns: list[str]) -> list[RowFault]:
    counted = connection.execute(f"SELECT count(*) FROM {identifier(REJECTS)}").fetchone()
    if not counted or not counted[0]:
        return []
    found: list[RowFault] = []
    for fault in csv_files.faults(path, columns):
        found.append(fault)
        if len(found) == MAX_LOCATED_FAULTS:
            break
    if found:
        return found
    # Only the engine objects, for instance to a line above its bound.
    return [
        RowFault(0, 0, "format", column, str(message))
        for column, message in connection.execute(
            f"SELECT column_name, error_message FROM {REJECTS} LIMIT {EXAMPLES}"
        ).fetchall()
    ]


_FAULTS = {
    "field_count": "row with another number of fields than the header",
    "encoding": "text that is not UTF-8",
    "quoting": "a quote that is not closed, or text after a closing quote",
    "json": "line that is no JSON object, or has a key twice",
    "format": "row that is not readable",
}


def _fault_violations(found: list[RowFault]) -> list[Violation]:
    violations = []
    for rule, message in _FAULTS.items():
        broken = [fault for fault in found if fault.rule == rule]
        if broken:
            examples = [
                Example(
                    row=fault.row or None, line=fault.line or None, column=fault.column,
                    value=shown(fault.value), rule=rule,
                )
                for fault in broken[:EXAMPLES]
            ]  # fmt: skip
            violations.append(
                Violation(rule=rule, count=len(broken), message=message, examples=examples)
            )
    return violations


def _row_numbers(path: Path, misshapen: list[RowFault], sound: int) -> Rows | None:
    """Return the rows that are misshapen, ascending; None where the parsers disagree."""
    bad = np.array(sorted({fault.row for fault in misshapen}), dtype=np.int64)
    if bad.size and (bad[0] == 0 or csv_files.count_rows(path) != sound + bad.size):
        return None
    return bad


def _violation(rule: str, message: str, column: str | None = None) -> Violation:
    return Violation(rule=rule, column=column, count=1, message=message)
