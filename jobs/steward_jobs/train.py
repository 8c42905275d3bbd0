"""``train``: SageMaker's script mode. Runs the project's own script and packs what serves it."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

from steward_jobs.container import JobError, base_dir, log, only_archive, unpack, write_failure
from steward_jobs.job_config import JobConfig, read_csv, read_job_config

PROGRAM = "sagemaker_program"
_KEPT_ERROR_LINES = 40


def main(_arguments: list[str]) -> int:
    """Train once and return the exit code.

    The model directory ends up with what the script wrote, the source in ``code/`` and
    ``job.json``, so that it can be judged and served by itself.
    """
    try:
        _train(base_dir())
    except JobError as error:
        write_failure(str(error), "failure")
        log("training_failed", reason=str(error))
        return 1
    return 0


def _train(base: Path) -> None:
    channels = base / "input" / "data"
    config = channels / "config" / "job.json"
    job = read_job_config(config)
    hyperparameters = _hyperparameters(base / "input" / "config" / "hyperparameters.json")
    program = hyperparameters.pop(PROGRAM, "train.py")
    code, model = base / "code", base / "model"
    shutil.rmtree(code, ignore_errors=True)
    unpack(only_archive(channels / "code"), code)
    for needed in (program, "inference.py"):
        if not (code / needed).is_file():
            raise JobError(f"the source has no {needed}; its files: {_names(code)}")
    model.mkdir(parents=True, exist_ok=True)
    (base / "output" / "data").mkdir(parents=True, exist_ok=True)
    # SageMaker's own, such as _tuning_objective_metric, are none of the script's arguments.
    foreign = ("sagemaker_", "_")
    own = {name: v for name, v in hyperparameters.items() if not name.startswith(foreign)}
    arguments = [text for name, value in own.items() for text in (f"--{name}", value)]
    started = time.perf_counter()
    _run_script(
        [sys.executable, str(code / program), *arguments],
        code,
        _script_environment(base, channels, own)
        | {"SM_CHECKPOINT_DIR": str(_checkpoints(base, hyperparameters))}
        | _withheld(base, channels, job),
    )
    shutil.copytree(
        code, model / "code", dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copyfile(config, model / "job.json")
    log("training_completed", seconds=round(time.perf_counter() - started, 3))


def _hyperparameters(path: Path) -> dict[str, str]:
    """Return the hyperparameters as plain strings; the SageMaker SDK writes them JSON-quoted."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise JobError(f"hyperparameters.json is no JSON: {error}") from error
    return {
        name: json.loads(value) if value.startswith('"') and value.endswith('"') else value
        for name, value in document.items()
    }


def _script_environment(
    base: Path, channels: Path, hyperparameters: dict[str, str]
) -> dict[str, str]:
    names = sorted(path.name for path in channels.iterdir() if path.is_dir())
    return {
        **os.environ,
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "SM_MODEL_DIR": str(base / "model"),
        "SM_OUTPUT_DATA_DIR": str(base / "output" / "data"),
        "SM_MODULE_DIR": str(base / "code"),
        "SM_HPS": json.dumps(hyperparameters),
        "SM_CHANNELS": json.dumps(names),
        **{f"SM_CHANNEL_{name.upper()}": str(channels / name) for name in names},
    }


def _checkpoints(base: Path, hyperparameters: dict[str, str]) -> Path:
    """Return the script's folder of checkpoints; each job of a search has one of its own.

    All of them are given the same prefix in S3, and a job whose capacity was taken back keeps its
    name.
    """
    folder = base / "checkpoints"
    if "_tuning_objective_metric" in hyperparameters:
        folder /= os.environ.get("TRAINING_JOB_NAME", "")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _withheld(base: Path, channels: Path, job: JobConfig) -> dict[str, str]:
    """Give the script training rows without the columns that the model must not see.

    They are written anew, and the channel's own file goes: nothing of the script can read it.

    Raises:
        JobError: A row of the training file has not as many cells as its header.
    """
    if job.bias is None or not job.bias.withheld:
        return {}
    hidden, source = set(job.bias.withheld), channels / "train" / "train.csv"
    folder = base / "train"
    folder.mkdir(parents=True, exist_ok=True)
    with source.open(encoding="utf-8", newline="") as given:
        header: list[str] = next(csv.reader(given, strict=True), [])
    kept = [name for name in header if name not in hidden]
    with (folder / "train.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, kept, lineterminator="\r\n", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(cells for _, cells in read_csv(source))
    source.unlink()
    return {"SM_CHANNEL_TRAIN": str(folder)}


def _run_script(command: list[str], folder: Path, environment: dict[str, str]) -> None:
    """Run the script, pass SIGTERM on to it, and remember the end of what it complained."""
    errors: deque[str] = deque(maxlen=_KEPT_ERROR_LINES)
    with subprocess.Popen(  # noqa: S603 - running the project's script is the job
        command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True, errors="replace"
    ) as process:
        previous = signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        assert process.stderr is not None
        for line in process.stderr:
            sys.stderr.write(line)
            sys.stderr.flush()
            errors.append(line)
        code = process.wait()
        signal.signal(signal.SIGTERM, previous)
    if code < 0:
        raise JobError(f"{Path(command[1]).name} was ended by {signal.Signals(-code).name}")
    if code:
        raise JobError(f"{Path(command[1]).name} ended with code {code}:\n{''.join(errors)}")


def _names(folder: Path) -> str:
    return ", ".join(sorted(path.name for path in folder.iterdir())) or "none"
