"""Containers as local process groups within the server's session.

Each container is a process group of its own, so that ending it ends what it started. All stay in
the server's session, whose members the engine's watchdog kills whatever way the server ends.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from pathlib import Path


class Groups:
    """Starts process groups and ends them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[int] = set()

    def spawn(self, argv: list[str], env: dict[str, str], cwd: Path) -> subprocess.Popen[bytes]:
        """Start `argv` as a group of its own, stdout and stderr in one pipe."""
        with self._lock:
            process = subprocess.Popen(
                argv,
                env=env,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                process_group=0,
            )
            self._running.add(process.pid)
        return process

    def kill(self, process: subprocess.Popen[bytes], sig: int = signal.SIGKILL) -> None:
        """Send `sig` to the whole group."""
        with contextlib.suppress(OSError):
            os.killpg(process.pid, sig)

    def release(self, process: subprocess.Popen[bytes]) -> None:
        """Kill what is left of a group and forget it."""
        self.kill(process)
        with self._lock:
            self._running.discard(process.pid)

    def kill_all(self) -> None:
        """Kill every group; called when the server stops or is reset."""
        with self._lock:
            for group in self._running:
                with contextlib.suppress(OSError):
                    os.killpg(group, signal.SIGKILL)
            self._running.clear()


groups = Groups()
