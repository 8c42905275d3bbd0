"""Recorded smoke examples: requests a staged version must answer, and some it must refuse."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from steward.domain.tables import Column, Task

SCHEMA = "1"
_JSON = "application/json"


def recorded_examples(
    columns: Sequence[Column], rows: Sequence[dict[str, Any]], task: Task = "binary"
) -> dict[str, Any]:
    """Return the smoke test's cases, made from training rows.

    Valid: each row alone, all as one batch, one as CSV. Bad input, each naming the field that
    the answer must name: a missing field, an unknown one, a wrong type, a null where none is
    allowed, a value outside each kind of declared range. A body that is text is sent as it is,
    an object as JSON.

    Args:
        columns: The features in order.
        rows: Training rows, at least one.
        task: What the answers have to be.
    """
    first = rows[0]
    cases = [
        _valid(f"row-{number}", {"instances": [row]}, 1) for number, row in enumerate(rows, start=1)
    ]
    cases.append(_valid("batch", {"instances": list(rows)}, len(rows)))
    cases.append(
        {
            "name": "csv", "kind": "valid", "content_type": "text/csv",
            "body": _csv_line(columns, first), "expect": {"status": 200, "predictions": 1},
        }
    )  # fmt: skip
    lead = columns[0].name
    cases.append(
        _bad("missing-field", {k: v for k, v in first.items() if k != lead}, lead),
    )
    cases.append(_bad("unknown-field", {**first, _unknown(columns): 1}, _unknown(columns)))
    cases.extend(_column_cases(columns, first))
    for case in cases:
        if task != "binary" and case["kind"] == "valid":
            case["expect"]["task"] = task
    return {"schema": SCHEMA, "features": [column.name for column in columns], "cases": cases}


def _column_cases(columns: Sequence[Column], row: dict[str, Any]) -> list[dict[str, Any]]:
    """Take the first column that a rule applies to; one case per rule is enough."""
    cases = []
    wrong = next((column for column in columns if column.type != "string"), None)
    if wrong:
        cases.append(_bad("wrong-type", {**row, wrong.name: "not a value"}, wrong.name))
    filled = next((column for column in columns if not column.nullable), None)
    if filled:
        cases.append(_bad("null-value", {**row, filled.name: None}, filled.name))
    below = next((column for column in columns if column.min is not None), None)
    if below and below.min is not None:
        cases.append(_bad("below-minimum", {**row, below.name: _number(below, -1)}, below.name))
    above = next((column for column in columns if column.max is not None), None)
    if above and above.max is not None:
        cases.append(_bad("above-maximum", {**row, above.name: _number(above, 1)}, above.name))
    listed = next((c for c in columns if c.allowed is not None and c.type == "string"), None)
    if listed:
        cases.append(_bad("not-allowed", {**row, listed.name: "?none of these?"}, listed.name))
    return cases


def _number(column: Column, direction: int) -> float | int:
    bound = column.min if direction < 0 else column.max
    assert bound is not None
    beyond = bound + direction * (abs(bound) + 1)
    return int(beyond) if column.type == "integer" else beyond


def _unknown(columns: Sequence[Column]) -> str:
    name = "unknown_field"
    while any(column.name == name for column in columns):
        name += "_"
    return name


def _valid(name: str, body: dict[str, Any], predictions: int) -> dict[str, Any]:
    return {
        "name": name, "kind": "valid", "content_type": _JSON, "body": body,
        "expect": {"status": 200, "predictions": predictions},
    }  # fmt: skip


def _bad(name: str, row: dict[str, Any], field: str) -> dict[str, Any]:
    return {
        "name": name, "kind": "bad_input", "content_type": _JSON, "body": {"instances": [row]},
        "expect": {"status": 400, "field": field},
    }  # fmt: skip


def _csv_line(columns: Sequence[Column], row: dict[str, Any]) -> str:
    out = io.StringIO()
    values = (row[column.name] for column in columns)
    texts = ["" if v is None else str(v).lower() if isinstance(v, bool) else v for v in values]
    csv.writer(out, lineterminator="\n").writerow(texts)
    return out.getvalue()
