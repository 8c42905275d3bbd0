"""One model's code in a process of its own, so that it can neither see nor end the job's."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

from steward_jobs.container import JobError
from steward_jobs.job_config import InvalidRowError, JobConfig, read_job_config
from steward_jobs.model_code import Model, ModelCodeError, load_model


def run_model(
    model_dir: Path,
    config: Path,
    result: Path,
    stage: str,
    work: Callable[[Model, JobConfig], None],
) -> int:  # fmt: skip
    """Load a model, do something with it, and return the exit code: 0, or 1 with the reason.

    Args:
        model_dir: Where the model was unpacked.
        config: ``job.json``.
        result: File for ``{"stage", "reason"}``, written on failure only.
        stage: What the work is called where it fails; before it the stage is ``load``.
        work: Takes the model and the job.
    """
    reached = "load"
    try:
        job = read_job_config(config)
        model = load_model(model_dir, job.task)
        reached = stage
        work(model, job)
    except (JobError, InvalidRowError, ModelCodeError) as error:
        reason = str(error)
    except Exception as error:  # noqa: BLE001 - whatever the model's code raises is its result
        reason = f"the model's code raised {error!r}"
    else:
        return 0
    result.write_text(json.dumps({"stage": reached, "reason": reason}), encoding="utf-8")
    sys.stderr.write(f"{model_dir.name}: {reached}: {reason}\n")
    return 1
