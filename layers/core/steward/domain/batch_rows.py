"""The rows of a batch: read from files, judged by the rules of requests, written for the job."""

# ruff: noqa: S608 - names go through identifier()

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TextIO, cast

from steward.domain.batch_runs import MOST_BYTES
from steward.domain.errors import BatchInputRefusedError
from steward.domain.request_rules import Feature, InvalidRowError, Value, shown

if TYPE_CHECKING:
    from steward.domain.project import Project

LONGEST_ROW = 1024**2
"""Bytes of a row for the job, whose payload is at most 1 MB; characters of a row of a file."""

_LONGEST_ID = 500
_ENGINE_MB = 1000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNICODE = "text in Unicode, no surrogate alone"


def request_features(project: Project) -> tuple[Feature, ...]:
    """Return what a request must hold, in the model's order: a time is text, ISO 8601."""
    return tuple(
        Feature(
            column.name, "string" if column.type == "timestamp" else column.type,
            column.nullable, column.min, column.max,
            None if column.allowed is None else tuple(column.allowed), column.pattern,
        )
        for column in project.model_features
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class GoodRow:
    """A row that is scored: the id, then the features, as a line of CSV without its end."""

    entity: str
    line: str


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A row that gets no score, and why; rows of a file count from 1, its header does not."""

    file: str
    row: int
    entity: str
    field: str | None
    value: object
    allowed: str

    def line(self) -> str:
        """Return it as a line of ``refused.jsonl``."""
        return json.dumps({**asdict(self), "value": shown(self.value)}) + "\n"

    def told(self) -> str:
        """Say where it broke which rule; its value is a person's and stays in the work folder."""
        return f"{self.file} row {self.row} {self.field}: allowed {self.allowed}"


def judge_rows(
    file: str, read: Iterable[Mapping[str, Any]], entity: str, features: tuple[Feature, ...],
    known: set[str], *, text: bool,
) -> Iterator[GoodRow | RefusedRow]:  # fmt: skip
    """Yield the rows of a file, each judged.

    Args:
        file: Name of the file, for people.
        read: The rows by column.
        entity: Column of the id.
        features: Rules of the others; further columns are left out.
        known: Ids that are scored, of all files together: none may be there twice. Added to.
        text: Whether values are cells of CSV, in which an empty one is null.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="")
    for number, given in enumerate(read, start=1):
        name = str(given.get(entity) if given.get(entity) is not None else "")
        wrong = _wrong_id(name, known)
        if wrong:
            yield RefusedRow(file, number, name[:100], entity, name, wrong)
            continue
        try:
            cells = [_cell(_checked(feature, given, number, text)) for feature in features]
        except InvalidRowError as error:
            yield RefusedRow(file, number, name, error.field, error.value, error.allowed)
            continue
        out.seek(0)
        out.truncate()
        writer.writerow([name, *cells])
        line = out.getvalue()
        broken = _unfit(line, features, cells)
        if broken is not None:
            field, allowed = broken
            yield RefusedRow(file, number, name, field, given[field], allowed)
            continue
        known.add(name)
        yield GoodRow(name, line)


def _unfit(line: str, features: tuple[Feature, ...], cells: list[str]) -> tuple[str, str] | None:
    """Return which cell the job cannot take, and what it takes; None where it takes the line."""
    whole = _is_unicode(line)
    if whole and len(line.encode()) <= LONGEST_ROW and len(line.splitlines()) == 1:
        return None
    named = [(feature.name, cell) for feature, cell in zip(features, cells, strict=True)]
    if not whole:
        return next(name for name, cell in named if not _is_unicode(cell)), _UNICODE
    broken = next((name for name, cell in named if _breaks(cell)), None)
    if broken is not None:
        return broken, "text on one line"  # the job cuts files at every line end
    longest, _ = max(named, key=lambda pair: len(pair[1]))
    return longest, f"at most {LONGEST_ROW} bytes in all features together"


def _breaks(text: str) -> bool:
    return len(f"{text}.".splitlines()) > 1


def _is_unicode(text: str) -> bool:
    """Return whether a text has no half of a surrogate pair, which JSON can spell alone."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _wrong_id(name: str, known: set[str]) -> str:
    if not name:
        return "an id"
    if len(name) > _LONGEST_ID or _breaks(name):
        return f"an id on one line, of at most {_LONGEST_ID} characters"
    if not _is_unicode(name):
        return _UNICODE
    return "an id that is there once" if name in known else ""


def _checked(feature: Feature, given: Mapping[str, Any], row: int, text: bool) -> Value:
    value = given.get(feature.name)
    if not text:
        return feature.check(plain(value), row)
    return feature.parse("" if value is None else str(value), row)


def plain(value: Any) -> Any:
    """Return a value of Parquet as JSON has it: a decimal is a number, a time is text."""
    if isinstance(value, Decimal):
        return float(value)
    return value.isoformat() if hasattr(value, "isoformat") else value


def _cell(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, float) else str(value)


class Unpacked:
    """How many bytes the files of a batch hold as text, all together.

    A small gzip or Parquet file may hold any amount; the limit is that of files as they are.
    """

    def __init__(self, most: int = MOST_BYTES) -> None:
        self._most = most
        self._used = 0

    def take(self, count: int, file: str) -> None:
        """Count bytes of a file.

        Raises:
            BatchInputRefusedError: They are too many, together with those before.
        """
        self._used += count
        if self._used > self._most:
            raise BatchInputRefusedError(
                f"{file}: unpacked, the input has more than {self._most} bytes",
                field="batch.input", value=file,
                allowed=f"at most {self._most} bytes together, unpacked; score it in parts",
            )  # fmt: skip


class _Counted(io.RawIOBase):
    """What is unpacked of a file, counted before anybody gets it."""

    def __init__(self, stream: BinaryIO, unpacked: Unpacked, file: str) -> None:
        super().__init__()
        self._stream, self._unpacked, self._file = stream, unpacked, file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        chunk = self._stream.read(len(buffer))
        self._unpacked.take(len(chunk), self._file)
        buffer[: len(chunk)] = chunk
        return len(chunk)

    def close(self) -> None:
        self._stream.close()
        super().close()


def read_rows(
    path: Path, format_: str, needed: list[str], unpacked: Unpacked
) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of a file by column.

    Args:
        path: A file whose name ends in ``.gz`` is unpacked, but for Parquet.
        format_: ``csv``, ``jsonl`` or ``parquet``.
        needed: Columns that must be there; of Parquet these alone are read, or all where none is.
        unpacked: Counts what the files of the batch hold.

    Raises:
        BatchInputRefusedError: It is no such file, a column is missing, or it holds too much.
    """
    try:
        if format_ == "parquet":
            yield from _parquet(path, needed, unpacked)
            return
        with _text(path, unpacked) as stream:
            yield from _csv(path, stream, needed) if format_ == "csv" else _jsonl(path, stream)
    except (UnicodeDecodeError, OSError, EOFError, zlib.error, csv.Error) as error:
        raise _unreadable(path, f"no {format_} in UTF-8: {error}") from None


def _text(path: Path, unpacked: Unpacked) -> TextIO:
    packed = path.name.endswith(".gz")
    stream = cast("BinaryIO", gzip.GzipFile(path)) if packed else path.open("rb")
    counted = io.BufferedReader(_Counted(stream, unpacked, path.name), 1 << 16)
    return io.TextIOWrapper(counted, encoding="utf-8-sig", newline="")


class _Lines:
    """The lines of a file; memory holds no more of one than a row may have.

    Attributes:
        number: Lines that were read.
    """

    def __init__(self, path: Path, stream: TextIO) -> None:
        self.number = 0
        self._path, self._stream, self._room = path, stream, LONGEST_ROW

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._stream.readline(self._room + 1)
        if not line:
            raise StopIteration
        self.number += 1
        self._room -= len(line)
        if self._room < 0:
            raise _unreadable(
                self._path, f"the row on line {self.number} has more than {LONGEST_ROW} characters"
            )
        return line

    def end_row(self) -> None:
        """Begin another row; one of CSV may have several lines."""
        self._room = LONGEST_ROW


def _csv(path: Path, stream: TextIO, needed: list[str]) -> Iterator[Mapping[str, Any]]:
    lines = _Lines(path, stream)
    reader = csv.DictReader(lines, strict=True)
    _require(path, list(reader.fieldnames or ()), needed)
    lines.end_row()
    for number, cells in enumerate(reader, start=1):
        lines.end_row()
        if None in cells or None in cells.values():
            raise _unreadable(path, f"row {number} has not as many cells as the header")
        yield cells


def _jsonl(path: Path, stream: TextIO) -> Iterator[Mapping[str, Any]]:
    lines = _Lines(path, stream)
    for number, line in enumerate(lines, start=1):
        lines.end_row()
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise _unreadable(path, f"line {number} is no JSON: {error}") from None
        if not isinstance(found, dict):
            raise _unreadable(path, f"line {number} is no JSON object")
        yield found


def _parquet(path: Path, needed: list[str], unpacked: Unpacked) -> Iterator[Mapping[str, Any]]:
    import duckdb  # large, and few inputs need it

    from steward.domain.workspace import Limits, identifier, workspace

    with workspace(Limits(path.parent, _ENGINE_MB), "parquet") as connection:
        try:
            found = connection.execute("SELECT * FROM read_parquet(?) LIMIT 0", [str(path)])
            types = {column[0]: str(column[1]) for column in found.description or ()}
            names = list(types)
            _require(path, names, needed)
            needed = needed or names
            columns = [identifier(name) for name in needed]
            as_text = " + ".join(f"coalesce(strlen({name}::VARCHAR), 0) + 1" for name in columns)
            sized = connection.execute(
                f"SELECT sum(size)::UBIGINT, max(size), arg_max(row, size) FROM "
                f"(SELECT {as_text} AS size, file_row_number + 1 AS row "
                "FROM read_parquet(?, file_row_number = true))", [str(path)]
            ).fetchone()  # fmt: skip
            total, longest, row = sized or (0, 0, 0)
            unpacked.take(int(total or 0), path.name)
            if int(longest or 0) > LONGEST_ROW:
                raise _unreadable(path, f"row {row} has more than {LONGEST_ROW} bytes")
            zoned = {name for name in needed if types[name] == "TIMESTAMP WITH TIME ZONE"}
            read = [f"epoch_us({c})" if n in zoned else c
                    for n, c in zip(needed, columns, strict=True)]  # fmt: skip
            found = connection.execute(
                f"SELECT {', '.join(read)} FROM read_parquet(?)", [str(path)]
            )
            while rows := found.fetchmany(1_000):
                for row in rows:
                    cells = dict(zip(needed, row, strict=True))
                    yield cells | {name: _instant(cells[name]) for name in zoned}
        except (duckdb.Error, OverflowError) as error:
            raise _unreadable(path, str(error).splitlines()[0]) from None


def _instant(microseconds: int | None) -> datetime | None:
    """Return a time with its zone; DuckDB makes one only where the package ``pytz`` is."""
    return None if microseconds is None else _EPOCH + timedelta(microseconds=microseconds)


def _require(path: Path, names: list[str], needed: list[str]) -> None:
    missing = [name for name in needed if name not in names]
    if missing:
        raise BatchInputRefusedError(
            f"{path.name} has no column {', '.join(missing)}", field="input.columns",
            value=", ".join(names)[:300], allowed=", ".join(needed),
        )  # fmt: skip


def _unreadable(path: Path, why: str) -> BatchInputRefusedError:
    return BatchInputRefusedError(
        f"{path.name}: {why}", field="input", value=path.name,
        allowed="CSV with a header or JSON Lines in UTF-8, each also as .gz, or Parquet",
    )  # fmt: skip
