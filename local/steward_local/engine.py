"""Start, find and stop the embedded AWS.

One engine serves one state directory. `engine.json` there names the server process by pid
and start time, so a record of an ended server never leads to a foreign process.
"""

import contextlib
import fcntl
import json
import logging
import os
import secrets
import shutil
import signal
import socket
import string
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from steward_local import pace
from steward_local.errors import (
    EngineAlreadyRunningError,
    EngineNotRunningError,
    EngineStartError,
    EngineStopError,
    PortInUseError,
)
from steward_local.processes import (
    ENGINE_ID_VARIABLE,
    ProcessId,
    descendants,
    identify,
    is_running,
    marked,
    send,
    session_members,
    wait_ended,
)

DEFAULT_STATE_DIR = Path(".steward")
_HOST = "127.0.0.1"
_HEALTHY_WITHIN_SECONDS = 60
_GRACE_SECONDS = 6
_log = logging.getLogger(__name__)
# Servers started by this process: their end is collected by `stop`.
_servers: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True)
class Engine:
    """A running embedded AWS.

    Attributes:
        endpoint: URL for `AWS_ENDPOINT_URL`.
        access_key: Access key of the account's root, random for each engine.
        secret_key: Its secret.
        pid: Server process; `started` is its start time in clock ticks since boot.
        time_scale: Waits last 1/time_scale of their time on AWS.
        account: Whose root the keys are.
    """

    state_dir: Path
    engine_id: str
    pid: int
    started: int
    port: int
    access_key: str
    secret_key: str
    time_scale: float
    region: str = "us-east-1"
    account: str = "000000000000"

    @property
    def endpoint(self) -> str:
        """The URL that answers for every service."""
        return f"http://{_HOST}:{self.port}"

    @property
    def mailbox(self) -> Path:
        """The directory that receives SNS mail, one `.eml` file a message."""
        return self.state_dir / "mail"

    @property
    def log(self) -> Path:
        """What the server process prints."""
        return self.state_dir / "engine.log"

    @property
    def process(self) -> ProcessId:
        """The server process, named beyond pid reuse."""
        return ProcessId(self.pid, self.started)

    def seen_by(self, account: str) -> "Engine":
        """Return this engine as the root of another account, whose key is the account's number."""
        return replace(self, access_key=account, account=account)

    def recorded_in(self, state_dir: Path) -> "Engine":
        """Record this engine in a directory of its own, so that commands there find it.

        Only the directory that it was started in stops it.
        """
        seen = replace(self, state_dir=state_dir.resolve())
        _write_record(seen)
        return seen

    def environment(self) -> dict[str, str]:
        """Return the variables that point `aws`, boto3 and `sam` at this engine as its root."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            # Without it SDKs ask a metadata service that is not there before they give up.
            "AWS_EC2_METADATA_DISABLED": "true",
        }


def start(
    state_dir: Path | str = DEFAULT_STATE_DIR,
    *,
    port: int | None = None,
    time_scale: float = 1.0,
    confirm_mail: bool = True,
    offline_store_delay: float = 15 * 60,
    on_message: Callable[[str], None] = _log.info,
) -> Engine:
    """Start an engine on loopback and return it once it answers.

    Args:
        state_dir: Where it keeps its record, log, temporary files and mail.
        port: A fixed port; a free one by default.
        time_scale: Factor by which waits are shortened, > 0.
        confirm_mail: Confirm mail subscriptions at once; otherwise each gets SNS's
            confirmation mail and stays pending until its link is followed.
        offline_store_delay: Seconds of AWS's time that the feature store buffers records
            before it writes them to its offline store.
        on_message: Told what was cleaned up.

    Raises:
        EngineAlreadyRunningError: An engine serves `state_dir`.
        PortInUseError: `port` is taken.
        EngineStartError: The server ended or was not healthy in time; has the log's end.
    """
    if time_scale <= 0:
        raise ValueError(f"time_scale must be above 0, not {time_scale}")
    directory = Path(state_dir).resolve()
    directory.mkdir(parents=True, exist_ok=True)
    with _locked(directory):
        running = _read_record(directory)
        if running is not None:
            if is_running(running.process):
                raise EngineAlreadyRunningError(
                    f"An embedded AWS already runs at {running.endpoint} "
                    f"(pid {running.pid}, state in {directory}); `steward down` stops it."
                )
            _clean_up(running)
            on_message(
                f"The engine with pid {running.pid} ended without cleaning up; "
                f"removed what it left in {directory}."
            )
        with _listening_socket(port) as listener:
            settings = {
                pace.TIME_SCALE_VARIABLE: str(time_scale),
                "STEWARD_CONFIRM_MAIL": "1" if confirm_mail else "0",
                "STEWARD_OFFLINE_STORE_SECONDS": str(offline_store_delay),
            }
            return _launch(directory, listener, settings)


def attach(state_dir: Path | str = DEFAULT_STATE_DIR) -> Engine:
    """Return the engine that serves `state_dir`.

    Raises:
        EngineNotRunningError: There is none, or its process has ended.
    """
    directory = Path(state_dir).resolve()
    engine = _read_record(directory)
    if engine is None:
        raise EngineNotRunningError(
            f"No embedded AWS runs for {directory}; `steward up` starts it."
        )
    if not is_running(engine.process):
        raise EngineNotRunningError(
            f"The embedded AWS of {directory} (pid {engine.pid}) has ended; `steward up` starts it."
        )
    return engine


def stop(state_dir: Path | str = DEFAULT_STATE_DIR) -> None:
    """End the engine of `state_dir` and every process that it started.

    Raises:
        EngineNotRunningError: There is none.
        EngineStopError: A process survived SIGKILL.
    """
    directory = Path(state_dir).resolve()
    if not directory.is_dir():
        raise EngineNotRunningError(f"No embedded AWS runs for {directory}.")
    with _locked(directory):
        engine = _read_record(directory)
        if engine is None:
            raise EngineNotRunningError(f"No embedded AWS runs for {directory}.")
        if not is_running(engine.process):
            _clean_up(engine)
            raise EngineNotRunningError(
                f"The embedded AWS of {directory} (pid {engine.pid}) had already ended; "
                "removed what it left."
            )
        family = {
            *descendants(engine.pid),
            *session_members(engine.pid),
            *marked(engine.engine_id),
            engine.process,
        }
        send(engine.process, signal.SIGTERM)
        wait_ended([engine.process], _GRACE_SECONDS)
        family |= set(marked(engine.engine_id))
        for member in family:
            send(member, signal.SIGKILL)
        left = wait_ended(family, timeout=30)
        if left:
            raise EngineStopError(f"Processes {[member.pid for member in left]} survived SIGKILL.")
        _clean_up(engine)


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    with (directory / "engine.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _record(directory: Path) -> Path:
    return directory / "engine.json"


def _read_record(directory: Path) -> Engine | None:
    try:
        record = json.loads(_record(directory).read_text())
        return Engine(**{**record, "state_dir": directory})
    except FileNotFoundError:
        return None
    except (json.JSONDecodeError, TypeError) as problem:
        raise EngineStartError(
            f"{_record(directory)} is not a record of an engine ({problem}); remove it."
        ) from problem


def _write_record(engine: Engine) -> None:
    target = _record(engine.state_dir)
    temporary = target.with_suffix(".json.new")
    temporary.touch(mode=0o600)
    record = {name: value for name, value in asdict(engine).items() if name != "state_dir"}
    temporary.write_text(json.dumps(record, indent=2) + "\n")
    temporary.replace(target)


def _clean_up(engine: Engine) -> None:
    """Remove an ended engine's record and temporary files, and kill what carries its mark."""
    if (server := _servers.pop(engine.pid, None)) is not None:
        server.wait()
    left = marked(engine.engine_id)
    for member in left:
        send(member, signal.SIGKILL)
    wait_ended(left, timeout=30)
    _record(engine.state_dir).unlink(missing_ok=True)
    shutil.rmtree(engine.state_dir / "tmp", ignore_errors=True)


