"""``rehearse``: a commit's code trains on a sample, and what comes out answers recorded requests.

The same entry points train and serve as in a full run, in processes of their own. What is found
is a result and not a failure of the job: ``rehearsal.json`` says it.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from steward_jobs import bounded, rehearsal_requests
from steward_jobs.container import JobError, base_dir, log, write_failure
from steward_jobs.failure_place import log_place, place_of

RESULT = "rehearsal.json"
_START_S = 60.0
_STOP_S = 25.0
_ROOT = Path(__file__).resolve().parent.parent
_NAMED = 20
_OWN_WORDS = "the source has no "
"""How our own refusal of a source begins, which names files alone."""


def main(_arguments: list[str]) -> int:
    """Rehearse once and return the exit code: 0 whatever is found."""
    folder = base_dir() / "processing"
    try:
        found = _rehearse(folder / "input")
    except JobError as error:
        write_failure(str(error), "failure", "message")
        log("rehearsal_not_run", reason=str(error))
        return 1
    (folder / "output").mkdir(parents=True, exist_ok=True)
    (folder / "output" / RESULT).write_text(json.dumps(found), encoding="utf-8")
    log("rehearsal_ended", passed=found["passed"], summary=found["summary"])
    return 0


def _rehearse(given: Path) -> dict[str, Any]:
    try:
        told = json.loads((given / "rehearsal.json").read_text(encoding="utf-8"))
        cases = rehearsal_requests.cases(given)
    except (OSError, ValueError, KeyError) as error:
        raise JobError(f"the rehearsal's input is not whole: {error!r}") from error
    with tempfile.TemporaryDirectory(prefix="rehearsal-") as scratch:
        base = Path(scratch)
        _lay_out(given, base, told["hyperparameters"])
        began = time.perf_counter()
        ending = bounded.run(
            [sys.executable, "-P", "-m", "steward_jobs", "train"], base, _variables(base),
            float(told["timeout_s"]),
        )  # fmt: skip
        seconds = round(time.perf_counter() - began, 3)
        if ending.timed_out:
            return _failed(f"training on the sample took longer than {told['timeout_s']} s")
        if ending.code:
            return _failed(f"training on the sample failed: {_why(base, ending.output)}")
        faults, answers = _ask(base, cases, told.get("max_latency_ms"))
    recorded = rehearsal_requests.described(given, cases, answers)
    if faults:
        why = f"{len(faults)} of {len(cases)} requests broke the contract: {faults[0]}"
        why += f"; what the model answered: {log_place()}"
        return {**_failed(why, faults), "recorded": recorded}
    summary = f"trained on {told['sample']} in {seconds} s; {len(cases)} requests kept the contract"
    return {
        "passed": True, "summary": summary + rehearsal_requests.told(given, recorded), "failed": [],
        "train_s": seconds, "recorded": recorded,
    }  # fmt: skip


def _why(base: Path, output: str) -> str:
    """Return where training broke; what it said may hold values of the sample's people."""
    reason = base / "output" / "failure"
    text = reason.read_text(encoding="utf-8") if reason.is_file() else ""
    if text.startswith(_OWN_WORDS):
        return text
    place = place_of(text) or place_of(output) or "the script ended with an error"
    return f"{place}; its output: {log_place()}"


def _failed(summary: str, faults: list[str] | None = None) -> dict[str, Any]:
    return {"passed": False, "summary": summary, "failed": (faults or [])[:_NAMED]}


def _variables(base: Path, **more: str) -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH", "")]))
    return bounded.environment(SAGEMAKER_BASE_DIR=str(base), PYTHONPATH=path, **more)


def _lay_out(given: Path, base: Path, hyperparameters: dict[str, str]) -> None:
    """Make the folders that SageMaker mounts for training."""
    data = base / "input" / "data"
    for channel, name in (
        ("code", "code.tar.gz"), ("train", "train.csv"), ("config", "job.json"),
    ):  # fmt: skip
        (data / channel).mkdir(parents=True)
        (data / channel / name).write_bytes((given / name).read_bytes())
    (base / "input" / "config").mkdir()
    (base / "input" / "config" / "hyperparameters.json").write_text(
        json.dumps(hyperparameters), encoding="utf-8"
    )


def _ask(
    base: Path, cases: list[dict[str, Any]], limit_ms: float | None
) -> tuple[list[str], list[rehearsal_requests.Answer]]:
    """Serve the model and return what broke the contract, and the answer to each request."""
    port = _free_port()
    variables = _variables(base, SAGEMAKER_BIND_TO_PORT=str(port))
    command = [sys.executable, "-P", "-m", "steward_jobs", "serve"]
    process = subprocess.Popen(  # noqa: S603 - our own module
        command, cwd=base, env=variables, start_new_session=True
    )
    try:
        if not _is_up(process, port):
            return ["the model does not come up"], []
        answers = [rehearsal_requests.ask(port, case, limit_ms) for case in cases]
        return [answer.fault for answer in answers if answer.fault], answers
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _is_up(process: subprocess.Popen[bytes], port: int) -> bool:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if rehearsal_requests.send(port, "GET", "/ping", b"", "application/json")[0] == 200:
                return True
        except OSError:
            pass
        time.sleep(0.05)
    return False
