"""The rows on which a commit's code is rehearsed: a sample of what was delivered, or made up."""

from __future__ import annotations

import csv
import hashlib
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from steward.domain.datasets import request_columns, written_columns
from steward.domain.declaration import ColumnType, Scalar
from steward.domain.project import Project
from steward.domain.tables import Column

_LOOKED_AT = 100_000
_OF_EACH = 10
"""Rows of each of two label values, if the part that is looked at has them."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Sample:
    """Rows for one rehearsal.

    Attributes:
        origin: A dataset's id, or ``declared``.
        rows: Values by column, typed as a request gives them.
    """

    origin: str
    rows: Sequence[Row]

    def csv(self, project: Project) -> bytes:
        """Return the rows as the training channel has them."""
        out = io.StringIO()
        names = [name for name, _ in written_columns(project)]
        writer = csv.writer(out, lineterminator="\r\n")
        writer.writerow(names)
        writer.writerows([_text(row[name]) for name in names] for row in self.rows)
        return out.getvalue().encode()


def sample_of(project: Project, dataset_id: str, lines: Iterable[str], rows: int) -> Sample | None:
    """Return a sample of a dataset's training rows, None where it lacks a declared column.

    The first rows count; of a label that is rare among them, some come from further on.
    """
    reader = csv.DictReader(lines)
    columns = written_columns(project)
    if not {name for name, _ in columns} <= set(reader.fieldnames or ()):
        return None
    label = project.data.label.name
    kept: list[dict[str, str]] = []
    rare: list[dict[str, str]] = []
    of_label: dict[str, int] = {}
    for number, cells in enumerate(reader):
        value = cells[label]
        if len(kept) < rows:
            kept.append(cells)
        elif len(of_label) > 2 or number > _LOOKED_AT or _balanced(of_label):
            break
        elif of_label.get(value, 0) < _OF_EACH:
            rare.append(cells)
        of_label[value] = of_label.get(value, 0) + 1
    chosen = [*kept[: max(0, rows - len(rare))], *rare]
    typed = [{name: _value(type_, cells[name]) for name, type_ in columns} for cells in chosen]
    return Sample(dataset_id, typed) if typed else None


def _balanced(of_label: dict[str, int]) -> bool:
    return len(of_label) == 2 and min(of_label.values()) >= _OF_EACH


def _value(type_: ColumnType, text: str) -> Any:
    if text == "":
        return None
    if type_ == "integer":
        return int(text)
    if type_ == "float":
        return float(text)
    if type_ == "boolean":
        return text.lower() in ("true", "1")
    return text


def _text(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def declared_sample(project: Project, rows: int) -> Sample | None:
    """Return rows made of the declaration alone, for a project that has no dataset yet.

    They keep types, bounds and lists of allowed values, and mean nothing. The same declaration
    gives the same rows. A string that must match a pattern cannot be made up: then there is
    None, unless it may be null or is no feature.
    """
    features = {column.name for column in request_columns(project)}
    columns = {column.name: column for column in project.data.columns}
    columns |= {column.name: column for column in project.model_features}
    for column in columns.values():
        impossible = column.pattern and not column.nullable and not column.allowed
        if impossible and column.name in features:
            return None
    label = project.data.label
    made = []
    for number in range(rows):
        row = {
            name: _made(columns[name], type_, number) for name, type_ in written_columns(project)
        }
        if label.positive is not None:
            row[label.name] = _label(columns[label.name], label.positive, number)
        else:
            row[label.name] = _made(columns[label.name], columns[label.name].type, number)
        made.append(row)
    return Sample("declared", made)


def _made(column: Column, type_: ColumnType, number: int) -> Any:
    share = _share(column.name, number)
    if column.allowed:
        return column.allowed[int(share * len(column.allowed))]
    if type_ == "boolean":
        return share < 0.5
    if type_ in ("integer", "float"):
        return _number(column, type_, share)
    if type_ == "timestamp":
        return f"2026-01-{number % 28 + 1:02d}T00:00:00Z"
    if column.pattern and column.nullable:
        return None
    return f"{column.name}-{number}" if column.unique else f"{column.name}-{number % 7}"


def _number(column: Column, type_: ColumnType, share: float) -> float:
    low = column.min if column.min is not None else min(0.0, column.max or 0.0)
    high = column.max if column.max is not None else low + 100
    value = low + (high - low) * share
    if type_ == "float":
        return value
    return min(math.floor(high), max(math.ceil(low), round(value)))


def _share(name: str, number: int) -> float:
    """Return a number in [0, 1) that is the same for the same column and row."""
    digest = hashlib.sha256(f"{name}:{number}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def _label(column: Column, positive: Scalar, number: int) -> Scalar:
    if number % 2:
        return positive
    others = [value for value in column.allowed or () if value != positive]
    if others:
        return others[0]
    if isinstance(positive, bool):
        return not positive
    if isinstance(positive, int | float):
        return 0 if positive else 1
    return f"not {positive}"
