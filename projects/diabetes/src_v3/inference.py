"""Answer with the logistic regression that ``train.py`` wrote.

A pending laboratory value is no longer guessed as the median of all patients: the laboratory's
reference service knows the typical value for the patient's age and sex, and is asked for it.
"""

from __future__ import annotations

import json
import time
from http.client import HTTPConnection, HTTPException
from math import exp
from pathlib import Path
from typing import Any

LABORATORY = ("127.0.0.1", 8651)
"""The reference service's agent, which runs beside the application on the ward's machines."""
ATTEMPTS = 4
FIRST_WAIT_S = 0.2


class PendingValueError(Exception):
    """A value is pending and the laboratory does not say what is typical."""


def model_fn(model_dir: str) -> dict[str, Any]:
    """Load the model."""
    model: dict[str, Any] = json.loads((Path(model_dir) / "model.json").read_text())
    return model


def predict_fn(rows: list[dict[str, Any]], model: dict[str, Any]) -> list[float]:
    """Return the probability of progression for each row."""
    return [_probability(row, model) for row in rows]


def explain_fn(model: dict[str, Any]) -> dict[str, Any]:
    """Say that the model is linear on the log-odds where no value is pending."""
    features = model["features"]
    shift = sum(f["weight"] * f["mean"] / f["scale"] for f in features)
    return {
        "kind": "linear",
        "scale": "log_odds",
        "intercept": model["intercept"] - shift,
        "weights": {f["name"]: f["weight"] / f["scale"] for f in features},
    }


def _probability(row: dict[str, Any], model: dict[str, Any]) -> float:
    score = model["intercept"]
    for feature in model["features"]:
        value = row[feature["name"]]
        if value is None:
            value = _typical_value(feature["name"], row)
        score += feature["weight"] * (value - feature["mean"]) / feature["scale"]
    return 1 / (1 + exp(-score))


def _typical_value(name: str, row: dict[str, Any]) -> float:
    """Ask the laboratory, a few times with growing pauses, since its agent restarts at night."""
    wait_s = FIRST_WAIT_S
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _ask_laboratory(f"/typical/{name}?age={row['age']}&sex={row['sex']}")
        except (OSError, HTTPException, ValueError) as error:
            if attempt == ATTEMPTS:
                raise PendingValueError(
                    f"{name} is pending and the laboratory did not answer {ATTEMPTS} times: {error}"
                ) from error
        time.sleep(wait_s)
        wait_s *= 2
    raise AssertionError("unreachable")


def _ask_laboratory(path: str) -> float:
    connection = HTTPConnection(*LABORATORY, timeout=1.0)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        if answer.status != 200:
            raise ValueError(f"the laboratory answered {answer.status}")
        return float(json.loads(answer.read())["value"])
    finally:
        connection.close()
