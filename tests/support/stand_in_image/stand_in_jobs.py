"""Entry points with the manners of the job image, steered by what a test writes into its data.

`train` and `evaluate` do what the file `plan.json` of the channel or input `config` says; `serve`
does what `plan.json` in the model says. A plan is a JSON object, its keys are read below.
"""

import itertools
import json
import os
import shutil
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

_answered = itertools.count(1)
BASE = Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))


def plan_at(path: Path) -> dict[str, Any]:
    """The plan in `path`, or an empty one."""
    return json.loads(path.read_text()) if path.is_file() else {}


def follow(plan: dict[str, Any], failure: Path) -> None:
    """Print, wait, fail: what any job can be told to do."""
    for line in plan.get("print", []):
        print(line, flush=True)  # noqa: T201
    if plan.get("ignore_sigterm"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(plan.get("sleep", 0))
    if "fail" in plan:
        failure.parent.mkdir(parents=True, exist_ok=True)
        failure.write_text(plan["fail"])
        sys.exit(plan.get("exit", 1))


def count_up(steps: int, checkpoint: Path) -> None:
    """Take steps of a tenth of a second from the last checkpoint on, and tell of each."""
    done = int(checkpoint.read_text()) if checkpoint.is_file() else 0
    print(f"from step {done}", flush=True)  # noqa: T201
    for step in range(done + 1, steps + 1):
        time.sleep(0.1)
        checkpoint.write_text(str(step))
    (BASE / "model/steps").write_text(f"{done} {steps}")


def train() -> None:
    """Copy the channel `train` and the environment's names into the model directory."""
    plan = plan_at(BASE / "input/data/config/plan.json")
    if plan.get("steps"):
        count_up(plan["steps"], BASE / "checkpoints/step")
    if plan.get("score"):
        known = json.loads((BASE / "input/config/hyperparameters.json").read_text())
        for _ in range(plan.get("epochs", 1)):
            print(f"loss={(float(known[plan['score']]) - 0.3) ** 2:.6f}", flush=True)  # noqa: T201
            time.sleep(plan.get("epoch_s", 0))
    follow(plan, BASE / "output/failure")
    model = BASE / "model"
    for source in sorted((BASE / "input/data").rglob("*")):
        if source.is_file():
            shutil.copy(source, model / source.name)
    seen = {
        "hyperparameters": json.loads((BASE / "input/config/hyperparameters.json").read_text()),
        "channels": json.loads((BASE / "input/config/inputdataconfig.json").read_text()),
        "environment": sorted(os.environ),
    }
    (model / "seen.json").write_text(json.dumps(seen))
    if plan.get("output"):
        (BASE / "output/data/extra.txt").write_text(plan["output"])


def evaluate() -> None:
    """Copy each input file into the output."""
    follow(plan_at(BASE / "processing/config/plan.json"), BASE / "output/message")
    output = BASE / "processing/output"
    for source in sorted((BASE / "processing/heldout").rglob("*")):
        if source.is_file():
            shutil.copy(source, output / source.name)
    (output / "evaluation.json").write_text(json.dumps({"arguments": sys.argv[2:]}))


class Handler(BaseHTTPRequestHandler):
    """Answers with the body it got, unless the plan or the body says otherwise."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    plan = plan_at(BASE / "model/plan.json")

    def do_GET(self) -> None:
        """The health check."""
        self._answer(200 if self.plan.get("healthy", True) else 503, b"")

    def do_POST(self) -> None:
        """An invocation."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        asked = json.loads(body) if body.startswith(b"{") else {}
        time.sleep(asked.get("sleep", 0))
        if asked.get("die"):
            os._exit(1)
        answer = {"plan": self.plan, "body": body.decode(), "count": next(_answered)}
        self._answer(asked.get("status", 200), json.dumps(answer).encode())

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        """One line for each request, as containers log them."""
        print("request", *arguments, flush=True)  # noqa: T201


def serve() -> None:
    """Serve until killed."""
    follow(Handler.plan, BASE / "output/failure")
    ThreadingHTTPServer(
        ("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Handler
    ).serve_forever()


if __name__ == "__main__":
    {"train": train, "evaluate": evaluate, "serve": serve}[sys.argv[1]]()
