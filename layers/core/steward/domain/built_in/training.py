"""The entry point of training: read the channels, fit, leave ``model.json`` and ``model.npz``."""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .columns import Cell, Floats
from .fitting import Fitted, NothingToLearnError, Options, Task, fit
from .forms import arrays_of

FORMAT = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Train as SageMaker's script mode asks, and return the exit code."""
    options = _options(arguments)
    job = json.loads((Path(os.environ["SM_CHANNEL_CONFIG"]) / "job.json").read_text("utf-8"))
    data = Path(os.environ["SM_CHANNEL_TRAIN"]) / "train.csv"
    task: Task = "regression" if job["label"].get("task") == "regression" else "binary"
    try:
        rows, labels, entities, times = read_rows(data, job, task)
        fitted = fit(
            job["features"], rows, labels, entities, task,
            str(job["evaluation"].get("loss", "")), options, times,
        )  # fmt: skip
    except NothingToLearnError as error:
        sys.stderr.write(f"the built-in model cannot be trained: {error}\n")
        return 2
    write_model(Path(os.environ["SM_MODEL_DIR"]), fitted, task)
    figures = " ".join(f"{name}_{fitted.loss}={value:.6f}" for name, value in
                       fitted.losses.items())  # fmt: skip
    print(f"train_rows={len(rows)} kept={fitted.kind} trees={fitted.trees} {figures}")  # noqa: T201
    return 0


def read_rows(
    path: Path, job: dict[str, Any], task: Task
) -> tuple[list[dict[str, Cell]], Floats, list[str], list[str] | None]:
    """Return typed features, labels, entities and prediction times of ``train.csv``."""
    rows, labels, entities, times = [], [], [], []
    time = job.get("prediction_time")
    name, positive = job["label"]["name"], str(job["label"].get("positive")).lower()
    with path.open(newline="", encoding="utf-8") as stream:
        for cells in csv.DictReader(stream):
            rows.append({f["name"]: _typed(cells[f["name"]], f["type"]) for f in job["features"]})
            label = cells[name]
            labels.append(float(label) if task == "regression" else float(_is(label, positive)))
            entities.append(cells[job["entity_id"]])
            times.append(cells[time] if time else "")
    return rows, np.array(labels, np.float64), entities, times if time else None


def write_model(folder: Path, fitted: Fitted, task: Task) -> None:
    """Write the model: names and figures as JSON, numbers as arrays without pickle."""
    document = {
        "format": FORMAT,
        "kind": fitted.kind,
        "task": task,
        "columns": fitted.columns.as_document(),
        "figures": {
            "loss": fitted.loss, "losses": fitted.losses, "reason": fitted.reason,
            "trees": fitted.trees,
        },
    }  # fmt: skip
    (folder / "model.json").write_text(json.dumps(document, indent=1), encoding="utf-8")
    np.savez_compressed(folder / "model.npz", **arrays_of(fitted.form))  # type: ignore[arg-type]


def _options(arguments: Sequence[str] | None) -> Options:
    default = Options()
    parser = argparse.ArgumentParser(prog="built-in", allow_abbrev=False)
    parser.add_argument("--model", choices=("best", "linear", "boosting"), default=default.model)
    parser.add_argument("--validation", choices=("entities", "rolling"), default=default.validation)
    for name in ("learning_rate", "max_iter", "max_leaf_nodes", "l2", "folds", "seed"):
        value = getattr(default, name)
        parser.add_argument(f"--{name}", type=type(value), default=value)
    options = Options(**vars(parser.parse_args(arguments)))
    for name, least in (("learning_rate", 0), ("max_iter", 0), ("l2", 0), ("max_leaf_nodes", 1),
                        ("folds", 1)):  # fmt: skip
        if getattr(options, name) <= least:
            parser.error(f"--{name} is {getattr(options, name)}; allowed: above {least}")
    return options


def _typed(cell: str, type_: str) -> Cell:
    if cell == "":
        return None
    if type_ == "boolean":
        return cell.lower() in ("true", "1")
    return cell if type_ == "string" else float(cell)


def _is(cell: str, positive: str) -> bool:
    """Return whether a label is the positive one, as `job.json` and CSV may write it apart."""
    text = cell.lower()
    if text == positive or {text, positive} in ({"1", "true"}, {"0", "false"}):
        return True
    try:
        return float(text) == float(positive)
    except ValueError:
        return False
