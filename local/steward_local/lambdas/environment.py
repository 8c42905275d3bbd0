"""One execution environment: a process that serves a function's invocations one at a time."""

import contextlib
import json
import os
import queue
import select
import shutil
import signal
import sys
import tempfile
import threading
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from steward_local.lambdas.fork_server import Kind, fork, shared_modules
from steward_local.processes import ENGINE_ID_VARIABLE

_INIT_SECONDS = 10.0
_MARK = "\x1eend\x1e"
_PAGE = os.sysconf("SC_PAGE_SIZE")
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
MAXIMUM_ANSWER_BYTES = 6 * 1024 * 1024
_RESERVED = {
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "LAMBDA_TASK_ROOT",
    "_HANDLER",
}


@dataclass(frozen=True)
class Package:
    """What a function consists of when an environment starts.

    Attributes:
        config: The function's configuration as Lambda stores it.
        code: Directory of the unpacked code.
        layers: Directories of the unpacked layers, in the order of the configuration.
        credentials: The execution role's temporary credentials, as environment variables.
        endpoint: The embedded AWS, for the SDK.
        account, region: Where the function lives.
    """

    config: dict[str, Any]
    code: Path
    layers: tuple[Path, ...]
    runtime: Path
    credentials: dict[str, str]
    endpoint: str
    region: str

    @property
    def search_path(self) -> list[str]:
        """The module search path before the standard library, in the real runtime's order."""
        return [str(self.code), *self._common_path]

    @property
    def _common_path(self) -> list[str]:
        path = []
        for layer in reversed(self.layers):  # a later layer lies over an earlier one
            version = f"python{sys.version_info.major}.{sys.version_info.minor}"
            path += [str(layer / "python" / "lib" / version / "site-packages")]
            path += [str(layer / "python")]
        return [*path, str(self.runtime)]

    @property
    def kind(self) -> Kind:
        """What this environment has in common with others, for the process that forks it."""
        execution = f"AWS_Lambda_{self.config.get('Runtime', 'python3.11')}"
        variables = (("AWS_EXECUTION_ENV", execution), ("AWS_REGION", self.region))
        return Kind(tuple(self._common_path), shared_modules(self.code), variables)

    def environment(self, log_stream: str, scratch: Path) -> dict[str, str]:
        """The variables of the process: the runtime's, the function's, and the role's keys."""
        config = self.config
        name = config.get("FunctionName", "")
        own = (config.get("Environment") or {}).get("Variables") or {}
        group = (config.get("LoggingConfig") or {}).get("LogGroup") or f"/aws/lambda/{name}"
        return {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "TZ": ":UTC",
            "TMPDIR": str(scratch),
            "AWS_EXECUTION_ENV": f"AWS_Lambda_{config.get('Runtime', 'python3.11')}",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_EC2_METADATA_DISABLED": "true",
            **{key: str(value) for key, value in own.items() if key not in _RESERVED},
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_LAMBDA_FUNCTION_NAME": name,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(config.get("MemorySize", 128)),
            "AWS_LAMBDA_FUNCTION_VERSION": config.get("Version", "$LATEST"),
            "AWS_LAMBDA_LOG_GROUP_NAME": group,
            "AWS_LAMBDA_LOG_STREAM_NAME": log_stream,
            "LAMBDA_TASK_ROOT": str(self.code),
            "_HANDLER": config.get("Handler", ""),
            **{key: value for key, value in self.credentials.items() if value},
            ENGINE_ID_VARIABLE: os.environ[ENGINE_ID_VARIABLE],
        }


@dataclass
class Outcome:
    """What one invocation came to.

    Attributes:
        payload: The answer as JSON text; None after an error.
        error: Lambda's error object (errorMessage, errorType, ...); None after success.
        log: The lines that the function printed.
        seconds: Duration of the handler.
        init_seconds: Duration of the import, when this invocation started the environment.
        peak_bytes: The most resident memory that the environment has used.
    """

    payload: str | None = None
    error: dict[str, Any] | None = None
    log: list[str] = field(default_factory=list)
    seconds: float = 0.0
    init_seconds: float | None = None
    peak_bytes: int = 0


class _EndedError(Exception):
    """The process closed its answers."""


