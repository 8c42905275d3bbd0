"""A project's own program in a process group of its own, ended when its time is over."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_KEPT_LINES = 200
_WITHHELD = ("AWS_", "ECS_", "STEWARD_")


@dataclass(frozen=True)
class Ending:
    """How a program ended.

    Attributes:
        code: Exit code; negative for a signal.
        timed_out: Whether it was ended because its time was over.
        output: Its last lines.
    """

    code: int
    timed_out: bool
    output: str


def environment(**more: str) -> dict[str, str]:
    """Return the environment for a project's program: no credentials of the job."""
    kept = {name: v for name, v in os.environ.items() if not name.startswith(_WITHHELD)}
    return {**kept, "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1", **more}


def run(
    command: Sequence[str], folder: Path, variables: Mapping[str, str], seconds: float
) -> Ending:
    """Run a program to its end or its time's, and everything that it started with it."""
    lines: deque[str] = deque(maxlen=_KEPT_LINES)
    with subprocess.Popen(  # noqa: S603 - running the project's program is the job
        command, cwd=folder, env=dict(variables), stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True,
    ) as process:  # fmt: skip
        late = threading.Event()

        def end() -> None:
            late.set()
            _kill(process.pid)

        timer = threading.Timer(seconds, end)
        timer.start()
        try:
            assert process.stdout is not None
            for line in process.stdout:
                sys.stdout.write(line)
                lines.append(line)
            code = process.wait()
        finally:
            timer.cancel()
            _kill(process.pid)
    return Ending(code, late.is_set(), "".join(lines))


def _kill(group: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
