"""MiniStack's worker pool filled with execution environments of ours."""

import json
import os
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ministack.core import lambda_runtime
from ministack.core.responses import get_account_id, get_region
from ministack.services import lambda_svc

from steward_local.lambdas import packages
from steward_local.lambdas.environment import ExecutionEnvironment, Outcome, Package

JsonObject = dict[str, Any]


@dataclass(frozen=True)
class LogSource:
    """What the log lines of an invocation need to know of its environment."""

    stream: str
    duration_ms: float
    init_ms: float | None
    peak_mb: int


def _package_of(config: JsonObject, code_zip: bytes) -> Package:
    layers = []
    for reference in config.get("Layers") or []:
        archive = lambda_svc._resolve_layer_zip(reference)
        if archive:
            layers.append(packages.unpacked(archive))
    _, region = lambda_runtime._account_region_from_function_config(config)
    return Package(
        config=config,
        code=packages.unpacked(code_zip),
        layers=tuple(layers),
        runtime=packages.cache_dir() / "runtime",
        credentials=lambda_runtime.execution_credentials(config),
        endpoint=f"http://127.0.0.1:{os.environ['GATEWAY_PORT']}",
        region=region,
    )


class FunctionWorker:
    """A place in MiniStack's pool; holds one execution environment once it was needed.

    The attributes without a docstring are those that the pool reads.
    """

    def __init__(self, func_name: str, config: JsonObject, code_zip: bytes) -> None:
        self.func_name = func_name
        self.config = config
        self.in_use = False
        self.last_used = time.time()
        self._code_zip = code_zip
        self._environment: ExecutionEnvironment | None = None
        self._proc: Any = None
        self._cold = True
        self._lock = threading.Lock()

    def _spawn(self) -> None:
        """Start the environment ahead of an invocation, as the pool does for SnapStart."""
        outcome = self._started("init")
        if outcome.error:
            raise RuntimeError(outcome.error["errorMessage"])

    def _started(self, request_id: str) -> Outcome:
        if self._environment is not None and self._environment.running:
            return Outcome()
        self._environment = ExecutionEnvironment(_package_of(self.config, self._code_zip))
        self._proc = self._environment._process
        outcome = self._environment.start(request_id)
        if outcome.error:
            self._environment.kill()
        return outcome

    def run(self, event: Any, request: JsonObject) -> tuple[Outcome, LogSource]:
        """Start the environment when there is none, and run one invocation in it."""
        with self._lock:
            init = self._started(request["request_id"])
            environment = self._environment
            if environment is None:
                raise RuntimeError("An environment ended before its first invocation")
            outcome = init if init.error else environment.invoke(event, request)
            if outcome is not init:
                outcome.log = init.log + outcome.log
                outcome.init_seconds = init.init_seconds
            return outcome, LogSource(
                stream=environment.log_stream,
                duration_ms=outcome.seconds * 1000,
                init_ms=None if outcome.init_seconds is None else outcome.init_seconds * 1000,
                peak_mb=max(1, outcome.peak_bytes // (1024 * 1024)),
            )

    def _discard_tmpdir(self) -> None:
        if self._environment is not None:
            self._environment.kill()

    def kill(self) -> None:
        """End the environment."""
        lambda_runtime.kill_workers([self])


def worker_class_for(original: Callable[[JsonObject], type]) -> Callable[[JsonObject], type]:
    """Let Python functions run in environments of ours, others in MiniStack's."""

    def choose(config: JsonObject) -> type:
        if str(config.get("Runtime", "")).startswith("python"):
            return FunctionWorker
        return original(config)

    return choose


def _trace_id(config: JsonObject) -> str:
    """The trace header that Lambda sets for every invocation; not sampled unless asked for."""
    active: str | None = lambda_svc._xray_trace_id_for_invocation(config)
    root = f"Root=1-{int(time.time()):08x}-{secrets.token_hex(12)}"
    return active or f"{root};Parent={secrets.token_hex(8)};Sampled=0"


def execute_warm(
    original: Callable[[JsonObject, Any, str], JsonObject],
) -> Callable[[JsonObject, Any, str], JsonObject]:
    """Run a Python function in the pool and answer in Lambda's own error shape."""

    def execute(func: JsonObject, event: Any, request_id: str) -> JsonObject:
        config = func.get("config") or func
        code_zip = func.get("code_zip")
        if not code_zip or not str(config.get("Runtime", "")).startswith("python"):
            return original(func, event, request_id)
        lambda_svc._ensure_reaper_thread()
        name = config.get("FunctionName", "unknown")
        qualifier = config.get("Version", "$LATEST")
        worker, _ = lambda_runtime.acquire_worker(name, config, code_zip, qualifier=qualifier)
        request = {
            "request_id": request_id,
            "function_arn": config.get("FunctionArn", ""),
            "trace_id": _trace_id(config),
            "depth": lambda_svc._invoke_depth.get(),
        }
        try:
            outcome, source = worker.run(event, request)
        except (OSError, RuntimeError) as problem:
            lambda_runtime.invalidate_worker(
                name, qualifier=qualifier, account=get_account_id(), region=get_region()
            )
            body = {"errorMessage": str(problem), "errorType": "Runtime.Unknown"}
            return {"body": body, "error": True, "log": ""}
        finally:
            lambda_runtime.release_worker(worker)
        answer: JsonObject = {"log": "\n".join(outcome.log), "log_source": source}
        if outcome.error is not None:
            return {**answer, "body": outcome.error, "error": True}
        return {**answer, "body": json.loads(outcome.payload or "null")}

    return execute
