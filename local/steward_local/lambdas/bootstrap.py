"""The runtime of execution environments; run as a script with `python -I -S`.

It imports what the functions of some layers have in common and forks one process for each
environment that is asked for: see `fork_server.py`, the engine's side.

Standard library only until the search path is that of the real runtime. In an environment, one
JSON line on standard input starts it, each further one is an invocation; each gets one JSON line
on the original standard output. Whatever the function prints goes to standard error, which ends
each invocation with a mark, so that its log lines are complete and its own.
"""

import contextlib
import gc
import importlib
import importlib.abc
import importlib.machinery
import json
import logging
import os
import select
import signal
import socket
import sys
import time
import traceback
from decimal import Decimal
from types import TracebackType
from typing import Any

_REQUEST_ID = {"value": ""}


class _Context:
    """The context object of https://docs.aws.amazon.com/lambda/latest/dg/python-context.html."""

    def __init__(self, request: dict[str, Any]) -> None:
        self.aws_request_id = request["request_id"]
        self.invoked_function_arn = request["function_arn"]
        self.function_name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
        self.function_version = os.environ["AWS_LAMBDA_FUNCTION_VERSION"]
        self.memory_limit_in_mb = os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self.log_group_name = os.environ["AWS_LAMBDA_LOG_GROUP_NAME"]
        self.log_stream_name = os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]
        self.identity = None
        self.client_context = None
        self._deadline = float(request["deadline"])

    def get_remaining_time_in_millis(self) -> int:
        return max(0, int((self._deadline - time.time()) * 1000))


class _LineHandler(logging.Handler):
    """The handler that the real runtime puts on the root logger."""

    def emit(self, record: logging.LogRecord) -> None:
        sys.stdout.write(self.format(record) + "\n")


class _RequestFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.aws_request_id = _REQUEST_ID["value"]
        return True


def _set_up_logging() -> None:
    handler = _LineHandler()
    formatter = logging.Formatter(
        "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s",
        "%Y-%m-%dT%H:%M:%S",
    )
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    handler.addFilter(_RequestFilter())
    logging.getLogger().addHandler(handler)


