"""Rules of a delivery, rendered to SQL and counted by DuckDB; every broken rule is reported.

Values are compared as they are written: no trimming, no guessing. An empty field is null,
quoted or not. Integers are digits with an optional sign, floats decimal numbers with an optional
exponent (never NaN or infinity), booleans true, false, 1 or 0 in any case.
"""

# ruff: noqa: S608 - names and values go through identifier() and literal()

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from steward.domain import csv_files
from steward.domain.column_rules import broken_rules, check_patterns
from steward.domain.csv_files import RowFault, Scan
from steward.domain.findings import EXAMPLES, Example, Violation, shown
from steward.domain.tables import Table
from steward.domain.workspace import Connection, Limits, identifier, literal, workspace

TABLE = "delivery"
REJECTS = "rejected"
MAX_LOCATED_FAULTS = 100_000
Rows = NDArray[np.int64]


class FileReport(BaseModel):
    """What came of one delivery."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    rows: int
    size: int
    columns: list[str]
    violations: list[Violation]

    @property
    def accepted(self) -> bool:
        """Whether every rule was kept."""
        return not self.violations


def validate_file(path: Path, declared: Table, limits: Limits) -> FileReport:
    """Check a CSV file against the declaration of its table.

    Structure first (bytes, header, fields per row), then every rule of every column that is
    there. Rows with a wrong structure are left out of the column rules; where the parsers do not
    agree on which rows those are, the column rules are not judged.

    Raises:
        InvalidProjectError: A declared pattern is none that DuckDB (RE2) can read.
    """
    seen = csv_files.scan(path)
    fatal = _bytes(seen)
    if fatal:
        return FileReport(rows=0, size=seen.size, columns=[], violations=[fatal])
    header = csv_files.read_header(path)
    if header is None or not header.names:
        missing = _violation("header", 1, "the file has no readable header line")
        return FileReport(rows=0, size=seen.size, columns=[], violations=[missing])
    violations = _header(header.names, declared)
    if len(set(header.names)) < len(header.names):
        return FileReport(rows=0, size=seen.size, columns=header.names, violations=violations)
    with workspace(limits) as connection:
        check_patterns(connection, declared)
        readable = _readable(path, seen, limits)
        try:
            load(connection, readable, header)
        except duckdb.Error as error:
            broken = _violation("format", 1, f"not readable as CSV: {_first_line(error)}")
            return FileReport(
                rows=0, size=seen.size, columns=header.names, violations=[*violations, broken]
            )
        rows = _count(connection, TABLE)
        misshapen = _faults(connection, readable, header.names)
        if rows == 0 and not misshapen:
            empty = _violation("rows", 1, "the file has a header but no rows")
            violations.append(empty)
        violations += _fault_violations(misshapen)
        numbers = _row_numbers(readable, misshapen, rows)
        if numbers is not None:
            found = broken_rules(connection, TABLE, declared, present=set(header.names))
            violations += _located(found, numbers, readable, simple=seen.lines == rows + 1)
    return FileReport(
        rows=rows + len(misshapen), size=seen.size, columns=header.names, violations=violations
    )


def load(connection: Connection, path: Path, header: csv_files.Header) -> None:
    """Read a file into :data:`TABLE`: ``row_`` (1, 2, ...) and each column as text.

    Raises:
        duckdb.Error: The file cannot be read as comma-separated values at all.
    """
    columns = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in header.names)
    connection.execute(
        f"""CREATE TABLE {TABLE} AS
            SELECT row_number() OVER () AS row_, *
            FROM read_csv({literal(str(path))}, auto_detect = false, delim = ',', quote = '"',
                          escape = '"', header = false, skip = {header.lines},
                          columns = {{{columns}}}, store_rejects = true,
                          rejects_table = '{REJECTS}', rejects_scan = '{REJECTS}_scans',
                          rejects_limit = {MAX_LOCATED_FAULTS})"""
    )


def _bytes(seen: Scan) -> Violation | None:
    if seen.size == 0:
        return _violation("empty", 1, "the file has 0 bytes")
    if seen.utf16:
        return _violation("encoding", 1, "the file is UTF-16; allowed: UTF-8 with or without BOM")
    if seen.nul_line is not None:
        example = Example(row=None, line=seen.nul_line, column=None, value="\\0", rule="encoding")
        message = "the file holds NUL bytes, so it is no text file"
        return Violation(rule="encoding", count=1, message=message, examples=[example])
    return None


def _header(names: list[str], table: Table) -> list[Violation]:
    declared = [column.name for column in table.columns]
    violations = [
        _violation("missing_column", 1, f"column {name!r} is missing", column=name)
        for name in declared
        if name not in names
    ]
    for name in dict.fromkeys(names):
        if name not in declared:
            hint = f"column {shown(name)!r} is not declared; allowed: {', '.join(declared)}"
            violations.append(_violation("unexpected_column", 1, hint, column=shown(name)))
        elif names.count(name) > 1:
            message = f"column {name!r} is there {names.count(name)} times"
            violations.append(_violation("duplicate_column", names.count(name), message, name))
    if len(names) == 1 and ";" in names[0]:
        violations.append(_violation("format", 1, "fields are separated by ';'; allowed: ','"))
    return violations


def _readable(path: Path, seen: Scan, limits: Limits) -> Path:
    if not seen.mixed_line_ends:
        return path
    normal = limits.folder / "normal.csv"
    csv_files.normalise_line_ends(path, normal)
    return normal


def _faults(connection: Connection, path: Path, columns: list[str]) -> list[RowFault]:
    if _count(connection, REJECTS) == 0:
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
    "format": "row that is not readable",
}


def _fault_violations(found: list[RowFault]) -> list[Violation]:
    violations = []
    for rule, message in _FAULTS.items():
        broken = [fault for fault in found if fault.rule == rule]
        if broken:
            examples = [
                Example(
                    row=fault.row or None,
                    line=fault.line or None,
                    column=fault.column,
                    value=shown(fault.value),
                    rule=rule,
                )
                for fault in broken[:EXAMPLES]
            ]
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


def _located(
    found: list[Violation],
    misshapen: Rows,
    path: Path,
    *,
    simple: bool,
) -> list[Violation]:
    """Turn positions among the sound rows into row numbers and lines of the file."""
    shifts = misshapen - np.arange(misshapen.size)

    def number(position: int) -> int:
        return position + int(np.searchsorted(shifts, position, side="right"))

    rows = {number(e.row) for v in found for e in v.examples if e.row is not None}
    lines = {row: row + 1 for row in rows}
    if not simple and rows:
        lines = csv_files.lines_of(path, rows)
    located = []
    for violation in found:
        examples = []
        for example in violation.examples:
            row = number(example.row) if example.row is not None else None
            first = number(example.first_row) if example.first_row is not None else None
            line = lines.get(row) if row is not None else None
            examples.append(
                example.model_copy(update={"row": row, "line": line, "first_row": first})
            )
        located.append(violation.model_copy(update={"examples": examples}))
    return located


def _violation(rule: str, count: int, message: str, column: str | None = None) -> Violation:
    return Violation(rule=rule, column=column, count=count, message=message)


def _count(connection: Connection, table: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM {identifier(table)}").fetchone()
    return int(row[0]) if row else 0


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:300]
