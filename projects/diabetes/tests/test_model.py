"""The model's code keeps its contract: probabilities for each row, pending values included."""

from __future__ import annotations

import csv
import json
import os
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent.parent
NAMES = ("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6")


def _rows() -> list[dict[str, float]]:
    return [
        {name: float((number * (7 + place)) % 50 + 20) for place, name in enumerate(NAMES)}
        for number in range(40)
    ]


@pytest.fixture
def model_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model, trained by the project's own script on made-up rows."""
    rows = _rows()
    job = {
        "features": [{"name": name, "type": "float"} for name in NAMES],
        "label": {"name": "progression_above_140", "positive": 1},
    }
    (tmp_path / "job.json").write_text(json.dumps(job))
    with (tmp_path / "train.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow([*NAMES, "progression_above_140"])
        writer.writerows([*row.values(), int(row["bmi"] > 45)] for row in rows)
    for name in ("SM_CHANNEL_CONFIG", "SM_CHANNEL_TRAIN", "SM_MODEL_DIR"):
        monkeypatch.setitem(os.environ, name, str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["train.py", "--C", "0.1"])
    runpy.run_path(str(HERE / "src" / "train.py"), run_name="__main__")
    return tmp_path


def _code(source: str) -> dict[str, Any]:
    return runpy.run_path(str(HERE / source / "inference.py"))


@pytest.mark.parametrize("source", ["src", "src_v3"])
def test_complete_rows_get_the_same_sensible_probabilities(source: str, model_dir: Path) -> None:
    code = _code(source)
    rows = _rows()
    answers = code["predict_fn"](rows, code["model_fn"](str(model_dir)))
    assert all(0 < answer < 1 for answer in answers)
    right = sum(
        (answer > 0.5) == (row["bmi"] > 45) for answer, row in zip(answers, rows, strict=True)
    )
    assert right >= 30
    first = _code("src")
    assert answers == first["predict_fn"](rows, first["model_fn"](str(model_dir)))


def test_a_pending_value_is_answered_with_its_median(model_dir: Path) -> None:
    code = _code("src")
    model = code["model_fn"](str(model_dir))
    row: dict[str, Any] = _rows()[0]
    median = next(f["median"] for f in model["features"] if f["name"] == "s6")
    assert code["predict_fn"]([row | {"s6": None}], model) == code["predict_fn"](
        [row | {"s6": median}], model
    )
