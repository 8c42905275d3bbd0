"""``predict``: one model's answers on a file of rows, in a process of its own.

``evaluate`` starts it for the candidate and for the champion, so that neither sees the other's
modules and neither can end the evaluation.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from steward_jobs.container import JobError
from steward_jobs.job_config import JobConfig, read_csv
from steward_jobs.model_code import Model, ModelCodeError, Row
from steward_jobs.model_process import run_model

BATCH_ROWS = 1000


def main(arguments: list[str]) -> int:
    """Predict and return the exit code: 0, or 1 with the reason in the result file.

    Args:
        arguments: Model directory, CSV file, ``job.json``, file for the answers (one a
            line), file for the result (``{"stage", "reason"}``, written on failure only).
    """
    model_dir, data, config, answers, result = map(Path, arguments)
    return run_model(
        model_dir, config, result, "predict",
        lambda model, job: _predict(model, job, data, answers),
    )  # fmt: skip


def _predict(model: Model, job: JobConfig, data: Path, target: Path) -> None:
    rows = _rows(job, data)
    done = 0
    with target.open("w", encoding="ascii") as out:
        while batch := list(islice(rows, BATCH_ROWS)):
            try:
                answers = model.predict(batch)
            except Exception as error:
                raise ModelCodeError(
                    f"rows {done} to {done + len(batch) - 1}: {error!r}"
                ) from error
            out.writelines(f"{answer!r}\n" for answer in answers)
            done += len(batch)


def _rows(job: JobConfig, data: Path) -> Iterator[Row]:
    for row, cells in read_csv(data):
        try:
            yield {
                feature.name: feature.parse(cells[feature.name], row) for feature in job.features
            }
        except KeyError as error:
            raise JobError(f"{data.name} has no column {error}") from error
