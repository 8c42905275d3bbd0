"""Identity and end of processes on Linux, read from /proc.

A pid alone is no identity: the kernel reuses it. A process is named here by its pid and
its start time in clock ticks since boot, so a stale record never leads to a foreign process.
"""

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
ENGINE_ID_VARIABLE = "_STEWARD_ENGINE_ID"


@dataclass(frozen=True)
class ProcessId:
    """A process named beyond reuse: pid and start time (clock ticks since boot)."""

    pid: int
    started: int


@dataclass(frozen=True)
class ProcessState:
    """What /proc/<pid>/stat says about one process."""

    identity: ProcessId
    parent: int
    session: int
    zombie: bool


def read_state(pid: int) -> ProcessState | None:
    """Return the state of a process, or None when there is none of that pid."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command name is in parentheses and may itself hold spaces and parentheses.
    fields = stat.rpartition(")")[2].split()
    return ProcessState(
        identity=ProcessId(pid, int(fields[19])),
        parent=int(fields[1]),
        session=int(fields[3]),
        zombie=fields[0] == "Z",
    )


def identify(pid: int) -> ProcessId | None:
    """Return the identity of a running process."""
    state = read_state(pid)
    return None if state is None or state.zombie else state.identity


def is_running(identity: ProcessId) -> bool:
    """Say whether exactly this process still runs (a zombie has ended)."""
    return identify(identity.pid) == identity


def all_states() -> list[ProcessState]:
    """Return the state of every process that this user can see."""
    states = (read_state(int(entry.name)) for entry in _PROC.iterdir() if entry.name.isdigit())
    return [state for state in states if state is not None and not state.zombie]


def descendants(root: int) -> list[ProcessId]:
    """Return the children of a process, their children, and so on."""
    children: dict[int, list[ProcessState]] = {}
    for state in all_states():
        children.setdefault(state.parent, []).append(state)
    found: list[ProcessId] = []
    queue = [root]
    while queue:
        for child in children.get(queue.pop(), []):
            found.append(child.identity)
            queue.append(child.identity.pid)
    return found


def session_members(session: int) -> list[ProcessId]:
    """Return the processes of a session (what `setsid` opened and all it started)."""
    return [state.identity for state in all_states() if state.session == session]


def marked(engine_id: str) -> list[ProcessId]:
    """Return the processes whose environment carries the mark of this engine."""
    mark = f"{ENGINE_ID_VARIABLE}={engine_id}".encode()
    found = []
    for state in all_states():
        with contextlib.suppress(OSError):
            environ = (_PROC / str(state.identity.pid) / "environ").read_bytes()
            if mark in environ.split(b"\0"):
                found.append(state.identity)
    return found


def send(identity: ProcessId, signum: signal.Signals) -> None:
    """Send a signal to exactly this process; nothing happens when it has ended."""
    if is_running(identity):
        with contextlib.suppress(ProcessLookupError):
            os.kill(identity.pid, signum)


def wait_ended(identities: Iterable[ProcessId], timeout: float) -> list[ProcessId]:
    """Wait until the processes have ended; return those that still run after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    running = [identity for identity in identities if is_running(identity)]
    while running and time.monotonic() < deadline:
        time.sleep(0.02)
        running = [identity for identity in running if is_running(identity)]
    return running
