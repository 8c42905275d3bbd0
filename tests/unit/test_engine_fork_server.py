"""What the engine keeps of environments: by their orders, since ids of processes come again."""

from __future__ import annotations

import json
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

from steward_local.lambdas.fork_server import ForkServer


class _Process:
    """A process that forks, as long as its socket is open."""

    def poll(self) -> int | None:
        return None

    def wait(self) -> int:
        return 0


@pytest.fixture
def played() -> Any:
    """A server whose process the test plays, and the socket to play it with."""
    server: Any = object.__new__(ForkServer)
    server._socket, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    server._process = _Process()
    server._started, server._ended = queue.Queue(), threading.Condition()
    server._numbers, server._codes, server._gone, server._reserved = {}, {}, False, 2
    listening = threading.Thread(target=server._listen)
    listening.start()
    yield server, lambda told: other.send(json.dumps(told).encode()) if told else other.close()
    other.close()
    listening.join()
    server._socket.close()


def test_a_process_with_the_id_of_an_ended_one_runs(played: Any) -> None:
    server, tell = played
    tell({"started": 7, "order": 1})
    tell({"ended": 7, "code": 3})
    assert server.wait_for(1, 10) == 3
    assert not server.idle
    tell({"started": 7, "order": 2})
    assert server._await_start(1) == 7
    assert server._await_start(2) == 7
    assert (server.code_of(1), server.code_of(2)) == (3, None)
    tell({"ended": 7, "code": 0})
    assert server.wait_for(2, 10) == 0
    assert server.idle


def test_the_late_start_of_an_earlier_order_is_not_taken_for_the_next(played: Any) -> None:
    server, tell = played
    tell({"started": 7, "order": 1})
    tell({"started": 8, "order": 2})
    began = time.monotonic()
    assert server._await_start(2) == 8
    assert time.monotonic() - began < 5


def test_environments_do_not_outlive_the_process_that_forked_them(played: Any) -> None:
    server, tell = played
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as environment:
        tell({"started": environment.pid, "order": 1})
        assert server._await_start(1) == environment.pid
        tell(None)
        assert server.wait_for(1, 10) == -signal.SIGKILL
        assert environment.wait(10) == -signal.SIGKILL
