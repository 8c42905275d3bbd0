"""Train a classifier on tabular rows. Steward runs this script in SageMaker's script mode.

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
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def main() -> None:
    """Read the channels, train, write ``model.joblib``."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--C", type=float, default=0.1, help="inverse regularisation strength")
    options = arguments.parse_args()
    job = json.loads((Path(os.environ["SM_CHANNEL_CONFIG"]) / "job.json").read_text())
    data = Path(os.environ["SM_CHANNEL_TRAIN"]) / "train.csv"
    with data.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    inputs = [encode(parse(row, job["features"])) for row in rows]
    name, positive = job["label"]["name"], job["label"]["positive"]
    labels = np.array([row[name].lower() == str(positive).lower() for row in rows])

    estimator = make_pipeline(
        DictVectorizer(sparse=False),
        StandardScaler(),
        LogisticRegression(C=options.C, max_iter=1000),
    ).fit(inputs, labels)

    joblib.dump(estimator, Path(os.environ["SM_MODEL_DIR"]) / "model.joblib")
    brier = float(np.mean((estimator.predict_proba(inputs)[:, 1] - labels) ** 2))
    print(f"train_rows={len(rows)} train_brier={brier:.6f}")


if __name__ == "__main__":
    main()
