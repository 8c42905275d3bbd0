"""Answer with the logistic regression that ``train.py`` wrote; a pending value is its median."""

from __future__ import annotations

import json
from math import exp
from pathlib import Path
from typing import Any


def model_fn(model_dir: str) -> dict[str, Any]:
    """Load the model."""
    model: dict[str, Any] = json.loads((Path(model_dir) / "model.json").read_text())
    return model


def predict_fn(rows: list[dict[str, Any]], model: dict[str, Any]) -> list[float]:
    """Return the probability of progression for each row."""
    return [_probability(row, model) for row in rows]


def explain_fn(model: dict[str, Any]) -> dict[str, Any]:
    """Say that the model is linear on the log-odds, so that its answers explain themselves."""
    features = model["features"]
    weights = {f["name"]: f["weight"] / f["scale"] for f in features}
    shift = sum(f["weight"] * f["mean"] / f["scale"] for f in features)
    return {
        "kind": "linear",
        "scale": "log_odds",
        "intercept": model["intercept"] - shift,
        "weights": weights,
        "missing": {f["name"]: f["median"] for f in features},
    }


def _probability(row: dict[str, Any], model: dict[str, Any]) -> float:
    score = model["intercept"]
    for feature in model["features"]:
        value = row[feature["name"]]
        if value is None:
            value = feature["median"]
        score += feature["weight"] * (value - feature["mean"]) / feature["scale"]
    return 1 / (1 + exp(-score))
