"""``train`` as SageMaker starts it: script mode, the model folder, failures that say why."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from steward_cli.demo.data import deliveries
from support.job_container import DIABETES, Container, job_document, load_project, part

PROJECT = load_project(DIABETES)
JOB = job_document(PROJECT)
ROWS = part(deliveries()[0], PROJECT, "train")
INFERENCE = "def model_fn(model_dir): ...\ndef predict_fn(rows, model): ...\n"


def test_a_trained_model_can_be_judged_and_served_by_itself(tmp_path: Path) -> None:
    container = Container(tmp_path)
    container.prepare_training(DIABETES / "src", ROWS, JOB, C="0.1")
    done = container.run("train")
    assert done.returncode == 0, done.stderr
    assert "train_rows=113 train_brier=0." in done.stdout
    model = tmp_path / "model"
    files = sorted(str(p.relative_to(model)) for p in model.rglob("*") if p.is_file())
    assert files == ["code/inference.py", "code/train.py", "job.json", "model.json"]
    assert json.loads((model / "job.json").read_text()) == JOB


def test_the_script_sees_the_channels_and_its_hyperparameters(tmp_path: Path) -> None:
    show = (
        "import json, os, sys\n"
        "from pathlib import Path\n"
        "seen = {n: v for n, v in os.environ.items() if n.startswith('SM_')}\n"
        "out = Path(os.environ['SM_MODEL_DIR'])\n"
        "(out / 'seen.json').write_text(json.dumps([sys.argv[1:], seen]))\n"
    )
    container = Container(tmp_path)
    container.prepare_training(
        {"train.py": show, "inference.py": INFERENCE}, ROWS, JOB,
        C="0.1", sagemaker_job_name="ignored", quoted='"text"', _tuning_objective_metric="loss",
    )  # fmt: skip
    container.environment["TRAINING_JOB_NAME"] = "t-1-001"
    assert container.run("train").returncode == 0
    arguments, variables = json.loads((tmp_path / "model" / "seen.json").read_text())
    assert arguments == ["--C", "0.1", "--quoted", "text"]
    assert json.loads(variables["SM_HPS"]) == {"C": "0.1", "quoted": "text"}
    assert variables["SM_CHANNEL_TRAIN"] == str(tmp_path / "input" / "data" / "train")
    assert variables["SM_CHANNEL_CONFIG"] == str(tmp_path / "input" / "data" / "config")
    assert Path(variables["SM_OUTPUT_DATA_DIR"]).is_dir()
    assert variables["SM_CHECKPOINT_DIR"] == str(tmp_path / "checkpoints" / "t-1-001")
    assert Path(variables["SM_CHECKPOINT_DIR"]).is_dir()


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        (
            {"train.py": "raise ValueError('column age is constant')", "inference.py": INFERENCE},
            "ValueError: column age is constant",
        ),
        ({"train.py": "import sys; sys.exit(3)", "inference.py": INFERENCE}, "ended with code 3"),
        ({"train.py": ""}, "the source has no inference.py; its files: train.py"),
        ({"inference.py": INFERENCE}, "the source has no train.py"),
        ({"../outside.py": "", "train.py": "", "inference.py": ""}, "cannot be unpacked"),
    ],
)
def test_a_failure_is_left_where_sagemaker_reads_it(
    files: dict[str, str], reason: str, tmp_path: Path
) -> None:
    container = Container(tmp_path)
    container.prepare_training(files, ROWS, JOB)
    assert container.run("train").returncode == 1
    assert reason in container.failure
    assert len(container.failure) <= 1024


def test_an_unreadable_job_configuration_is_a_reason_too(tmp_path: Path) -> None:
    container = Container(tmp_path)
    container.prepare_training(DIABETES / "src", ROWS, {"project": "diabetes"})
    assert container.run("train").returncode == 1
    assert "job.json has not the agreed shape: KeyError('label')" in container.failure


def test_a_stop_request_reaches_the_script(tmp_path: Path) -> None:
    wait = "import time\nprint('waiting', flush=True)\ntime.sleep(60)\n"
    container = Container(tmp_path)
    container.prepare_training({"train.py": wait, "inference.py": INFERENCE}, ROWS, JOB)
    process = container.start("train")
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)  # the script would sleep for 60
    assert process.returncode == 1
    assert "ended by SIGTERM" in container.failure
