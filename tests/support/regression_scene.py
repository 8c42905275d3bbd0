"""A project whose label is a number, its rows, and models for it."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from steward.domain.project import Project, parse_project

NAME = "prices"


def declaration(**changes: Any) -> dict[str, Any]:
    """What a small regression declares; ``changes`` replace top-level sections."""
    return {
        "project": NAME,
        "owner": "homes",
        "data": {
            "entity_id": "house",
            "label": {"name": "price", "task": "regression"},
            "columns": [
                {"name": "house", "type": "string", "unique": True},
                {"name": "size", "type": "float", "min": 0},
                {"name": "age", "type": "integer", "min": 0, "max": 200},
                {"name": "price", "type": "float"},
            ],
        },
        "evaluation": {"bootstrap_samples": 400, "slices": [{"column": "age", "edges": [20]}]},
        **changes,
    }


def project(**changes: Any) -> Project:
    """The parsed declaration."""
    return parse_project(declaration(**changes))


def rows(count: int, *, seed: int = 1, noise: float = 10.0) -> list[dict[str, Any]]:
    """Rows with price = 3 size - age / 2 + noise."""
    drawn = random.Random(seed)
    found = []
    for number in range(count):
        size, age = round(drawn.uniform(30, 200), 1), drawn.randrange(60)
        price = round(3 * size - age / 2 + drawn.gauss(0, noise), 2)
        found.append({"house": f"h{seed}-{number}", "size": size, "age": age, "price": price})
    return found


def formula(slope: float = 3.0, *, extra: str = "") -> dict[str, str]:
    """A model that answers ``slope * size - age / 2``."""
    return {
        "code/inference.py": (
            f"def model_fn(model_dir): return {slope!r}\n"
            "def predict_fn(rows, slope):\n"
            "    return [slope * row['size'] - row['age'] / 2 for row in rows]\n" + extra
        ),
    }


def with_label(**label: Any) -> dict[str, Any]:
    """The declaration with other keys of the label."""
    declared = declaration()
    declared["data"]["label"] |= label
    return declared


def with_columns(**changed: Mapping[str, Any]) -> dict[str, Any]:
    """The declaration with other properties of columns, by their names."""
    declared = declaration()
    for column in declared["data"]["columns"]:
        column.update(changed.get(column["name"], {}))
    return declared
