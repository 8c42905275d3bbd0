"""Train a standardised logistic regression and write it down as numbers."""

from __future__ import annotations

import argparse
import csv
import json
import os
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression


def main() -> None:
    """Read the channels, train, write ``model.json``."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--C", type=float, default=0.1, help="inverse regularisation strength")
    options = arguments.parse_args()
    job = json.loads((Path(os.environ["SM_CHANNEL_CONFIG"]) / "job.json").read_text())
    names = [feature["name"] for feature in job["features"]]
    data = Path(os.environ["SM_CHANNEL_TRAIN"]) / "train.csv"
    with data.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    values = np.array([[float(row[name] or "nan") for name in names] for row in rows])
    label = job["label"]
    labels = np.array([float(row[label["name"]]) == label["positive"] for row in rows])

    medians = np.nanmedian(values, axis=0)
    values = np.where(np.isnan(values), medians, values)
    means, scales = values.mean(axis=0), values.std(axis=0)
    scales[scales == 0] = 1.0
    standardised = (values - means) / scales
    regression = LogisticRegression(C=options.C).fit(standardised, labels)

    # Numbers in JSON: nothing to unpickle, and the endpoint needs no scikit-learn to answer.
    columns = zip(names, medians, means, scales, regression.coef_[0], strict=True)
    keys = ("name", "median", "mean", "scale", "weight")
    model = {
        "intercept": float(regression.intercept_[0]),
        "features": [
            dict(zip(keys, (name, *map(float, numbers)), strict=True)) for name, *numbers in columns
        ],
    }
    (Path(os.environ["SM_MODEL_DIR"]) / "model.json").write_text(json.dumps(model, indent=2))
    brier = float(np.mean((regression.predict_proba(standardised)[:, 1] - labels) ** 2))
    print(f"train_rows={len(rows)} train_brier={brier:.6f}")


if __name__ == "__main__":
    main()
