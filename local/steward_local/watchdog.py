"""Ends what a killed engine leaves behind; run as a script beside the server.

The server holds the other end of this process's standard input. When the server ends in
any way, SIGKILL included, the pipe closes, and every process of the server's session and
every process that carries the engine's mark in its environment is killed.
"""

import contextlib
import os
import signal
import sys
from pathlib import Path


def _session_of(pid: str) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[3])


def _belongs(pid: str, session: int, mark: bytes) -> bool:
    with contextlib.suppress(OSError):
        if _session_of(pid) == session:
            return True
        return mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return False


def main(session: int, mark: str) -> None:
    """Wait for the end of the server, then kill what is left of its session."""
    while os.read(0, 4096):
        pass
    own = os.getpid()
    for _ in range(3):  # a process may be starting another while it is killed
        for entry in os.listdir("/proc"):  # noqa: PTH208  (a script on the bare standard library)
            if entry.isdigit() and int(entry) != own and _belongs(entry, session, mark.encode()):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(int(entry), signal.SIGKILL)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
