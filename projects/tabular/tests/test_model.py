"""The model's code keeps its contract on a few made-up rows."""

from __future__ import annotations

import csv
import json
import runpy
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src"
FEATURES = [
    {"name": "tenure_months", "type": "integer"},
    {"name": "support_calls", "type": "integer", "nullable": True},
    {"name": "plan", "type": "string"},
    {"name": "autopay", "type": "boolean"},
]


@pytest.fixture
def model_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model, trained by the project's own script."""
    job = {"features": FEATURES, "label": {"name": "left", "positive": True}}
    (tmp_path / "job.json").write_text(json.dumps(job))
    with (tmp_path / "train.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["tenure_months", "support_calls", "plan", "autopay", "left"])
        for number in range(60):
            leaves = number % 2 == 0
            calls = "" if number % 7 == 0 else 5 if leaves else 1
            plan = ("basic", "plus", "premium")[number % 3]
            writer.writerow(
                [number, calls, plan, str(number % 5 == 0).lower(), str(leaves).lower()]
            )
    for name in ("SM_CHANNEL_CONFIG", "SM_CHANNEL_TRAIN", "SM_MODEL_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.syspath_prepend(str(SOURCE))
    monkeypatch.setattr(sys, "argv", ["train.py", "--C", "1.0"])
    runpy.run_path(str(SOURCE / "train.py"), run_name="__main__")
    return tmp_path


def test_each_row_gets_a_probability_and_learnt_differences_show(model_dir: Path) -> None:
    code = runpy.run_path(str(SOURCE / "inference.py"))
    row = {"tenure_months": 30, "support_calls": 5, "plan": "basic", "autopay": False}
    rows = [row, row | {"support_calls": 1}, row | {"support_calls": None}]
    many_calls, few_calls, unknown = code["predict_fn"](rows, code["model_fn"](str(model_dir)))
    assert 0 < few_calls < 0.5 < many_calls < 1
    assert 0 < unknown < 1


def test_a_category_never_seen_in_training_is_answered(model_dir: Path) -> None:
    code = runpy.run_path(str(SOURCE / "inference.py"))
    row = {"tenure_months": 30, "support_calls": 5, "plan": "enterprise", "autopay": True}
    (answer,) = code["predict_fn"]([row], code["model_fn"](str(model_dir)))
    assert 0 < answer < 1
