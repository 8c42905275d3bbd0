"""Processes that have imported what functions share, and fork an environment for whoever asks.

A cold start of Lambda unpacks, starts an interpreter and imports boto3, Powertools and pydantic.
Here one process for each set of layers imports those once (`bootstrap.py`), and an environment
is a fork of it that then imports the function alone: less processor time for each, and the pages
of the common packages are in memory once.

What is imported before the fork has no state of a function: third-party packages without
variables of their own. A function whose code brings a module of the same name is not given them.
"""

import contextlib
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from steward_local.lambdas import packages
from steward_local.processes import ENGINE_ID_VARIABLE

SHARED_MODULES = (
    "boto3.session", "botocore.client", "botocore.httpsession", "botocore.signers",
    "aws_lambda_powertools", "aws_lambda_powertools.metrics", "pydantic",
)  # fmt: skip
_PRELOAD_SECONDS = 60.0


@dataclass(frozen=True)
class Kind:
    """What environments of one fork server have in common.

    Attributes:
        search_path: Where modules are found beside the function's code.
        modules: What is imported before a fork.
        variables: Those that some package reads while it is imported.
    """

    search_path: tuple[str, ...]
    modules: tuple[str, ...]
    variables: tuple[tuple[str, str], ...]


def shared_modules(code: Path) -> tuple[str, ...]:
    """Return what may be imported before a function's code is on the path: what it has not."""
    own = {path.name.partition(".")[0] for path in code.iterdir()}
    taken = any(module.partition(".")[0] in own for module in SHARED_MODULES)
    return () if taken else SHARED_MODULES


class ForkedProcess:
    """An environment's process, with what `subprocess.Popen` says of one."""

    def __init__(
        self, server: "ForkServer", number: int, pid: int, streams: tuple[IO[bytes], ...]
    ) -> None:
        self._server = server
        self._number = number
        self.pid = pid
        self.stdin, self.stdout, self.stderr = streams

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal, or None while the process runs."""
        return self._server.code_of(self._number)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and return the exit code.

        Raises:
            subprocess.TimeoutExpired: It did not come in time.
        """
        return self._server.wait_for(self._number, timeout)

    def send_signal(self, signum: int) -> None:
        """Send a signal unless the process has ended."""
        with contextlib.suppress(ProcessLookupError):
            if self.poll() is None:
                os.kill(self.pid, signum)

    def terminate(self) -> None:
        """Ask the process to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the process."""
        self.send_signal(signal.SIGKILL)


