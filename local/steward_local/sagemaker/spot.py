"""Spare capacity for training jobs, which this engine takes back when it is told to.

``spot.json`` in the engine's state directory maps texts to interruptions: ``{"text": {"after_s":
1.5, "times": 1, "away_s": 0.5}}`` interrupts each managed spot job whose name holds the text,
``times`` times, ``after_s`` after its container began; capacity is away for ``away_s``. Without
the file, nothing is taken back. An interrupted container gets SIGTERM, its checkpoints lie in S3,
and the next container finds them in ``/opt/ml/checkpoints``.

Sources: "Managed Spot Training in Amazon SageMaker AI" and "Checkpoints in Amazon SageMaker AI"
(developer guide). The share of the time that is billed is no rule of AWS: there it is the market's.
"""

from __future__ import annotations

import contextlib
import json
import math
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steward_local.sagemaker import settings
from steward_local.sagemaker.container import Ending
from steward_local.sagemaker.s3_files import RoleFiles, TransferError
from steward_local.sagemaker.store import Job, Store, now

FILE = "spot.json"
BILLED_SHARE = 0.3
"""Of spare capacity's seconds; AWS names savings of up to 90 %."""
_UPLOAD_S = 0.5


class WaitExceededError(Exception):
    """Training and waiting took longer than ``MaxWaitTimeInSeconds``."""


@dataclass(frozen=True)
class _Interruption:
    after_s: float
    away_s: float


def billable(request: dict[str, Any], seconds: int) -> int:
    """Return the seconds that are billed of those that a job trained."""
    if not request.get("EnableManagedSpotTraining"):
        return seconds
    return max(1, math.ceil(seconds * BILLED_SHARE))


def until_done(
    at: Store,
    job: Job,
    base: Path,
    files: RoleFiles,
    lay_out: Callable[[], None],
    train: Callable[[threading.Event], Ending],
) -> Ending:
    """Run the container until it ends by itself, however often its capacity is taken back.

    Args:
        at: The store.
        job: The job.
        base: What stands for ``/opt/ml``.
        files: S3 in the name of the job's role.
        lay_out: Brings the inputs: a new machine has nothing of what the last container had.
        train: Runs the container once; ends it when the event is set.

    Raises:
        WaitExceededError: The job waited and trained too long.
    """
    from steward_local.sagemaker.training_run import advance

    config = job.request.get("CheckpointConfig") or {}
    checkpoints = _Checkpoints(base, config, files)
    checkpoints.restore()
    interruptions = _interruptions(job)
    while True:
        advance(at, job, "Training")
        next_one = interruptions.pop(0) if interruptions else None
        ending, interrupted = _once(job, checkpoints, train, next_one)
        if not interrupted:
            return ending
        assert next_one is not None
        advance(at, job, "Interrupted")
        _wait(job, next_one.away_s)
        if job.stop.is_set():
            return Ending(ending.exit_code, stopped=True)
        advance(at, job, "Starting", "Insufficient capacity is over: starting again")
        shutil.rmtree(base)
        advance(at, job, "Downloading")
        lay_out()
        checkpoints = _Checkpoints(base, config, files)
        checkpoints.restore()


def _once(
    job: Job,
    checkpoints: _Checkpoints,
    train: Callable[[threading.Event], Ending],
    interruption: _Interruption | None,
) -> tuple[Ending, bool]:
    """Run the container once; return how it ended, and whether its capacity was taken back."""
    ends, taken, over = threading.Event(), threading.Event(), threading.Event()

    def watch() -> None:
        began = time.monotonic()
        while not over.wait(0.05):
            if job.stop.is_set():
                ends.set()
                return
            if interruption is not None and time.monotonic() - began >= interruption.after_s:
                taken.set()
                ends.set()
                return

    def upload() -> None:
        while not over.wait(_UPLOAD_S):
            with contextlib.suppress(TransferError):  # told at the end
                checkpoints.save()

    threads = [
        threading.Thread(target=watch, daemon=True, name="spot-watch"),
        threading.Thread(target=upload, daemon=True, name="checkpoints"),
    ]
    for thread in threads:
        thread.start()
    try:
        ending = train(ends)
    finally:
        over.set()
        for thread in threads:
            thread.join()
        checkpoints.save()
    return ending, taken.is_set() and ending.stopped and not job.stop.is_set()


def _wait(job: Job, seconds: float) -> None:
    longest = job.request["StoppingCondition"].get("MaxWaitTimeInSeconds", math.inf)
    job.stop.wait(seconds)
    if now() - job.record["CreationTime"] > longest:
        raise WaitExceededError


def _interruptions(job: Job) -> list[_Interruption]:
    if not job.request.get("EnableManagedSpotTraining"):
        return []
    try:
        told = json.loads((settings.current().state / FILE).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return []
    for text, plan in told.items():
        if text in job.record["TrainingJobName"]:
            one = _Interruption(float(plan.get("after_s", 1)), float(plan.get("away_s", 0)))
            return [one] * int(plan.get("times", 1))
    return []


class _Checkpoints:
    """The folder of a job's checkpoints and its copy in S3, if it declares any."""

    def __init__(self, base: Path, config: dict[str, Any], files: RoleFiles) -> None:
        path = str(config.get("LocalPath", "/opt/ml/checkpoints"))
        self.folder = base / path.removeprefix("/opt/ml").lstrip("/")
        self._uri = str(config["S3Uri"]).rstrip("/") if config else None
        self._files = files
        self._saved: dict[Path, int] = {}

    def restore(self) -> None:
        """Bring what was saved back; a job's first container may find nothing."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._uri is not None and self._files.probe(f"{self._uri}/") == "found":
            self._files.download_prefix(f"{self._uri}/", self.folder)

    def save(self) -> None:
        """Copy what changed since to S3; a file that is gone meanwhile is left out.

        Raises:
            TransferError: The job's role may not write there.
        """
        if self._uri is None:
            return
        for path in sorted(path for path in self.folder.rglob("*") if path.is_file()):
            try:
                stamp = path.stat().st_mtime_ns
                if self._saved.get(path) != stamp:
                    self._files.upload(path, f"{self._uri}/{path.relative_to(self.folder)}")
                    self._saved[path] = stamp
            except FileNotFoundError:
                continue