class ExecutionEnvironment:
    """A process that has imported the handler and waits for events."""

    def __init__(self, package: Package) -> None:
        self._package = package
        version = package.config.get("Version", "$LATEST")
        day = datetime.now(UTC).strftime("%Y/%m/%d")
        self.log_stream = f"{day}/[{version}]{uuid.uuid4().hex}"
        self._scratch = Path(tempfile.mkdtemp(prefix="lambda-"))
        self._pending = b""
        self._lines: queue.Queue[str] = queue.Queue()
        self._peak = 0
        variables = package.environment(self.log_stream, self._scratch)
        try:
            self._process = fork(package.kind, package.code, variables)
        except OSError:
            shutil.rmtree(self._scratch, ignore_errors=True)
            raise
        threading.Thread(target=self._read_log, daemon=True, name="lambda-log").start()

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process.poll() is None

    def _read_log(self) -> None:
        stream = self._process.stderr
        if stream is not None:
            for line in stream:
                self._lines.put(line.decode("utf-8", "replace").rstrip("\n"))

    def _collect_log(self, mark: str | None) -> list[str]:
        """Return the lines up to the mark; without one (a dead process) what is there."""
        lines: list[str] = []
        deadline = time.monotonic() + (1.0 if mark else 0.1)
        while (left := deadline - time.monotonic()) > 0:
            try:
                line = self._lines.get(timeout=left)
            except queue.Empty:
                break
            if mark is not None and line.endswith(mark):
                head = line.removesuffix(mark)
                return [*lines, head] if head else lines
            lines.append(line)
        return lines

    def _measure_memory(self) -> int:
        with contextlib.suppress(OSError, IndexError):
            resident = Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]
            self._peak = max(self._peak, int(resident) * _PAGE)
        return self._peak

    def _receive(self, deadline: float, memory: int | None) -> dict[str, Any]:
        """Wait for one answer.

        Raises:
            TimeoutError: The deadline passed.
            MemoryError: The process outgrew `memory` bytes.
            _EndedError: The process ended.
        """
        stream = self._process.stdout
        if stream is None:
            raise _EndedError
        poll = select.poll()
        poll.register(stream, select.POLLIN | select.POLLHUP)
        while b"\n" not in self._pending:
            if memory is not None and self._measure_memory() > memory:
                raise MemoryError
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            if not poll.poll(min(left, 0.1) * 1000):
                continue
            chunk = os.read(stream.fileno(), 1 << 20)
            if not chunk:
                raise _EndedError
            self._pending += chunk
        line, _, self._pending = self._pending.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        return message

    def _send(self, message: dict[str, Any]) -> None:
        stream = self._process.stdin
        try:
            if stream is None:
                raise _EndedError
            stream.write(json.dumps(message, ensure_ascii=False).encode() + b"\n")
            stream.flush()
        except BrokenPipeError as problem:
            raise _EndedError from problem

    def start(self, request_id: str) -> Outcome:
        """Import the handler. The outcome has `error` set when that failed."""
        mark = _MARK + uuid.uuid4().hex
        handler = self._package.config.get("Handler", "")
        try:
            self._send({"search_path": self._package.search_path, "handler": handler, "mark": mark})
            answer = self._receive(time.monotonic() + _INIT_SECONDS, None)
        except TimeoutError:
            self.kill()
            return self._broken("Sandbox.Timedout", f"Init timed out after {_INIT_SECONDS:.2f} s")
        except _EndedError:
            return self._exited(request_id)
        log = self._collect_log(mark)
        if error := answer.get("error"):
            error["requestId"] = request_id
            self.kill()
            return Outcome(error=error, log=log)
        return Outcome(log=log, init_seconds=float(answer["seconds"]))

    def invoke(self, event: Any, request: dict[str, Any]) -> Outcome:
        """Run the handler once.

        Args:
            event: Any JSON value.
            request: `request_id`, `function_arn`, `trace_id`, `depth`.
        """
        config = self._package.config
        timeout = float(config.get("Timeout", 3))
        memory = int(config.get("MemorySize", 128)) * 1024 * 1024
        mark = _MARK + uuid.uuid4().hex
        started = time.monotonic()
        request_id = request["request_id"]
        try:
            self._send({**request, "event": event, "mark": mark, "deadline": time.time() + timeout})
            answer = self._receive(started + timeout, memory)
        except TimeoutError:
            self.kill()
            now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
            message = f"Task timed out after {timeout:.2f} seconds"
            outcome = self._broken("Sandbox.Timedout", f"RequestId: {request_id} Error: {message}")
            outcome.log.append(f"{now}Z {request_id} {message}")
            outcome.seconds = timeout
            return outcome
        except MemoryError:
            self.kill()
            message = "Runtime exited with error: signal: killed"
            named = f"RequestId: {request_id} Error: {message}"
            outcome = self._broken("Runtime.OutOfMemory", named)
            outcome.log.append(f"{named} Runtime.OutOfMemory")
            outcome.seconds = time.monotonic() - started
            return outcome
        except _EndedError:
            return self._exited(request_id)
        self._measure_memory()
        outcome = Outcome(
            payload=answer.get("payload"),
            error=answer.get("error"),
            log=self._collect_log(mark),
            seconds=float(answer.get("seconds", 0)),
            peak_bytes=self._peak,
        )
        if outcome.payload is not None and len(outcome.payload.encode()) > MAXIMUM_ANSWER_BYTES:
            outcome.payload = None
            outcome.error = {
                "errorMessage": "Response payload size exceeded maximum allowed payload size "
                f"({MAXIMUM_ANSWER_BYTES} bytes).",
                "errorType": "Function.ResponseSizeTooLarge",
            }
        return outcome

    def _broken(self, error_type: str, message: str) -> Outcome:
        return Outcome(
            error={"errorMessage": message, "errorType": error_type},
            log=self._collect_log(None),
            peak_bytes=self._peak,
        )

    def _exited(self, request_id: str) -> Outcome:
        code = self._process.wait()
        how = f"signal: {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        message = f"RequestId: {request_id} Error: Runtime exited with error: {how}"
        outcome = self._broken("Runtime.ExitError", message)
        outcome.log.append(f"{message} Runtime.ExitError")
        self.kill()
        return outcome

    def kill(self) -> None:
        """End the process and remove its scratch directory."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        shutil.rmtree(self._scratch, ignore_errors=True)
