"""What answers: ``model_fn``, ``predict_fn`` and ``explain_fn`` of the stored model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .columns import Cell, Columns
from .fitting import Task, answers
from .forms import Form, Linear, form_of
from .training import FORMAT


@dataclass(frozen=True)
class Stored:
    """A loaded model."""

    task: Task
    columns: Columns
    form: Form


def model_fn(model_dir: str) -> Stored:
    """Load the model; arrays that would run code are refused by numpy.

    Raises:
        ValueError: It was written by another format of this code.
    """
    folder = Path(model_dir)
    document = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    if document["format"] != FORMAT:
        raise ValueError(f"model.json has format {document['format']!r}; allowed: {FORMAT}")
    with np.load(folder / "model.npz", allow_pickle=False) as arrays:
        form = form_of(document["kind"], arrays)
    return Stored(document["task"], Columns.read(document["columns"]), form)


def predict_fn(rows: Sequence[dict[str, Cell]], model: Stored) -> list[float]:
    """Return the probability of the positive label, or the predicted value, of each row."""
    linear = isinstance(model.form, Linear)
    table = model.columns.for_linear(rows) if linear else model.columns.for_trees(rows)
    return [float(value) for value in answers(model.form.scores(table), model.task)]


def explain_fn(model: Stored) -> dict[str, Any] | None:
    """Return the linear form of a linear model of numbers alone; None for any other."""
    if not isinstance(model.form, Linear) or model.columns.categories:
        return None
    weights: dict[str, float] = {}
    missing: dict[str, float] = {}
    intercept, place = float(model.form.intercept[0]), 0
    for number in model.columns.numbers:
        weight = float(model.form.weights[place]) / number.scale
        weights[number.name] = weight
        missing[number.name] = number.mean
        intercept -= weight * number.mean
        place += 1
        if number.has_missing:
            if weight == 0:
                return None  # What "missing" says cannot be said as a value of the column.
            missing[number.name] += float(model.form.weights[place]) / weight
            place += 1
    scale = "probability" if model.task == "regression" else "log_odds"
    return {"kind": "linear", "scale": scale, "intercept": intercept, "weights": weights,
            "missing": missing}  # fmt: skip
