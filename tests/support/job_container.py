"""A folder that stands for ``/opt/ml``, and the job image's commands run in it as processes."""

from __future__ import annotations

import csv
import http.client
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from steward.domain.datasets import job_description
from steward.domain.project import Project
from steward.domain.splits import part_of
from steward_cli.sources import read_source
from support.rendered import rendered

ROOT = Path(__file__).parents[2]
DIABETES = ROOT / "projects" / "diabetes"
TABULAR = rendered("tabular-classification", training="script")


def load_project(folder: Path) -> Project:
    """The project that a folder declares."""
    return read_source(folder).project


def job_document(project: Project, run_id: str = "0123456789ab-1") -> dict[str, Any]:
    """``job.json`` as the dataset builder writes it."""
    return job_description(project, run_id)


def pack(folder: Path | Mapping[str, str], archive: Path) -> Path:
    """Pack a folder, or files given by name and text, as tar.gz."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive, "w:gz") as tar:
        if isinstance(folder, Path):
            for path in sorted(folder.iterdir()):
                if path.name != "__pycache__":
                    tar.add(path, path.name)
        else:
            for name, text in folder.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(text.encode())
                tar.addfile(entry, io.BytesIO(text.encode()))
    return archive


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write rows as CSV with a header, an empty cell for None."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


def part(rows: Sequence[Mapping[str, Any]], project: Project, wanted: str) -> list[dict[str, Any]]:
    """The rows of one part of a project's split."""
    split = project.split
    return [
        dict(row)
        for row in rows
        if part_of(
            str(row[project.data.entity_id]),
            salt=split.salt,
            traffic=split.traffic,
            heldout=split.heldout,
        )
        == wanted
    ]


@dataclass
class Container:
    """One container: its base folder and how to run the image's commands in it."""

    base: Path
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, command: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, with nothing of this process's environment but PATH."""
        return subprocess.run(
            self._command(command), env=self._environment(), cwd=self.base, timeout=timeout_s,
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    def start(self, command: str, **environment: str) -> subprocess.Popen[str]:
        """Start a command and leave it running."""
        return subprocess.Popen(
            self._command(command), env={**self._environment(), **environment}, cwd=self.base,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def prepare_training(
        self,
        source: Path | Mapping[str, str],
        rows: Sequence[Mapping[str, Any]],
        job: Mapping[str, Any],
        **hyperparameters: str,
    ) -> None:
        """Lay out the channels and hyperparameters of a training job."""
        channels = self.base / "input" / "data"
        pack(source, channels / "code" / "source.tar.gz")
        write_rows(channels / "train" / "train.csv", rows)
        (channels / "config").mkdir(parents=True, exist_ok=True)
        (channels / "config" / "job.json").write_text(json.dumps(job))
        config = self.base / "input" / "config"
        config.mkdir(parents=True, exist_ok=True)
        document = {"sagemaker_program": "train.py", **hyperparameters}
        (config / "hyperparameters.json").write_text(json.dumps(document))

    def prepare_evaluation(
        self,
        candidate: Path | Mapping[str, str],
        rows: Sequence[Mapping[str, Any]],
        job: Mapping[str, Any],
        champion: Path | Mapping[str, str] | None = None,
        *,
        train: Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        """Lay out the inputs of a processing job.

        Args:
            train: The training rows; the held-out ones where they do not matter.
        """
        inputs = self.base / "processing"
        pack(candidate, inputs / "candidate" / "model.tar.gz")
        if champion is not None:
            pack(champion, inputs / "champion" / "model.tar.gz")
        write_rows(inputs / "heldout" / "heldout.csv", rows)
        write_rows(inputs / "train" / "train.csv", rows if train is None else train)
        (inputs / "config").mkdir(parents=True, exist_ok=True)
        (inputs / "config" / "job.json").write_text(json.dumps(job))

    def output(self, name: str) -> Any:
        """A JSON document that the evaluation wrote."""
        return json.loads((self.base / "processing" / "output" / name).read_text())

    @property
    def failure(self) -> str:
        """What the job left for SageMaker to show."""
        return (self.base / "output" / "failure").read_text()

    def _command(self, command: str) -> list[str]:
        return [sys.executable, "-m", "steward_jobs", command]

    def _environment(self) -> dict[str, str]:
        own = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "SAGEMAKER_BASE_DIR": str(self.base)}
        return {**own, **self.environment}


def trained(
    base: Path, source: Path, rows: Sequence[Mapping[str, Any]], job: Mapping[str, Any]
) -> Path:
    """Train in a container and return its model folder."""
    container = Container(base)
    container.prepare_training(source, rows, job, C="0.1")
    done = container.run("train")
    assert done.returncode == 0, done.stderr
    return base / "model"


@dataclass
class Answer:
    """An answer of the endpoint."""

    status: int
    content_type: str
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass
class Endpoint:
    """A running ``serve`` process."""

    process: subprocess.Popen[str]
    port: int

    def ask(
        self, body: object, *, content_type: str = "application/json", **headers: str
    ) -> Answer:
        """POST /invocations; what is no text is sent as JSON."""
        raw = body if isinstance(body, str | bytes) else json.dumps(body)
        return self.request("POST", "/invocations", raw, {"Content-Type": content_type, **headers})

    def request(
        self, method: str, path: str, body: str | bytes = b"", headers: Mapping[str, str] = {}
    ) -> Answer:
        """One request on its own connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, dict(headers))
            response = connection.getresponse()
            return Answer(response.status, response.headers["Content-Type"], response.read())
        finally:
            connection.close()

    def stop(self) -> list[dict[str, Any]]:
        """Send SIGTERM, wait for the end and return the structured log lines."""
        self.process.terminate()
        out, _ = self.process.communicate(timeout=60)
        return [json.loads(line) for line in out.splitlines() if line.startswith("{")]


@contextmanager
def serving(base: Path, model: Path, **environment: str) -> Iterator[Endpoint]:
    """Serve a copy of a model folder and wait until it is healthy."""
    shutil.copytree(model, base / "model")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = Container(base).start("serve", SAGEMAKER_BIND_TO_PORT=str(port), **environment)
    endpoint = Endpoint(process, port)
    try:
        deadline = time.monotonic() + 90
        while process.poll() is None and time.monotonic() < deadline:
            try:
                if endpoint.request("GET", "/ping").status == 200:
                    break
            except OSError:
                pass
            time.sleep(0.02)
        else:
            raise AssertionError(f"not healthy: {process.communicate(timeout=5)[0]}")
        yield endpoint
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()
