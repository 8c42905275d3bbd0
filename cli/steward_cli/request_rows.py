"""Rows that people give, as requests: whom each is about, and the features of the model."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steward.domain.request_rules import Feature, InvalidRowError, shown
from steward_cli.console import CommandError, Exit

if TYPE_CHECKING:
    from steward.domain.project import Project

MOST_ROWS = 1_000
"""Each row is one request; whole files are for `steward batch score`."""

ENDINGS = {".csv": "csv", ".jsonl": "jsonl", ".parquet": "parquet"}


@dataclass(frozen=True)
class Declared:
    """What a project says of its rows.

    Attributes:
        entity: Column of whom a row is about.
        features: What a request may hold, in the model's order.
        others: Columns of the table that no request holds: label, times, withheld columns.
    """

    entity: str
    features: tuple[Feature, ...]
    others: frozenset[str]


@dataclass
class Requests:
    """Rows as requests, with what is wrong with them before anybody is asked.

    Attributes:
        bodies: By number of the row, counted from 1: ``entity_id`` and ``features``.
        refused: By number of the row: ``field``, ``value``, ``allowed`` and ``message``.
        left_out: Columns that the project does not know.
    """

    bodies: dict[int, dict[str, Any]] = field(default_factory=dict)
    refused: dict[int, dict[str, Any]] = field(default_factory=dict)
    left_out: set[str] = field(default_factory=set)


def declared_of(project: Project) -> Declared:
    """Return what requests of a project hold."""
    from steward.domain.batch_rows import request_features

    features = request_features(project)
    known = {feature.name for feature in features}
    columns = {column.name for column in project.data.columns}
    return Declared(project.data.entity_id, features, frozenset(columns - known))


def rows_in(text: str, where: str) -> list[Any]:
    """Return the rows of a JSON document: an object, a list of objects, or JSON Lines.

    Raises:
        CommandError: It is no JSON; with the place.
    """
    try:
        found = json.loads(text)
    except ValueError as error:
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) < 2:
            raise CommandError(
                f"{where} is no JSON: {error}", Exit.USAGE,
                'allowed: one object, such as \'{"age": 41, "sex": "f"}\'',
            ) from None  # fmt: skip
        return [_line(line, number, where) for number, line in enumerate(lines, 1)]
    return list(found) if isinstance(found, list) else [found]


def _line(text: str, number: int, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise CommandError(
            f"{where}, line {number} is no JSON: {error}", Exit.USAGE,
            "allowed: one object a line",
        ) from None  # fmt: skip


def rows_of_file(file: Path, first: int | None = None) -> tuple[list[Any], bool]:
    """Return the rows of a file, or the first so many, and whether they are cells of CSV.

    Raises:
        CommandError: It is of no known format, or has more rows than are asked about one by one.
        BatchInputRefusedError: It cannot be read.
    """
    from steward.domain.batch_rows import Unpacked, read_rows

    name = file.name.lower().removesuffix(".gz")
    kind = next((kind for ending, kind in ENDINGS.items() if name.endswith(ending)), None)
    if kind is None:
        allowed = ", ".join([*ENDINGS, ".csv.gz", ".jsonl.gz"])
        raise CommandError(f"{file} is of no known format", Exit.USAGE, f"allowed: {allowed}")
    rows: list[Any] = []
    for row in islice(read_rows(file, kind, [], Unpacked()), first):
        if len(rows) == MOST_ROWS:
            raise CommandError(
                f"{file} has more than {MOST_ROWS} rows, each a request", Exit.USAGE,
                "the first with --rows N; whole files: steward batch score PROJECT FILE",
            )  # fmt: skip
        rows.append(row)
    return rows, kind == "csv"


def requests_of(
    rows: Sequence[Any], declared: Declared | None, entity: str | None = None, *, cells: bool
) -> Requests:
    """Return rows as requests.

    A row is a request as callers send it (``entity_id`` and ``features``), or the columns of a
    table: then the entity's column says whom it is about, label and times are left out, and so
    are columns that the project does not know.

    Args:
        rows: As they were read.
        declared: None where the caller may not read the project.
        entity: Whom every row is about; it goes before a column.
        cells: Whether values are cells of CSV, which are read by their column's type.
    """
    found = Requests()
    for number, row in enumerate(rows, 1):
        try:
            found.bodies[number] = _request(row, declared, entity, cells, found.left_out)
        except InvalidRowError as error:
            told = error.as_dict()
            told["message"] = (
                f"{error.field} is missing" if error.value in (None, "")
                else f"{error.field}: {shown(error.value)!r} is not allowed"
            )  # fmt: skip
            found.refused[number] = told
    return found


def _request(
    row: Any, declared: Declared | None, entity: str | None, cells: bool, left_out: set[str]
) -> dict[str, Any]:
    from steward.domain.batch_rows import plain

    if not isinstance(row, Mapping):
        raise _wrong("row", row, "an object of values by column")
    if isinstance(row.get("features"), Mapping) and set(row) <= {"entity_id", "features"}:
        given = dict(row["features"])
        whom = _first(entity, row.get("entity_id"))
        name = "entity_id"
    elif declared is None:
        given, name = dict(row), "entity_id"
        whom = _first(entity, given.pop("entity_id", None))
    else:
        name = declared.entity
        whom = _first(entity, row.get(name), row.get("entity_id"))
        given = dict(_features(row, declared, cells, left_out))
    if whom is None:
        unread = "" if declared else "; which column names it, your rights do not let you read"
        raise _wrong(name, whom, f"whom the row is about, there or by --entity{unread}")
    features = {column: plain(value) for column, value in given.items()}
    for column, value in features.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise _wrong(column, value, "a finite number")
        if not _is_json(value):
            raise _wrong(column, value, "a number, text, true or false, or null")
    return {"entity_id": str(whom), "features": features}


def _first(*whom: Any) -> Any:
    """Return the first id that is there; 0 is one."""
    return next((one for one in whom if one not in (None, "")), None)


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True


def _features(
    row: Mapping[str, Any], declared: Declared, cells: bool, left_out: set[str]
) -> Iterator[tuple[str, Any]]:
    known = {feature.name for feature in declared.features}
    left_out |= set(row) - known - declared.others - {declared.entity, "entity_id"}
    for feature in declared.features:
        if feature.name not in row:
            continue  # read online, or refused by its name
        value = row[feature.name]
        if cells:
            yield feature.name, feature.parse(str(value), 0)
        else:
            yield feature.name, value


def _wrong(name: str, value: object, allowed: str) -> InvalidRowError:
    return InvalidRowError(name, row=None, field=name, value=value, allowed=allowed)
