"""Answer with the artifact, in evaluation and behind the endpoint alike."""

from __future__ import annotations

import json
from math import exp
from pathlib import Path
from typing import Any


def model_fn(model_dir: str) -> dict[str, Any]:
    """Load the model once, when the process starts."""
    model: dict[str, Any] = json.loads((Path(model_dir) / "model.json").read_text())
    return model


def predict_fn(rows: list[dict[str, Any]], model: dict[str, Any]) -> list[float]:
    """Return the probability of the positive label for each row."""
    return [_probability(row, model) for row in rows]


def _probability(row: dict[str, Any], model: dict[str, Any]) -> float:
    score = model["intercept"] + model["plan"][row["plan"]]
    for name, weight in model["weights"].items():
        value = row[name]
        score += weight * (model["missing"][name] if value is None else value)
    return 1 / (1 + exp(-score))
