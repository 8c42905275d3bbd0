"""Write the tutorial's data: measurements of 569 tumours, bundled with scikit-learn.

Usage: python docs/tutorial_data.py tumours.csv
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

from sklearn.datasets import load_breast_cancer


def main(path: Path) -> None:
    """Write a row for each tumour: an id, ten measurements, and whether it was malignant."""
    found = load_breast_cancer()
    names = [str(name).replace(" ", "_") for name in found.feature_names[:10]]
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["sample", *names, "malignant"])
        for number, (values, label) in enumerate(zip(found.data, found.target, strict=True)):
            cells = [f"{value:.5f}" for value in values[:10]]
            writer.writerow([f"s{number:04}", *cells, str(label == 0).lower()])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
