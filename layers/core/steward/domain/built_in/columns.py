"""From typed cells to numbers: one table for trees, one for the linear model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Cell = str | int | float | bool | None
Floats = npt.NDArray[np.float64]

MOST_TREE_LEVELS = 200
"""Levels of a category that trees may tell apart; scikit-learn's histograms have 255 bins."""
MOST_LINEAR_LEVELS = 50
"""Levels with a weight of their own in the linear model; rarer ones share one."""


@dataclass(frozen=True)
class Category:
    """A column of strings.

    Attributes:
        name: Of the column.
        levels: The most frequent values first, ties by name; any other value is "another".
    """

    name: str
    levels: tuple[str, ...]


@dataclass(frozen=True)
class Number:
    """A column of numbers or booleans.

    Attributes:
        name: Of the column.
        mean: Of the training rows that have a value.
        scale: Their standard deviation; 1 where they do not vary.
        has_missing: Whether any training row has no value.
    """

    name: str
    mean: float
    scale: float
    has_missing: bool


@dataclass(frozen=True)
class Columns:
    """What training saw of each column; categories come first in both tables."""

    categories: tuple[Category, ...]
    numbers: tuple[Number, ...]

    @classmethod
    def learn(cls, features: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Cell]]
              ) -> Columns:  # fmt: skip
        """Learn levels, means and scales; columns without any value are left out."""
        known = [f for f in features if any(row[f["name"]] is not None for row in rows)]
        categories = [_category(f["name"], rows) for f in known if f["type"] == "string"]
        numbers = [_number(f["name"], rows) for f in known if f["type"] != "string"]
        return cls(tuple(categories), tuple(numbers))

    def for_trees(self, rows: Sequence[Mapping[str, Cell]]) -> Floats:
        """Return codes of categories and plain numbers; NaN where a value is missing or new."""
        parts = [_codes(category, rows, MOST_TREE_LEVELS) for category in self.categories]
        parts += [_values(number.name, rows) for number in self.numbers]
        return np.stack(parts, axis=1) if parts else np.empty((len(rows), 0))

    def for_linear(self, rows: Sequence[Mapping[str, Cell]]) -> Floats:
        """Return one column a level, one for "missing or another", and standardised numbers.

        A missing number is the mean, with a column of its own that says so where training had
        missing ones.
        """
        parts: list[Floats] = []
        for category in self.categories:
            codes = _codes(category, rows, MOST_LINEAR_LEVELS)
            width = min(len(category.levels), MOST_LINEAR_LEVELS)
            parts += [(codes == level).astype(float) for level in range(width)]
            parts.append(np.isnan(codes).astype(float))
        for number in self.numbers:
            values = _values(number.name, rows)
            missing = np.isnan(values)
            parts.append(np.where(missing, 0.0, (values - number.mean) / number.scale))
            if number.has_missing:
                parts.append(missing.astype(float))
        return np.stack(parts, axis=1) if parts else np.empty((len(rows), 0))

    def as_document(self) -> dict[str, Any]:
        """Return what :meth:`read` takes."""
        return {
            "categories": [{"name": c.name, "levels": list(c.levels)} for c in self.categories],
            "numbers": [vars(number) for number in self.numbers],
        }

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Columns:
        """Return the columns of a stored model."""
        return cls(
            tuple(Category(c["name"], tuple(c["levels"])) for c in document["categories"]),
            tuple(Number(**number) for number in document["numbers"]),
        )


def _category(name: str, rows: Sequence[Mapping[str, Cell]]) -> Category:
    counts = Counter(str(row[name]) for row in rows if row[name] is not None)
    ordered = sorted(counts, key=lambda level: (-counts[level], level))
    return Category(name, tuple(ordered[:MOST_TREE_LEVELS]))


def _number(name: str, rows: Sequence[Mapping[str, Cell]]) -> Number:
    values = _values(name, rows)
    known = values[~np.isnan(values)]
    spread = float(known.std())
    return Number(name, float(known.mean()), spread if spread > 0 else 1.0, len(known) < len(rows))


def _codes(category: Category, rows: Sequence[Mapping[str, Cell]], most: int) -> Floats:
    codes = {level: float(code) for code, level in enumerate(category.levels[:most])}
    name = category.name
    return np.array([
        codes.get(str(row[name]), np.nan) if row[name] is not None else np.nan for row in rows
    ], np.float64)  # fmt: skip


def _values(name: str, rows: Sequence[Mapping[str, Cell]]) -> Floats:
    values = [row[name] for row in rows]
    return np.array([np.nan if v is None else float(v) for v in values], np.float64)
