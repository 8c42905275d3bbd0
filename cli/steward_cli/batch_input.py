"""A file to be scored: read and judged by the rules of requests before anything is sent."""

from __future__ import annotations

import csv
import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from steward_cli.console import CommandError, Exit
from steward_jobs.job_config import Feature, InvalidRowError

if TYPE_CHECKING:
    from steward.domain.project import Project

MOST_BYTES = 100 * 1024 * 1024
"""SageMaker takes more; this machine reads the file whole."""


@dataclass(frozen=True)
class BatchInput:
    """Rows as the job gets them.

    Attributes:
        ids: In order, none twice.
        body: CSV without a header: id, then the features in the model's order.
        sha256: Of the file as it was given.
    """

    ids: list[str]
    body: bytes
    sha256: str


def read_batch(file: Path, project: Project) -> BatchInput:
    """Read a CSV file with a header; columns that the model does not take are left out.

    Raises:
        CommandError: A column is missing, a value is not allowed, or an id is empty or there twice.
    """
    from steward.domain.datasets import request_columns

    if file.stat().st_size > MOST_BYTES:
        raise CommandError(
            f"{file} has {file.stat().st_size} bytes", Exit.USAGE,
            f"allowed: at most {MOST_BYTES}; score it in parts",
        )  # fmt: skip
    given = file.read_bytes()
    features = [
        Feature(
            c.name, c.type, c.nullable, c.min, c.max, None if c.allowed is None else
            tuple(c.allowed), c.pattern,
        )
        for c in request_columns(project)
    ]  # fmt: skip
    entity = project.data.entity_id
    try:
        reader = csv.DictReader(io.StringIO(given.decode("utf-8-sig"), newline=""), strict=True)
        _check_header(file, list(reader.fieldnames or ()), [entity, *(f.name for f in features)])
        ids, body = _rows(file, reader, entity, features)
    except (UnicodeDecodeError, csv.Error) as error:
        raise CommandError(f"{file} is no CSV in UTF-8: {error}", Exit.USAGE) from None
    if not ids:
        raise CommandError(f"{file} has no rows", Exit.USAGE, "allowed: a header and rows")
    return BatchInput(ids, body.encode(), hashlib.sha256(given).hexdigest())


def _check_header(file: Path, names: list[str], wanted: list[str]) -> None:
    missing = [name for name in wanted if name not in names]
    if missing:
        raise CommandError(
            f"{file} has no column {', '.join(missing)}", Exit.USAGE,
            f"allowed: a header with {', '.join(wanted)}",
        )  # fmt: skip


def _rows(
    file: Path, reader: csv.DictReader[str], entity: str, features: list[Feature]
) -> tuple[list[str], str]:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    ids: list[str] = []
    seen: set[str] = set()
    for row, cells in enumerate(reader):
        if None in cells or None in cells.values():
            raise CommandError(f"{file} row {row} has not as many cells as the header", Exit.USAGE)
        name = cells[entity]
        if not name or name in seen or "\n" in name or "\r" in name:
            why = "empty" if not name else "there twice" if name in seen else "of several lines"
            raise CommandError(f"{file} row {row}: {entity} {name!r} is {why}", Exit.USAGE)
        seen.add(name)
        ids.append(name)
        for feature in features:
            try:
                feature.parse(cells[feature.name], row)
            except InvalidRowError as error:
                raise CommandError(f"{file} {error}", Exit.USAGE, error.allowed) from None
        writer.writerow([name, *(cells[feature.name] for feature in features)])
    return ids, out.getvalue()