def _listening_socket(port: int | None) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((_HOST, port or 0))
    except OSError as problem:
        listener.close()
        raise PortInUseError(
            f"Port {port} of {_HOST} cannot be opened ({problem.strerror}); "
            "choose another or none, which takes a free one."
        ) from problem
    return listener


def _server_environment(
    directory: Path, port: int, keys: tuple[str, str, str], settings: dict[str, str]
) -> dict[str, str]:
    engine_id, access_key, secret_key = keys
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "HOME") if name in os.environ}
    return {
        **kept,
        ENGINE_ID_VARIABLE: engine_id,
        **settings,
        "AUTH": "true",
        "GATEWAY_PORT": str(port),
        "MINISTACK_HOST": _HOST,
        "AWS_ACCESS_KEY_ID": access_key,
        "AWS_SECRET_ACCESS_KEY": secret_key,
        "TMPDIR": str(directory / "tmp"),
        "S3_DATA_DIR": str(directory / "tmp" / "s3"),
        "STATE_DIR": str(directory / "tmp" / "state"),
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
        # No container engine is used, and the user's containers are none of our business.
        "DOCKER_HOST": f"unix://{directory / 'tmp'}/no-container-engine.sock",
        "LOG_LEVEL": "INFO",
    }


def _launch(directory: Path, listener: socket.socket, settings: dict[str, str]) -> Engine:
    # A new engine is a new account: nothing of the last one's is left, mail included.
    for name in ("tmp", "mail"):
        shutil.rmtree(directory / name, ignore_errors=True)
        (directory / name).mkdir()
    port: int = listener.getsockname()[1]
    alphabet = string.ascii_uppercase + "234567"
    engine_id = secrets.token_hex(8)
    access_key = "AKIA" + "".join(secrets.choice(alphabet) for _ in range(16))
    secret_key = secrets.token_urlsafe(30)
    listener.listen(512)
    listener.set_inheritable(True)
    with (directory / "engine.log").open("wb") as log:
        server = subprocess.Popen(
            [
                *(sys.executable, "-m", "steward_local.server"),
                *("--fd", str(listener.fileno()), "--state-dir", str(directory)),
            ],
            env=_server_environment(directory, port, (engine_id, access_key, secret_key), settings),
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=(listener.fileno(),),
            start_new_session=True,
        )
    identity = identify(server.pid)
    if identity is None:
        raise EngineStartError(_ended_early(directory, server))
    engine = Engine(
        state_dir=directory,
        engine_id=engine_id,
        pid=identity.pid,
        started=identity.started,
        port=port,
        access_key=access_key,
        secret_key=secret_key,
        time_scale=float(settings[pace.TIME_SCALE_VARIABLE]),
    )
    try:
        _wait_until_healthy(engine, server)
    except BaseException:
        send(engine.process, signal.SIGKILL)
        server.wait()
        raise
    _servers[server.pid] = server
    _write_record(engine)
    return engine


def _wait_until_healthy(engine: Engine, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _HEALTHY_WITHIN_SECONDS
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise EngineStartError(_ended_early(engine.state_dir, server))
        try:
            with opener.open(f"{engine.endpoint}/_ministack/health", timeout=1):
                return
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            time.sleep(0.05)
    raise EngineStartError(
        f"The embedded AWS did not answer within {_HEALTHY_WITHIN_SECONDS} s; see {engine.log}."
    )


def _ended_early(directory: Path, server: subprocess.Popen[bytes]) -> str:
    lines = (directory / "engine.log").read_text(errors="replace").splitlines()[-15:]
    return (
        f"The embedded AWS ended with exit code {server.wait()} before it answered. "
        "Its last lines:\n" + "\n".join(lines)
    )
