"""Start, stop and death of the embedded AWS: nothing is left, nothing foreign is touched."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from steward_local import engine as embedded
from steward_local.errors import (
    EngineAlreadyRunningError,
    EngineNotRunningError,
    PortInUseError,
)
from steward_local.processes import ProcessId, descendants, identify, is_running, wait_ended
from support.embedded import Account, Keys

pytestmark = pytest.mark.integration


def test_second_start_is_refused_and_leaves_the_first_running(engine: embedded.Engine) -> None:
    with pytest.raises(EngineAlreadyRunningError, match=str(engine.pid)):
        embedded.start(engine.state_dir)
    assert embedded.attach(engine.state_dir) == engine


def test_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortInUseError, match=str(port)):
            embedded.start(tmp_path, port=port)
    with pytest.raises(EngineNotRunningError):
        embedded.attach(tmp_path)


def test_engine_listens_on_loopback_only_and_on_one_port(engine: embedded.Engine) -> None:
    listening = [
        line.split()
        for kind in ("tcp", "tcp6")
        for line in Path(f"/proc/{engine.pid}/net/{kind}").read_text().splitlines()[1:]
        if line.split()[3] == "0A"
    ]
    inodes = {str(fd.readlink()) for fd in Path(f"/proc/{engine.pid}/fd").iterdir()}
    own = [fields[1] for fields in listening if f"socket:[{fields[9]}]" in inodes]
    assert own == [f"0100007F:{engine.port:04X}"]


def test_root_key_is_random_and_its_signature_is_checked(account: Account) -> None:
    assert account.client("sts").get_caller_identity()["Arn"].endswith(":root")
    for keys in (
        Keys("test", "test"),
        Keys("000000000000", account.root.secret_key),
        Keys(account.root.access_key, "wrong"),
    ):
        with pytest.raises(ClientError, match=r"InvalidClientTokenId|Unrecognized|Signature"):
            account.client("iam", keys).list_roles()


def test_record_is_readable_by_its_owner_only(engine: embedded.Engine) -> None:
    assert (engine.state_dir / "engine.json").stat().st_mode & 0o777 == 0o600


def test_stop_ends_functions_that_are_running(tmp_path: Path) -> None:
    engine = embedded.start(tmp_path)
    try:
        family = _busy_family(engine)
    finally:
        embedded.stop(tmp_path)
    assert wait_ended(family, timeout=0) == []
    assert not (tmp_path / "engine.json").exists()
    assert not (tmp_path / "tmp").exists()
    with pytest.raises(EngineNotRunningError):
        embedded.stop(tmp_path)


def test_nothing_outlives_a_killed_server(tmp_path: Path) -> None:
    engine = embedded.start(tmp_path)
    try:
        family = _busy_family(engine)
        os.kill(engine.pid, signal.SIGKILL)
        assert wait_ended([engine.process, *family], timeout=60) == []
    finally:
        with pytest.raises(EngineNotRunningError, match="had already ended"):
            embedded.stop(tmp_path)


def test_stale_record_is_cleaned_up_and_its_pid_is_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as foreign:
        identity = identify(foreign.pid)
        assert identity is not None
        record = {
            "engine_id": "0" * 16,
            "pid": foreign.pid,
            "started": identity.started - 1,
            "port": 1,
            "access_key": "a",
            "secret_key": "b",
            "time_scale": 1.0,
        }
        (tmp_path / "engine.json").write_text(json.dumps(record))
        messages: list[str] = []
        embedded.start(tmp_path, on_message=messages.append)
        try:
            assert is_running(identity)
            assert str(foreign.pid) in messages[0]
        finally:
            embedded.stop(tmp_path)
            foreign.kill()


def _busy_family(engine: embedded.Engine) -> list[ProcessId]:
    """Start a function that neither returns nor reads, and return the engine's descendants."""
    with Account(engine) as account:
        name = account.function(
            "import time\ndef handler(event, context): time.sleep(100)", Timeout=120
        )
        account.client("lambda").invoke(FunctionName=name, InvocationType="Event", Payload=b"{}")
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            family = descendants(engine.pid)
            if len(family) >= 2:  # the watchdog and the function
                return family
            time.sleep(0.05)
    raise AssertionError("the function did not start")
