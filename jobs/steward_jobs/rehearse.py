"""``rehearse``: a commit's code trains on a sample, and what comes out answers recorded requests.

The same entry points train and serve as in a full run, in processes of their own. What is found
is a result and not a failure of the job: ``rehearsal.json`` says it.
"""

from __future__ import annotations

import http.client
import json
import math
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from steward_jobs import bounded
from steward_jobs.container import JobError, base_dir, log, write_failure

RESULT = "rehearsal.json"
_START_S = 60.0
_STOP_S = 25.0
_ANSWER_S = 30.0
_ROOT = Path(__file__).resolve().parent.parent
_NAMED = 20


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
        cases = _cases(given)
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
            reason = base / "output" / "failure"
            text = reason.read_text(encoding="utf-8") if reason.is_file() else ending.output
            return _failed(f"training on the sample failed: {text[-1500:].strip()}")
        faults, asked = _ask(base, cases)
    note = _changed_contract(given)
    if faults:
        return _failed(f"{len(faults)} of {asked} requests broke the contract: {faults[0]}", faults)
    summary = f"trained on {told['sample']} in {seconds} s; {asked} requests kept the contract"
    return {"passed": True, "summary": summary + note, "failed": [], "train_s": seconds}


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


def _cases(given: Path) -> list[dict[str, Any]]:
    """Return the requests of the sample, and the recorded ones whose features are the same."""
    own = json.loads((given / "examples.json").read_text(encoding="utf-8"))
    cases = list(own["cases"])
    if not _changed_contract(given) and (given / "recorded.json").is_file():
        recorded = json.loads((given / "recorded.json").read_text(encoding="utf-8"))
        cases += [
            {**case, "name": f"recorded {case['name']}"}
            for case in recorded["cases"]
            if case["kind"] == "valid"
        ]
    return cases


def _changed_contract(given: Path) -> str:
    """Return how the requests differ from the recorded ones, empty where they do not."""
    if not (given / "recorded.json").is_file():
        return ""
    own = json.loads((given / "examples.json").read_text(encoding="utf-8"))["features"]
    recorded = json.loads((given / "recorded.json").read_text(encoding="utf-8"))["features"]
    if set(own) == set(recorded):
        return ""
    signs = [*(f"+{n}" for n in own if n not in recorded), *(
        f"-{n}" for n in recorded if n not in own
    )]  # fmt: skip
    return f"; recorded requests were not asked, since the features change: {' '.join(signs)}"


def _ask(base: Path, cases: list[dict[str, Any]]) -> tuple[list[str], int]:
    """Serve the model and return what broke the contract, and how many requests were asked."""
    port = _free_port()
    variables = _variables(base, SAGEMAKER_BIND_TO_PORT=str(port))
    command = [sys.executable, "-P", "-m", "steward_jobs", "serve"]
    process = subprocess.Popen(  # noqa: S603 - our own module
        command, cwd=base, env=variables, start_new_session=True
    )
    try:
        if not _is_up(process, port):
            return ["the model does not come up: see the job's log"], 1
        faults = [fault for case in cases if (fault := _fault(port, case))]
        return faults, len(cases)
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
            if _request(port, "GET", "/ping", b"", "application/json")[0] == 200:
                return True
        except OSError:
            pass
        time.sleep(0.05)
    return False


def _request(port: int, method: str, path: str, body: bytes, content: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_ANSWER_S)
    try:
        connection.request(method, path, body, {"Content-Type": content, "Accept": content})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def _fault(port: int, case: dict[str, Any]) -> str | None:
    """Ask one request; return what is wrong with the answer."""
    body = case["body"] if isinstance(case["body"], str) else json.dumps(case["body"])
    try:
        status, answer = _request(port, "POST", "/invocations", body.encode(), case["content_type"])
    except (OSError, http.client.HTTPException) as error:
        return f"{case['name']}: no answer ({type(error).__name__})"
    wanted = case["expect"]
    if status != wanted["status"]:
        told = answer[:200].decode(errors="replace")
        return f"{case['name']}: status {status} instead of {wanted['status']}: {told}"
    if case["kind"] != "valid":
        named = wanted["field"] in answer.decode(errors="replace")
        return None if named else f"{case['name']}: refused without naming {wanted['field']}"
    values = _predictions(answer, case["content_type"])
    if values is None or len(values) != wanted["predictions"]:
        count = "no" if values is None else len(values)
        return f"{case['name']}: {count} predictions instead of {wanted['predictions']}"
    if not all(math.isfinite(value) for value in values):
        return f"{case['name']}: a prediction is no number"
    return None


def _predictions(answer: bytes, content: str) -> list[float] | None:
    try:
        if content == "text/csv":
            return [float(line) for line in answer.decode().split()]
        found = json.loads(answer)["predictions"]
        return [_number(prediction) for prediction in found]
    except (ValueError, KeyError, TypeError):
        return None


def _number(prediction: Any) -> float:
    """Return the figure of a prediction: ``probability`` of a class, or ``value``."""
    if not isinstance(prediction, dict):
        return float(prediction)
    return float(prediction["probability"] if "probability" in prediction else prediction["value"])
