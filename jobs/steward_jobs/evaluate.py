"""``evaluate``: candidate and champion on the same held-out rows, each in its own process."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from steward_jobs.container import JobError, base_dir, log, only_archive, unpack, write_failure
from steward_jobs.job_config import JobConfig, read_job_config
from steward_jobs.training_figures import training_figures

if TYPE_CHECKING:
    from steward.domain.evaluation_report import SimpleForecast, TrainingFigures
    from steward.domain.evaluation_results import Evaluation
    from steward.domain.monitoring.baseline import AttributionBaseline
    from steward.domain.predictions import Floats
    from steward_jobs.heldout import Heldout

INTERVAL_CONFIDENCE = 0.95
"""Two-sided level of the intervals of the metrics."""

OUTPUTS = ("baseline.json", "bias.json", "evaluation.json", "explanation.json", "predictions.csv")
"""Written where there is something to write: ``bias.json`` where ``bias`` is declared,
``explanation.json`` where the model's answers can be explained."""
EXPLANATION = "explanation.json"
EXPLAIN_S = 300.0
"""How long explanations are waited for after all else is done."""


def main(_arguments: list[str]) -> int:
    """Evaluate once and return the exit code.

    A champion that cannot answer is a finding and not a failure; a candidate that cannot is.
    """
    try:
        _evaluate(base_dir() / "processing")
    except JobError as error:
        write_failure(str(error), "failure", "message")
        log("evaluation_failed", reason=str(error))
        return 1
    return 0


@dataclass(frozen=True)
class _Running:
    """A model that is answering in its own process.

    Attributes:
        target: What it writes.
        result: Written where it fails.
    """

    process: subprocess.Popen[bytes]
    target: Path
    result: Path


@dataclass(frozen=True)
class _Failure:
    """Why a model has no answers."""

    stage: Literal["load", "predict"]
    reason: str


def _evaluate(folder: Path) -> None:
    started = time.perf_counter()
    config = folder / "config" / "job.json"
    rows = folder / "heldout" / "heldout.csv"
    job = read_job_config(config)
    with tempfile.TemporaryDirectory(prefix="evaluate-") as scratch:
        place = Path(scratch)
        candidate = _start("candidate", folder, place, rows, config)
        explaining = _ask_why(folder, place) if isinstance(candidate, _Running) else None
        champion = None
        if any((folder / "champion").glob("*.tar.gz")):
            champion = _start("champion", folder, place, rows, config)
        try:
            # The models load while this process imports numpy and reads the labels.
            from steward_jobs.heldout import read_heldout

            heldout = read_heldout(rows, job)
            answers = _finish(candidate, len(heldout.entities))
            if isinstance(answers, _Failure):
                raise JobError(f"the candidate's code failed ({answers.stage}): {answers.reason}")
            beside = _finish(champion, len(heldout.entities)) if champion else None
            attribution = _explained(explaining, folder / "output")
            figures = training_figures(place / "candidate")
        finally:
            for running in (candidate, champion, explaining):
                if isinstance(running, _Running):
                    running.process.kill()
                    running.process.wait()
    _write(folder, job, heldout, answers, beside, attribution, figures)
    log("evaluation_completed", rows=len(heldout.entities),
        seconds=round(time.perf_counter() - started, 3))  # fmt: skip


def _ask_why(folder: Path, scratch: Path) -> _Running:
    """Start to explain the candidate's answers, in a process that loads it once more."""
    target, result = scratch / "explained", scratch / "explained.json"
    command = [sys.executable, "-P", "-m", "steward_jobs", "explain"]
    rows = [folder / part / f"{part}.csv" for part in ("heldout", "train")]
    files = (scratch / "candidate", *rows, folder / "config" / "job.json", target, result)
    process = subprocess.Popen([*command, *map(str, files)], cwd=scratch)  # noqa: S603 - our own module
    return _Running(process, target, result)


def _explained(running: _Running | None, output: Path) -> AttributionBaseline | None:
    """Keep what explains the candidate's answers and return what each feature does to them.

    A model that answers rows of a kind that it never saw with an error, or not in time, has no
    explanation: that is a finding, which a policy may forbid, and no failure of the job.
    """
    from steward.domain.monitoring.baseline import AttributionBaseline

    if running is None:
        return None
    try:
        code = running.process.wait(EXPLAIN_S)
    except subprocess.TimeoutExpired:
        log("explanation_failed", stage="explain", reason=f"it took longer than {EXPLAIN_S:g} s")
        return None
    if code:
        told = {"stage": "explain", "reason": f"its process ended with code {code}"}
        if running.result.is_file():
            told = json.loads(running.result.read_text(encoding="utf-8"))
        log("explanation_failed", **told)
        return None
    output.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(running.target / EXPLANATION, output / EXPLANATION)
    content = (running.target / "attribution.json").read_text(encoding="utf-8")
    return AttributionBaseline.model_validate_json(content)


def _start(role: str, folder: Path, scratch: Path, rows: Path, config: Path) -> _Running | _Failure:
    model = scratch / role
    try:
        unpack(only_archive(folder / role), model)
    except JobError as error:
        return _Failure("load", str(error))
    return _ask(role, model, scratch, rows, config)


