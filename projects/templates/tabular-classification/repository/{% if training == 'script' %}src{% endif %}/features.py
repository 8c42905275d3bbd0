"""From a row to what the estimator sees: one definition, for training and for serving."""

from __future__ import annotations

from typing import Any

Row = dict[str, Any]


def encode(row: Row) -> dict[str, float | str]:
    """Return a row for scikit-learn's DictVectorizer, which makes one column of each category.

    Numbers and booleans stay numbers, strings become categories. A missing value is 0 with a
    column of its own that says so, so that "missing" can mean something.
    """
    encoded: dict[str, float | str] = {}
    for name, value in row.items():
        if value is None:
            encoded[f"{name} is missing"] = 1.0
        elif isinstance(value, str):
            encoded[name] = value
        else:
            encoded[name] = float(value)
    return encoded


def parse(cells: dict[str, str], features: list[dict[str, Any]]) -> Row:
    """Return the typed features of a row of ``train.csv``, as ``predict_fn`` will get them.

    Args:
        cells: The row's cells by column name; an empty cell is a missing value.
        features: ``features`` of ``job.json``: name and type of each.
    """
    return {
        feature["name"]: _typed(cells[feature["name"]], feature["type"]) for feature in features
    }


def _typed(cell: str, type_: str) -> Any:
    if cell == "":
        return None
    if type_ == "boolean":
        return cell.lower() in ("true", "1")
    return cell if type_ == "string" else float(cell)
