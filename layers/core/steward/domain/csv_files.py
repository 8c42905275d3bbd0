"""The structure of a CSV file: what can be said before, or instead of, parsing its values.

Rows are numbered from 1, without the header and without blank lines. Lines are those of the
file, from 1; a row that holds a quoted newline spans several, and its first one is given.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

_BLOCK = 1 << 24
MAX_FIELD = 2_000_000
"""Characters of the longest field that is read, DuckDB's own bound on a line."""


@dataclass(frozen=True)
class Scan:
    """What a pass over the bytes shows.

    Attributes:
        size: Bytes.
        lines: Lines, the last one counted whether or not it is ended.
        mixed_line_ends: Both CRLF and lone LF end lines.
        utf16: The file begins with a UTF-16 byte order mark.
        nul_line: Line of the first NUL byte, None where there is none.
    """

    size: int
    lines: int
    mixed_line_ends: bool
    utf16: bool
    nul_line: int | None


@dataclass(frozen=True)
class RowFault:
    """A record that is no row of the table."""

    row: int
    line: int
    rule: str
    column: str | None
    value: str | None


@dataclass(frozen=True)
class Header:
    """The first record of a file.

    Attributes:
        names: Column names as written.
        lines: Lines up to and with the header, to be skipped before the rows.
    """

    names: list[str]
    lines: int


def scan(path: Path) -> Scan:
    """Read the bytes once, in blocks."""
    size = feeds = returns = pairs = 0
    nul_line: int | None = None
    previous = start = b""
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            start = start or block[:3]
            if nul_line is None and (at := block.find(b"\0")) >= 0:
                nul_line = feeds + block.count(b"\n", 0, at) + 1
            size += len(block)
            feeds += block.count(b"\n")
            returns += block.count(b"\r")
            pairs += block.count(b"\r\n") + (previous == b"\r" and block[:1] == b"\n")
            previous = block[-1:]
    ends = feeds + returns - pairs
    return Scan(
        size=size,
        lines=ends + (1 if size and previous not in (b"\n", b"\r") else 0),
        mixed_line_ends=0 < pairs < feeds,
        utf16=start[:2] in (b"\xff\xfe", b"\xfe\xff"),
        nul_line=nul_line,
    )


def normalise_line_ends(source: Path, target: Path) -> None:
    """Write ``source`` with LF for every CRLF: the parser refuses files that mix them."""
    with source.open("rb") as read, target.open("wb") as write:
        held = b""
        while block := read.read(_BLOCK):
            block = held + block
            held = b"\r" if block.endswith(b"\r") else b""
            body = block[: len(block) - len(held)]
            write.write(body.replace(b"\r\n", b"\n"))
        write.write(held)


def read_header(path: Path) -> Header | None:
    """Return the header; None where the file has none but blank lines."""
    with _text(path) as file:
        reader = csv.reader(file)
        for record in _records(reader):
            if isinstance(record, csv.Error):
                return Header([], reader.line_num)
            if record:
                return Header(record, reader.line_num)
    return None


def faults(path: Path, columns: list[str]) -> Iterator[RowFault]:
    """Yield the records that have another number of fields, are not UTF-8 or misquoted.

    A pass in Python, a few seconds for a million rows: only for files that are known to have
    such records.
    """
    for row, line, record in _rows(path):
        if isinstance(record, csv.Error):
            yield RowFault(row, line, "quoting", None, str(record))
            continue
        if len(record) != len(columns):
            text = ",".join(record)
            yield RowFault(row, line, "field_count", None, text)
            continue
        for name, value in zip(columns, record, strict=True):
            if any("\udc80" <= character <= "\udcff" for character in value):
                yield RowFault(row, line, "encoding", name, value)
                break


def lines_of(path: Path, rows: Iterable[int]) -> dict[int, int]:
    """Return the line on which each of these rows begins."""
    wanted = set(rows)
    found: dict[int, int] = {}
    for row, line, _ in _rows(path):
        if row in wanted:
            found[row] = line
            if len(found) == len(wanted):
                break
    return found


def count_rows(path: Path) -> int:
    """Return how many rows the file has, sound or not."""
    return sum(1 for _ in _rows(path))


def _rows(path: Path) -> Iterator[tuple[int, int, list[str] | csv.Error]]:
    with _text(path) as file:
        reader = csv.reader(file, strict=True)
        number, header_seen, line = 0, False, 1
        for record in _records(reader):
            begins, line = line, reader.line_num + 1
            if not isinstance(record, csv.Error) and not record:
                continue
            if not header_seen:
                header_seen = True
                continue
            number += 1
            yield number, begins, record


def _records(reader: Iterator[list[str]]) -> Iterator[list[str] | csv.Error]:
    """Yield records and, in the place of an unreadable one, its error."""
    csv.field_size_limit(MAX_FIELD)
    while True:
        try:
            yield next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield error


def _text(path: Path) -> TextIO:
    return path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")
