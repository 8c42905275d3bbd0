"""Train a regression on tabular rows. Steward runs this script in SageMaker's script mode.

It reads ``train.csv`` and ``job.json``, gets the hyperparameters of ``project.yaml`` as arguments,
and leaves in ``SM_MODEL_DIR`` whatever ``inference.py`` loads. Replace the estimator by yours.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
from pathlib import Path

import joblib
import numpy as np
from features import encode, parse
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def main() -> None:
    """Read the channels, train, write ``model.joblib``."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--alpha", type=float, default=1.0, help="regularisation strength")
    options = arguments.parse_args()
    job = json.loads((Path(os.environ["SM_CHANNEL_CONFIG"]) / "job.json").read_text())
    data = Path(os.environ["SM_CHANNEL_TRAIN"]) / "train.csv"
    with data.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    inputs = [encode(parse(row, job["features"])) for row in rows]
    labels = np.array([float(row[job["label"]["name"]]) for row in rows])

    estimator = make_pipeline(
        DictVectorizer(sparse=False),
        StandardScaler(),
        Ridge(alpha=options.alpha),
    ).fit(inputs, labels)

    joblib.dump(estimator, Path(os.environ["SM_MODEL_DIR"]) / "model.joblib")
    error = float(np.mean(np.abs(estimator.predict(inputs) - labels)))
    print(f"train_rows={len(rows)} train_mae={error:.6f}")


if __name__ == "__main__":
    main()
