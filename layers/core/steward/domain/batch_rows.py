"""The rows of a batch: read from files, judged by the rules of requests, written for the job."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from steward.domain.errors import BatchInputRefusedError
from steward.domain.request_rules import Feature, InvalidRowError, Value, shown

if TYPE_CHECKING:
    from steward.domain.project import Project

_LONGEST_ID = 500


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


@dataclass(frozen=True)
class RefusedRow:
    """A row that gets no score, and why."""

    file: str
    row: int
    entity: str
    field: str | None
    value: object
    allowed: str

    def line(self) -> str:
        """Return it as a line of ``refused.jsonl``."""
        return json.dumps({**self.__dict__, "value": shown(self.value)}) + "\n"


@dataclass
class BatchRows:
    """Judged rows, in the order of the input.

    Attributes:
        ids: Of the rows that are scored, each once.
        lines: What the job gets of each: the id, then the features, without a line end.
        refused: The others.
    """

    ids: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    refused: list[RefusedRow] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """Rows of the input."""
        return len(self.ids) + len(self.refused)

    def parts(self, count: int) -> list[str]:
        """Return the lines as the contents of at most so many files, in order, about as long."""
        size = max(1, -(-len(self.lines) // count))
        return [
            "".join(f"{line}\n" for line in self.lines[start : start + size])
            for start in range(0, len(self.lines), size)
        ]

    def require(self, max_refused_share: float) -> None:
        """Refuse an input that is empty or has too many rows that break the rules.

        Raises:
            BatchInputRefusedError: With the first rows at fault.
        """
        if not self.rows:
            raise BatchInputRefusedError(
                "the input has no rows", field="input", value=0, allowed="at least one row"
            )
        share = len(self.refused) / self.rows
        if share > max_refused_share or not self.ids:
            first = "; ".join(_told(row) for row in self.refused[:3])
            raise BatchInputRefusedError(
                f"{len(self.refused)} of {self.rows} rows break the rules of requests: {first}",
                field="batch.checks.max_refused_share", value=round(share, 6),
                allowed=f"at most {max_refused_share:g}, and one row that breaks none",
            )  # fmt: skip


def _told(row: RefusedRow) -> str:
    """Say where a row broke which rule; its value is a person's and stays in the work folder."""
    return f"{row.file} row {row.row} {row.field}: allowed {row.allowed}"


def judge_rows(
    rows: BatchRows, file: str, read: Iterator[Mapping[str, Any]], entity: str,
    features: tuple[Feature, ...], *, text: bool,
) -> None:  # fmt: skip
    """Add the rows of a file, each judged; rows are counted from 0.

    Args:
        rows: What they are added to; an id may not be there twice in all files together.
        file: Name of the file, for people.
        read: The rows by column.
        entity: Column of the id.
        features: Rules of the others; further columns are left out.
        text: Whether values are cells of CSV, in which an empty one is null.
    """
    known = set(rows.ids)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="")
    for number, given in enumerate(read):
        name = str(given.get(entity) if given.get(entity) is not None else "")
        wrong = _wrong_id(name, known)
        if wrong:
            rows.refused.append(RefusedRow(file, number, name[:100], entity, name, wrong))
            continue
        try:
            cells = [_cell(_checked(feature, given, number, text)) for feature in features]
        except InvalidRowError as error:
            rows.refused.append(
                RefusedRow(file, number, name, error.field, error.value, error.allowed)
            )
            continue
        out.seek(0)
        out.truncate()
        writer.writerow([name, *cells])
        line = out.getvalue()
        if len(line.splitlines()) != 1:  # the job cuts files at every line end
            broken = next(f.name for f, c in zip(features, cells, strict=True) if _breaks(c))
            rows.refused.append(
                RefusedRow(file, number, name, broken, given[broken], "text on one line")
            )
            continue
        known.add(name)
        rows.ids.append(name)
        rows.lines.append(line)


def _breaks(text: str) -> bool:
    return len(f"{text}.".splitlines()) > 1


def _wrong_id(name: str, known: set[str]) -> str:
    if not name:
        return "an id"
    if len(name) > _LONGEST_ID or _breaks(name):
        return f"an id on one line, of at most {_LONGEST_ID} characters"
    return "an id that is there once" if name in known else ""


def _checked(feature: Feature, given: Mapping[str, Any], row: int, text: bool) -> Value:
    value = given.get(feature.name)
    if not text:
        return feature.check(_plain(value), row)
    return feature.parse("" if value is None else str(value), row)


def _plain(value: Any) -> Any:
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


def read_rows(path: Path, format_: str, needed: list[str]) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of a file by column.

    Args:
        path: A file whose name ends in ``.gz`` is unpacked, but for Parquet.
        format_: ``csv``, ``jsonl`` or ``parquet``.
        needed: Columns that must be there.

    Raises:
        BatchInputRefusedError: It is no such file, or a column is missing.
    """
    try:
        if format_ == "parquet":
            yield from _parquet(path, needed)
            return
        with _text(path) as stream:
            yield from _csv(path, stream, needed) if format_ == "csv" else _jsonl(path, stream)
    except (UnicodeDecodeError, OSError, EOFError, csv.Error) as error:
        raise _unreadable(path, f"no {format_} in UTF-8: {error}") from None


def _text(path: Path) -> TextIO:
    if path.name.endswith(".gz"):
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _csv(path: Path, stream: TextIO, needed: list[str]) -> Iterator[Mapping[str, Any]]:
    reader = csv.DictReader(stream, strict=True)
    _require(path, list(reader.fieldnames or ()), needed)
    for number, cells in enumerate(reader):
        if None in cells or None in cells.values():
            raise _unreadable(path, f"row {number} has not as many cells as the header")
        yield cells


def _jsonl(path: Path, stream: TextIO) -> Iterator[Mapping[str, Any]]:
    for number, line in enumerate(stream):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except ValueError as error:
            raise _unreadable(path, f"line {number + 1} is no JSON: {error}") from None
        if not isinstance(found, dict):
            raise _unreadable(path, f"line {number + 1} is no JSON object")
        yield found


def _parquet(path: Path, needed: list[str]) -> Iterator[Mapping[str, Any]]:
    import duckdb  # large, and few inputs need it

    with duckdb.connect() as connection:
        try:
            found = connection.execute("SELECT * FROM read_parquet(?)", [str(path)])
            names = [column[0] for column in found.description or ()]
            _require(path, names, needed)
            while rows := found.fetchmany(10_000):
                for row in rows:
                    yield dict(zip(names, row, strict=True))
        except duckdb.Error as error:
            raise _unreadable(path, str(error).splitlines()[0]) from None


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
