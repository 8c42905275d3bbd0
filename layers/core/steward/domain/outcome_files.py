"""Files of outcomes, read row by row: JSON Lines or CSV, plain or gzip, never whole in memory."""

from __future__ import annotations

import csv
import gzip
import json
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from steward.domain.errors import RejectedError, UnreadableFileError
from steward.domain.names import PROJECT_PATTERN
from steward.domain.outcomes import FIELDS, refusal_of

MAX_ROWS = 1_000_000
MAX_FILE_BYTES = 1024**3
MAX_UNPACKED_BYTES = 2 * 1024**3
MAX_LINE_BYTES = 64 * 1024
_KEY = re.compile(rf"^outcomes/(?P<project>{PROJECT_PATTERN[1:-1]})/(?P<path>.*[^/])$")
_KINDS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".csv": "csv"}
_NUMBER = re.compile(r"^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$")
_ATTRIBUTE = "attributes."
_COLUMNS = frozenset(FIELDS) - {"attributes"}
_NO_NUMBER = frozenset({"nan", "inf", "+inf", "-inf", "infinity", "+infinity", "-infinity"})


@dataclass(frozen=True)
class Row:
    """One row of a file.

    Attributes:
        number: From 1, without a header and blank lines.
        line: Line of the file on which it begins, from 1.
        raw: As it stands in the file, for whoever looks for it.
        value: What :func:`steward.domain.outcomes.outcome_of` takes; None where ``problem`` is.
        problem: Why it cannot even be read.
    """

    number: int
    line: int
    raw: str
    value: Any = None
    problem: str | None = None

    def usable(self) -> None:
        """Check that it could be read.

        Raises:
            RejectedError: It could not.
        """
        if self.problem is not None:
            raise RejectedError(
                self.problem, field="$", value=self.raw[:100], allowed="a row of outcomes"
            )

    def refusal(self, error: RejectedError) -> dict[str, Any]:
        """Return where it stands in the file and why it was refused."""
        told = refusal_of(error, self.number)
        return {"row": told.pop("index"), "line": self.line, **told}


def outcomes_of_key(key: str) -> tuple[str, str] | None:
    """Return project and path of a key below ``outcomes/<project>/``; None for any other key."""
    match = _KEY.match(key)
    return (match["project"], match["path"]) if match else None


def kind_of(name: str) -> tuple[str, bool]:
    """Return ``jsonl`` or ``csv``, and whether the file is packed, by its name.

    Raises:
        UnreadableFileError: The name has another ending.
    """
    plain = name.lower()
    packed = plain.endswith(".gz")
    suffix = Path(plain.removesuffix(".gz")).suffix
    if suffix not in _KINDS:
        allowed = ", ".join(sorted(_KINDS)) + ", each also with .gz"
        raise UnreadableFileError(
            f"{name!r} is no file of outcomes", field="name", value=name, allowed=allowed
        )
    return _KINDS[suffix], packed


def rows_of(path: Path, kind: str, *, packed: bool) -> Iterator[Row]:
    """Yield the rows of a file.

    Raises:
        UnreadableFileError: It is not what its name says, unpacks to too much, has too many
            rows, or lacks columns.
    """
    with path.open("rb") as plain:
        stream = cast("BinaryIO", gzip.GzipFile(fileobj=plain)) if packed else plain
        lines = _lines(stream)
        number = 0
        try:
            for row in _csv_rows(lines) if kind == "csv" else _json_rows(lines):
                number += 1
                if number > MAX_ROWS:
                    raise UnreadableFileError(
                        f"more than {MAX_ROWS} rows", field="rows", value=f"{number} and more",
                        allowed=f"at most {MAX_ROWS} rows: split the file",
                    )  # fmt: skip
                yield row
        except (OSError, EOFError, zlib.error) as error:
            raise UnreadableFileError(
                f"the file cannot be unpacked: {error}", field="file", allowed="a whole gzip file"
            ) from None


def _lines(stream: BinaryIO) -> Iterator[tuple[int, bytes, bool]]:
    """Yield number, bytes and whether it is too long, of each line; of a long one the beginning."""
    number = unpacked = 0
    while line := stream.readline(MAX_LINE_BYTES):
        number += 1
        unpacked += len(line)
        too_long = False
        more = line
        while len(more) == MAX_LINE_BYTES and not more.endswith(b"\n"):
            too_long = True
            more = stream.readline(MAX_LINE_BYTES)
            unpacked += len(more)
            _within(unpacked)
        _within(unpacked)
        yield number, line, too_long


