"""Answer with the model that ``train.py`` wrote, in evaluation and behind the endpoint alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import joblib
from features import encode


def model_fn(model_dir: str) -> Any:
    """Load the model once, when the process starts."""
    return joblib.load(Path(model_dir) / "model.joblib")


def predict_fn(rows: list[dict[str, Any]], model: Any) -> list[float]:
    """Return the probability of the positive label for each row.

    Rows are checked already: all features of ``project.yaml``, typed and in range, and null only
    where that is allowed.
    """
    probabilities = model.predict_proba([encode(row) for row in rows])[:, 1]
    return [float(probability) for probability in probabilities]