def _ask(role: str, model: Path, scratch: Path, rows: Path, config: Path) -> _Running:
    answers, result = scratch / f"{role}.answers", scratch / f"{role}.json"
    command = [sys.executable, "-P", "-m", "steward_jobs", "predict"]
    files = (model, rows, config, answers, result)
    process = subprocess.Popen([*command, *map(str, files)], cwd=scratch)  # noqa: S603 - our own module
    return _Running(process, answers, result)


def _finish(running: _Running | _Failure, rows: int) -> Floats | _Failure:
    import numpy as np

    if isinstance(running, _Failure):
        return running
    code = running.process.wait()
    if running.result.is_file():
        document = json.loads(running.result.read_text(encoding="utf-8"))
        return _Failure(document["stage"], document["reason"])
    if code:
        return _Failure("predict", f"its process ended with code {code}")
    with running.target.open(encoding="ascii") as lines:
        answers = np.fromiter(map(float, lines), np.float64)
    if answers.size != rows:
        return _Failure("predict", f"{answers.size} answers for {rows} held-out rows")
    return answers


def _write(
    folder: Path,
    job: JobConfig,
    heldout: Heldout,
    answers: Floats,
    beside: Floats | _Failure | None,
    attribution: AttributionBaseline | None,
    figures: TrainingFigures | None,
) -> None:
    import numpy as np

    from steward.domain.evaluation_report import ChampionEvaluation, EvaluationReport
    from steward.domain.predictions import Predictions, write_predictions
    from steward_jobs.baseline import baseline_of, write_baseline

    target = folder / "output"
    labels = np.array(heldout.labels)
    if beside is None:
        champion = ChampionEvaluation(status="absent")
    elif isinstance(beside, _Failure):
        champion = ChampionEvaluation(status="failed", stage=beside.stage, reason=beside.reason)
    else:
        judged = _judge(job, heldout, labels, beside)
        champion = ChampionEvaluation(status="evaluated", evaluation=judged)
    report = EvaluationReport(
        **dict(_judge(job, heldout, labels, answers)),
        project=job.project,
        run_id=job.run_id,
        heldout_sha256=heldout.sha256,
        feature_means=heldout.feature_means,
        champion=champion,
        simple_forecasts=_simple(job, folder, heldout, labels),
        training=figures,
    )
    target.mkdir(parents=True, exist_ok=True)
    (target / "evaluation.json").write_text(report.model_dump_json(indent=2), encoding="utf-8")
    paired = None if beside is None or isinstance(beside, _Failure) else beside
    with (target / "predictions.csv").open("w", encoding="utf-8", newline="") as stream:
        write_predictions(
            Predictions(
                heldout.entities, labels, answers, paired, heldout.slices,
                heldout.asked_on, heldout.known_on,
            ),
            stream,
        )  # fmt: skip
    train = folder / "train" / "train.csv"
    baseline = baseline_of(job, train, heldout, answers, report, attribution)
    write_baseline(baseline, target / "baseline.json")
    if job.bias is not None:
        from steward_jobs.bias import bias_of

        held = folder / "heldout" / "heldout.csv"
        content = bias_of(job, train, held, heldout, answers)
        (target / "bias.json").write_text(content, encoding="utf-8")
    files = {name: _described(target / name) for name in OUTPUTS if (target / name).is_file()}
    (target / "manifest.json").write_text(json.dumps({"files": files}), encoding="utf-8")
    shown = {estimate.metric: estimate.value for estimate in report.metrics}
    log("evaluated", **shown, champion=champion.status)


def _simple(job: JobConfig, folder: Path, heldout: Heldout, labels: Floats) -> list[SimpleForecast]:
    from steward.domain.evaluation_report import SimpleForecast
    from steward_jobs.simple_forecasts import forecasts_of

    files = folder / "train" / "train.csv", folder / "heldout" / "heldout.csv"
    return [
        SimpleForecast(
            name=found.name, without_season=found.without_season,
            metrics=_judge(job, heldout, labels, found.answers, with_slices=False).metrics,
        )
        for found in forecasts_of(job, *files)
    ]  # fmt: skip


def _judge(
    job: JobConfig, heldout: Heldout, labels: Floats, answers: Floats, *, with_slices: bool = True
) -> Evaluation:
    from steward.domain.evaluation import evaluate
    from steward.domain.predictions import lead_days

    plan = job.evaluation
    return evaluate(
        heldout.entities,
        labels,
        answers,
        task=job.task,
        slices=heldout.slices if with_slices else {},
        confidence=INTERVAL_CONFIDENCE,
        bootstrap_samples=plan["bootstrap_samples"],
        seed=plan["seed"],
        slice_minimum_rows=plan["slice_minimum_rows"],
        asked_on=heldout.asked_on,
        lead_days=lead_days(heldout.asked_on, heldout.known_on),
    )


def _described(path: Path) -> dict[str, object]:
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"sha256": digest, "bytes": path.stat().st_size}
