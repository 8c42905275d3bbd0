"""One run of the image as a local process: its environment, its output, its end."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from steward_local.authority import RoleCredentials
from steward_local.sagemaker import settings
from steward_local.sagemaker.container_logs import LogStream
from steward_local.sagemaker.image import Runner
from steward_local.sagemaker.processes import groups


@dataclass(frozen=True)
class Ending:
    """How a container ended: its exit code, or why it was ended."""

    exit_code: int
    stopped: bool = False
    timed_out: bool = False


def environment(
    runner: Runner,
    credentials: RoleCredentials,
    region: str,
    base: Path,
    variables: dict[str, str],
) -> dict[str, str]:
    """The whole environment of a container: nothing of the server's own leaks into it."""
    path = {"PYTHONPATH": runner.pythonpath} if runner.pythonpath else {}
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": os.environ.get("LANG", "C.UTF-8"),
        "HOME": str(base),
        "TMPDIR": str(base / "tmp"),
        **path,
        **variables,
        "SAGEMAKER_BASE_DIR": str(base),
        "AWS_ENDPOINT_URL": settings.current().endpoint,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        **credentials.environment(),
    }


def run(
    argv: list[str],
    env: dict[str, str],
    base: Path,
    log: LogStream,
    *,
    seconds: float,
    stop: threading.Event,
    on_lines: Callable[[list[str]], None],
    grace: float,
) -> Ending:
    """Run a container to its end, at most `seconds`, and feed its output to `log`.

    A stop request or the time limit sends SIGTERM, and SIGKILL after `grace` seconds, as
    SageMaker does.
    """
    process = groups.spawn(argv, env, base)
    assert process.stdout is not None
    reader = threading.Thread(
        target=_follow, args=(process, log, on_lines), daemon=True, name="container-output"
    )
    reader.start()
    deadline = time.monotonic() + seconds
    stopped = timed_out = False
    try:
        while process.poll() is None:
            if stop.wait(0.05 if time.monotonic() < deadline else 0):
                stopped = True
            elif time.monotonic() >= deadline:
                timed_out = True
            if stopped or timed_out:
                _end(process, grace)
                break
        process.wait()
        reader.join(5)
    finally:
        groups.release(process)
    return Ending(process.returncode, stopped, timed_out)


def _follow(
    process: subprocess.Popen[bytes], log: LogStream, on_lines: Callable[[list[str]], None]
) -> None:
    output = process.stdout
    assert output is not None
    while chunk := os.read(output.fileno(), 65_536):
        on_lines(log.feed(chunk))
    on_lines(log.close())
    output.close()


def _end(process: subprocess.Popen[bytes], grace: float) -> None:
    groups.kill(process, signal.SIGTERM)
    try:
        process.wait(grace)
    except subprocess.TimeoutExpired:
        groups.kill(process)