class ForkServer:
    """The process that forks, and what it told of its children."""

    def __init__(self, kind: Kind) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            # -I -S: neither PYTHON* variables nor any site-packages directory reach a function.
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-I", "-S", "-X", "utf8"),
                    *("-X", f"pycache_prefix={packages.cache_dir() / 'compiled'}"),
                    *(str(Path(__file__).with_name("bootstrap.py")), str(theirs.fileno())),
                ],
                pass_fds=[theirs.fileno()],
                env={
                    "PATH": "/usr/local/bin:/usr/bin:/bin",
                    "LANG": "C.UTF-8",
                    "TZ": ":UTC",
                    **dict(kind.variables),
                    ENGINE_ID_VARIABLE: os.environ[ENGINE_ID_VARIABLE],
                },
                stdin=subprocess.DEVNULL,
            )
        self._ordering = threading.Lock()
        self._orders = 0
        self._started: queue.Queue[tuple[int, int]] = queue.Queue()
        self._reserved = 0
        # By the number of the order: the system gives the ids of ended processes to new ones.
        self._numbers: dict[int, int] = {}
        self._codes: dict[int, int] = {}
        self._ended = threading.Condition()
        self._gone = False
        first = {"search_path": kind.search_path, "modules": kind.modules}
        self._socket.send(json.dumps(first).encode())
        threading.Thread(target=self._listen, daemon=True, name="lambda-forks").start()

    @property
    def running(self) -> bool:
        """Whether it can fork."""
        return not self._gone and self._process.poll() is None

    def reserve(self) -> None:
        """Announce a fork, so that the server does not count as idle before it."""
        with self._ended:
            self._reserved += 1

    def release(self) -> None:
        """Take back an announced fork that did not come about."""
        with self._ended:
            self._reserved -= 1

    @property
    def idle(self) -> bool:
        """Whether none of its environments runs."""
        with self._ended:
            return self._reserved == len(self._codes)

    def close(self) -> None:
        """Let it end."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while message := self._socket.recv(4096):
                told = json.loads(message)
                if "started" in told:
                    self._numbers[told["started"]] = told["order"]
                    self._started.put((told["order"], told["started"]))
                    continue
                with self._ended:
                    self._codes[self._numbers.pop(told["ended"])] = told["code"]
                    self._ended.notify_all()
        self._process.wait()
        for pid in self._numbers:  # nobody tells of them any more, so they count as ended
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with self._ended:
            self._gone = True
            self._ended.notify_all()

    def fork(self, folder: Path, variables: dict[str, str]) -> ForkedProcess:
        """Start an environment.

        Args:
            folder: Its working directory.
            variables: All of its environment variables.

        Raises:
            OSError: The server has ended or does not answer.
        """
        reads, writes = zip(*(os.pipe() for _ in range(3)), strict=True)
        child = [reads[0], writes[1], writes[2]]
        streams = (
            os.fdopen(writes[0], "wb"), os.fdopen(reads[1], "rb"), os.fdopen(reads[2], "rb")
        )  # fmt: skip
        sent = False
        try:
            with self._ordering:
                number = self._orders = self._orders + 1
                order = {"order": number, "folder": str(folder), "variables": variables}
                socket.send_fds(self._socket, [json.dumps(order).encode()], child)
                sent = True
                pid = self._await_start(number)
        except OSError:
            if not sent:  # else it may still start; without its streams it ends at once
                self.release()
            for stream in streams:
                stream.close()
            raise
        finally:
            for descriptor in child:
                os.close(descriptor)
        return ForkedProcess(self, number, pid, streams)

    def _await_start(self, number: int) -> int:
        """Wait for the process of an order; those of orders that nobody waits for are left out."""
        deadline = time.monotonic() + _PRELOAD_SECONDS
        while self.running and time.monotonic() < deadline:
            with contextlib.suppress(queue.Empty):
                started, pid = self._started.get(timeout=0.5)
                if started == number:
                    return pid
        raise OSError("The process that forks execution environments does not answer")

    def code_of(self, number: int) -> int | None:
        """Return a child's exit code; None while it runs."""
        with self._ended:
            if number not in self._codes and self._gone:
                return -signal.SIGKILL
            return self._codes.get(number)

    def wait_for(self, number: int, timeout: float | None) -> int:
        """Wait for a child's end; see `ForkedProcess.wait`."""
        with self._ended:
            if not self._ended.wait_for(lambda: number in self._codes or self._gone, timeout):
                raise subprocess.TimeoutExpired(f"environment {number}", timeout or 0)
        return self.code_of(number) or 0


_making = threading.Lock()
_servers: dict[Kind, ForkServer] = {}


def fork(kind: Kind, folder: Path, variables: dict[str, str]) -> ForkedProcess:
    """Start an environment of a kind; see `ForkServer.fork`."""
    with _making:
        server = _server_of(kind)
        server.reserve()
    return server.fork(folder, variables)


def _server_of(kind: Kind) -> ForkServer:
    """Return the running server of a kind, a new one if need be.

    A new kind mostly replaces one (a layer was deployed again), so servers without environments
    end then.
    """
    known = _servers.get(kind)
    if known is not None and known.running:
        return known
    for other in [other for other, server in _servers.items() if server.idle]:
        _servers.pop(other).close()
    _servers[kind] = ForkServer(kind)
    return _servers[kind]
