"""The file of a first declaration: its columns and what they hold, or why it cannot be read."""

from __future__ import annotations

import codecs
import gzip
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from steward_cli.console import CommandError, Exit, rejected

if TYPE_CHECKING:
    from steward.domain.schema_suggestion import Suggestion

MOST_COLUMNS = 300
"""A declaration is stored as one item, and each column is one input that people have to know."""
MEMORY_MB = 2048
_CHUNK = 1024**2


def _check_width(file: Path) -> None:
    """Count the columns of a plain CSV file before anything else is: each costs memory."""
    from steward.domain import csv_files
    from steward.domain.schema_suggestion import format_of

    if format_of(file) != "csv" or file.suffix == ".gz":
        return
    header = csv_files.read_header(file)
    if header is not None and len(header.names) > MOST_COLUMNS:
        refuse_width(file.name, len(header.names))


def refuse_width(file: str, columns: int) -> NoReturn:
    """Say that a file has too many columns."""
    raise CommandError(
        f"{file} has {columns} columns", Exit.USAGE,
        f"allowed: at most {MOST_COLUMNS}; leave out those that nobody would look at",
    )  # fmt: skip


def names_in(file: Path) -> list[str]:
    """Return the names of a file's columns as they are written.

    Raises:
        CommandError: It cannot be read, or it is not UTF-8.
    """
    from steward.domain.errors import UnreadableFileError
    from steward.domain.schema_suggestion import columns_of, format_of
    from steward.domain.workspace import scratch

    try:
        _check_width(file)
        with scratch(MEMORY_MB) as limits:
            names = columns_of(file, limits)
    except UnreadableFileError as error:
        raise rejected(error, Exit.USAGE, str(file)) from None
    if format_of(file) == "csv":  # the other formats are UTF-8 by their readers
        _check_encoding(file, names)
    return names


def _check_encoding(file: Path, names: list[str]) -> None:
    if any("\0" in name for name in names):
        _refuse_encoding(file, "its columns have NUL bytes, as in UTF-16", "utf-16")
    for name in names:
        told = name.encode(errors="replace").decode()
        if told != name:
            _refuse_encoding(file, f"column {told}", "latin1")
    line = _first_of_another_encoding(file)
    if line is not None:
        _refuse_encoding(file, f"line {line}", "latin1")


def _first_of_another_encoding(file: Path) -> int | None:
    """Return the number of the first line with bytes that are no UTF-8, None where all are."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    lines = 1
    with gzip.open(file, "rb") if file.suffix == ".gz" else file.open("rb") as stream:
        while True:
            chunk = stream.read(_CHUNK)
            try:
                decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                return lines + error.object[: error.start].count(b"\n")
            if not chunk:
                return None
            lines += chunk.count(b"\n")


def _refuse_encoding(file: Path, why: str, encoding: str) -> NoReturn:
    convert = f"iconv -f {encoding} -t utf-8"
    if file.suffix == ".gz":
        command = f"gunzip -c {file} | {convert} | gzip > utf8-{file.name}"
    else:
        command = f"{convert} {file} > utf8-{file.name}"
    raise CommandError(f"{file} is not UTF-8: {why}", Exit.USAGE, f"convert it first: {command}")


def read_file(file: Path) -> Suggestion:
    """Return what a file holds.

    Raises:
        CommandError: It cannot be read.
    """
    import duckdb

    from steward.domain.errors import UnreadableFileError
    from steward.domain.schema_suggestion import suggest
    from steward.domain.workspace import scratch

    if file.stat().st_size == 0:
        raise CommandError(f"{file} is empty", Exit.USAGE, "allowed: a header and rows")
    try:
        _check_width(file)
        with scratch(MEMORY_MB) as limits:
            return suggest(file, limits)
    except duckdb.OutOfMemoryException:
        raise CommandError(
            f"{file} takes more than {MEMORY_MB} MB to be read whole", Exit.USAGE,
            "allowed: a sample of its rows, with fewer columns",
        ) from None  # fmt: skip
    except UnreadableFileError as error:
        raise rejected(error, Exit.USAGE, str(file)) from None