def _within(unpacked: int) -> None:
    if unpacked > MAX_UNPACKED_BYTES:
        raise UnreadableFileError(
            f"more than {MAX_UNPACKED_BYTES} bytes unpacked", field="file",
            allowed=f"at most {MAX_UNPACKED_BYTES} bytes: split the file",
        )  # fmt: skip


def _json_rows(lines: Iterable[tuple[int, bytes, bool]]) -> Iterator[Row]:
    number = 0
    for line, given, too_long in lines:
        content = given.removeprefix(b"\xef\xbb\xbf") if line == 1 else given
        if not content.strip():
            continue
        number += 1
        raw = content.decode(errors="replace").rstrip("\r\n")
        if too_long:
            yield Row(number, line, raw, problem=f"longer than {MAX_LINE_BYTES} bytes")
            continue
        try:
            yield Row(number, line, raw, json.loads(content))
        except (ValueError, RecursionError) as error:
            yield Row(number, line, raw, problem=f"no JSON: {error}")


def _csv_rows(lines: Iterable[tuple[int, bytes, bool]]) -> Iterator[Row]:
    reader = csv.reader(_texts(lines), strict=True)
    header = _header(reader)
    number, line = 0, reader.line_num + 1
    while True:
        begins = line
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            line = reader.line_num + 1
            number += 1
            yield Row(number, begins, "", problem=f"no CSV: {error}")
            continue
        line = reader.line_num + 1
        if not cells:
            continue
        number += 1
        raw = ",".join(cells).encode("utf-8", "replace").decode()
        if len(cells) != len(header):
            problem = f"{len(cells)} fields; the header has {len(header)}"
            yield Row(number, begins, raw, problem=problem)
        else:
            named = dict(zip(header, cells, strict=True))
            yield Row(number, begins, raw, _told(named))


def _told(named: dict[str, str]) -> dict[str, Any]:
    """Return a row of CSV as JSON has it; ``attributes.sex`` is the member of an object."""
    found: dict[str, Any] = {}
    for name, text in named.items():
        if text == "":
            continue
        if name.startswith(_ATTRIBUTE):
            found.setdefault("attributes", {})[name.removeprefix(_ATTRIBUTE)] = _scalar(text)
        else:
            found[name] = _scalar(text) if name == "outcome" else text
    return found


def _texts(lines: Iterable[tuple[int, bytes, bool]]) -> Iterator[str]:
    for line, content, too_long in lines:
        if too_long:
            raise UnreadableFileError(
                f"line {line} is longer than {MAX_LINE_BYTES} bytes", field=f"line {line}",
                allowed=f"at most {MAX_LINE_BYTES} bytes",
            )  # fmt: skip
        yield content.decode("utf-8-sig" if line == 1 else "utf-8", "surrogateescape")


def _header(reader: Iterator[list[str]]) -> list[str]:
    try:
        header = next((cells for cells in reader if cells), [])
    except csv.Error as error:
        raise UnreadableFileError(f"the header is no CSV: {error}", field="header") from None
    known = [name for name in header if name in _COLUMNS or name.startswith(_ATTRIBUTE)]
    ids = {"inference_id", "entity_id"} & set(known)
    complete = ids and {"outcome", "observed_at"} <= set(known)
    if len(set(header)) != len(header) or len(known) != len(header) or not complete:
        told = ",".join(header).encode("utf-8", "replace").decode()[:200]
        raise UnreadableFileError(
            f"the header {told!r} does not name the columns", field="header", value=told,
            allowed="inference_id or entity_id or both, outcome, observed_at, attributes.NAME, "
            "each once",
        )  # fmt: skip
    return header


def _scalar(text: str) -> Any:
    """Return what a cell means: a truth value or a number where it reads as one."""
    lowered = text.strip().lower()
    if lowered in ("true", "false"):
        return lowered == "true"
    if lowered in _NO_NUMBER:
        return float(lowered)
    if _NUMBER.match(text.strip()):
        return json.loads(text) if len(lowered) <= 400 else text
    return text