def _encode(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def _own_frames(trace: TracebackType | None) -> list[str]:
    frames = [frame for frame in traceback.extract_tb(trace) if frame.filename != __file__]
    return traceback.format_list(frames)


def _failure(problem: BaseException, error_type: str = "", message: str = "") -> dict[str, Any]:
    body = {
        "errorMessage": message or str(problem),
        "errorType": error_type or type(problem).__name__,
        "requestId": _REQUEST_ID["value"],
        "stackTrace": _own_frames(problem.__traceback__),
    }
    lines = [f"[ERROR] {body['errorType']}: {body['errorMessage']}"]
    if body["stackTrace"]:
        lines += ["Traceback (most recent call last):", "".join(body["stackTrace"]).rstrip()]
    sys.stdout.write("\n".join(lines) + "\n")
    return body


def _load(handler: str) -> Any:
    """Import the handler; raises what the real runtime reports as the init error."""
    module_name, _, function_name = handler.rpartition(".")
    module = importlib.import_module(module_name.replace("/", "."))
    return getattr(module, function_name)


def _init_failure(problem: BaseException, handler: str) -> dict[str, Any]:
    module = handler.rpartition(".")[0]
    if isinstance(problem, ImportError):
        message = f"Unable to import module '{module}': {problem}"
        return _failure(problem, "Runtime.ImportModuleError", message)
    if isinstance(problem, SyntaxError):
        message = f"Syntax error in module '{module}': {problem}"
        return _failure(problem, "Runtime.UserCodeSyntaxError", message)
    if isinstance(problem, AttributeError) and problem.name == handler.rpartition(".")[2]:
        message = f"Handler '{problem.name}' missing on module '{module}'"
        return _failure(problem, "Runtime.HandlerNotFound", message)
    return _failure(problem)


def _add_invoke_depth(params: dict[str, Any], **_: Any) -> None:
    depth = os.environ.get("_MINISTACK_INVOKE_DEPTH")
    if depth:
        params["headers"].setdefault("X-Ministack-Invoke-Depth", depth)


class _DepthCarrier(importlib.abc.MetaPathFinder):
    """Makes SDK calls carry the depth of a chain of invocations, which bounds recursion.

    It acts when the function imports botocore, so that one that does not pays nothing.
    """

    _module = "botocore.handlers"

    def find_spec(
        self, fullname: str, path: Any, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._module:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.loader is None:
            return spec
        load = spec.loader.exec_module

        def load_and_register(module: Any) -> None:
            load(module)
            module.BUILTIN_HANDLERS.append(("before-call", _add_invoke_depth))

        spec.loader.exec_module = load_and_register  # type: ignore[method-assign]
        return spec


def _invoke(function: Any, request: dict[str, Any]) -> dict[str, Any]:
    _REQUEST_ID["value"] = request["request_id"]
    os.environ["_X_AMZN_TRACE_ID"] = request["trace_id"]
    os.environ["_MINISTACK_INVOKE_DEPTH"] = str(request["depth"])
    started = time.perf_counter()
    try:
        result = function(request["event"], _Context(request))
        try:
            payload = json.dumps(result, default=_encode, ensure_ascii=False)
        except (TypeError, ValueError) as problem:
            message = f"Unable to marshal response: {problem}"
            return {"error": _failure(problem, "Runtime.MarshalError", message)}
        return {"payload": payload, "seconds": time.perf_counter() - started}
    except Exception as problem:  # noqa: BLE001  (whatever the function raises is its answer)
        return {"error": _failure(problem), "seconds": time.perf_counter() - started}


def _serve() -> None:
    """Serve invocations until standard input closes."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", buffering=1, closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", buffering=1, closefd=False)
    init = json.loads(sys.stdin.readline())

    def answer(message: dict[str, Any], mark: str) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        os.write(2, f"{mark}\n".encode())
        answers.write(json.dumps(message, ensure_ascii=False) + "\n")
        answers.flush()

    sys.path[:0] = init["search_path"]
    _set_up_logging()
    started = time.perf_counter()
    try:
        function = _load(init["handler"])
    except Exception as problem:  # noqa: BLE001  (whatever the module raises is the init error)
        answer({"error": _init_failure(problem, init["handler"])}, init["mark"])
        return
    answer({"ready": True, "seconds": time.perf_counter() - started}, init["mark"])
    for line in sys.stdin:
        request = json.loads(line)
        answer(_invoke(function, request), request["mark"])


def _preload(search_path: list[str], modules: list[str]) -> None:
    """Import what the functions have in common; what a layer does not bring is left out."""
    sys.meta_path.insert(0, _DepthCarrier())
    sys.path[:0] = search_path
    for module in modules:
        with contextlib.suppress(Exception):
            importlib.import_module(module)
    del sys.path[: len(search_path)]
    sys.path_importer_cache.clear()
    gc.collect()
    gc.freeze()


def _become(order: dict[str, Any], streams: list[int]) -> None:
    """Make a forked process an environment: its streams, folder and variables."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["variables"])


def _report_ended(engine: socket.socket) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        code = os.waitstatus_to_exitcode(status)
        engine.send(json.dumps({"ended": pid, "code": code}).encode())


def _fork_on_order(engine: socket.socket) -> bool:
    """Fork environments and report their ends; return True in a forked one, else at the end."""
    ended, on_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(on_end, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    poll = select.poll()  # select knows no descriptor above 1,023, which the engine's may be
    for descriptor in (engine.fileno(), ended):
        poll.register(descriptor, select.POLLIN)
    while True:
        ready = dict(poll.poll())
        if ended in ready:
            os.read(ended, 4096)
            _report_ended(engine)
        if engine.fileno() not in ready:
            continue
        message, streams, _, _ = socket.recv_fds(engine, 1 << 18, 3)
        if not message:
            return False
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.set_wakeup_fd(-1)
            for descriptor in (ended, on_end):
                os.close(descriptor)
            engine.close()
            _become(json.loads(message), streams)
            return True
        for stream in streams:
            os.close(stream)
        started = {"started": pid, "order": json.loads(message)["order"]}
        engine.send(json.dumps(started).encode())


def main() -> None:
    """Preload, then fork environments until the engine closes its end."""
    engine = socket.socket(fileno=int(sys.argv[1]))
    first = json.loads(engine.recv(1 << 18))
    _preload(first["search_path"], first["modules"])
    if _fork_on_order(engine):
        _serve()


if __name__ == "__main__":
    main()
