"""One variant of an endpoint: an inference process on a loopback port."""

from __future__ import annotations

import contextvars
import http.client
import os
import queue
import shutil
import socket
import subprocess
import threading
import time
import uuid
from dataclasses import dataclass
from typing import Any

from steward_local import authority
from steward_local.pace import real_seconds
from steward_local.sagemaker import container, jobs
from steward_local.sagemaker.container_logs import LogStream
from steward_local.sagemaker.hosting_config import artifact_of
from steward_local.sagemaker.processes import groups
from steward_local.sagemaker.s3_files import RoleFiles, unpack
from steward_local.sagemaker.settings import Settings

INVOCATION_SECONDS = 60
STARTUP_SECONDS = 600
LEAST_STARTUP_SECONDS = 20.0
"""What a process of this machine gets at any pace: its start is not scaled."""
RESTART_SECONDS = 1.0


class StartError(Exception):
    """The variant cannot serve; the text is the endpoint's FailureReason."""


@dataclass(frozen=True)
class Answer:
    """What the container answered, and how long it took."""

    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float


class Variant:
    """Runs the container of one model until it is closed, restarting it when it dies."""

    def __init__(
        self,
        settings: Settings,
        region: str,
        endpoint: str,
        production: dict[str, Any],
        model: dict[str, Any],
        log_group: str | None = None,
    ) -> None:
        self._log_group = log_group or f"/aws/sagemaker/Endpoints/{endpoint}"
        self.name: str = production["VariantName"]
        self.production = production
        self.weight = float(production.get("InitialVariantWeight", 1.0))
        self.instances = int(production.get("InitialInstanceCount", 1))
        self.rescale(production.get("ServerlessConfig"))
        self.failures = 0
        self.role_arn: str = model["ExecutionRoleArn"]
        self._settings, self._region, self._endpoint = settings, region, endpoint
        self._model = model
        self._runner = jobs.runner_of(model["Resolved"]["Image"])
        self._base = settings.scratch / region / "endpoints" / f"{endpoint}-{uuid.uuid4().hex[:8]}"
        self._closed = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0
        self._idle: queue.LifoQueue[http.client.HTTPConnection] = queue.LifoQueue()
        self.log: LogStream | None = None

    def rescale(self, serverless: dict[str, Any] | None) -> None:
        """Take serverless settings; requests under way keep the slots that they have."""
        self.serverless = serverless
        self.max_concurrency: int = serverless["MaxConcurrency"] if serverless else 0
        self.slots = threading.BoundedSemaphore(self.max_concurrency) if serverless else None

    def start(self, cancelled: threading.Event) -> None:
        """Fetch the model with its role, run the container and wait until it answers /ping.

        Raises:
            StartError: it exited, never answered, or `cancelled` was set meanwhile.
        """
        container_of = self._model["Resolved"]
        credentials = authority.assume_for_service(self.role_arn, jobs.SERVICE, "SageMaker")
        self._unpack(container_of, credentials)
        instance = uuid.uuid4().hex[:17]
        self.log = LogStream(
            self._log_group,
            f"{self.name}/i-{instance}",
            authority.principal_of(credentials),
        )
        self._launch(container_of, credentials)
        limit = self.production.get("ContainerStartupHealthCheckTimeoutInSeconds", STARTUP_SECONDS)
        deadline = time.monotonic() + max(real_seconds(limit), LEAST_STARTUP_SECONDS)
        while not self.is_healthy():
            process = self._process
            gone = process is not None and process.poll() is not None
            if gone or time.monotonic() > deadline or cancelled.is_set():
                self.close()
                raise StartError(
                    f"The primary container for production variant {self.name} did not pass "
                    "the ping health check. Please check CloudWatch logs for this endpoint."
                )
            time.sleep(0.05)
        threading.Thread(
            target=contextvars.copy_context().run,
            args=(self._watch, container_of, credentials),
            daemon=True,
            name=f"variant-{self._endpoint}-{self.name}",
        ).start()

    def _unpack(self, container_of: dict[str, Any], credentials: authority.RoleCredentials) -> None:
        (self._base / "tmp").mkdir(parents=True)
        model_dir = self._base / "model"
        model_dir.mkdir()
        artifact = artifact_of(container_of)
        if artifact is None:
            return
        uri, packed = artifact
        files = RoleFiles(credentials, self._settings.endpoint, self._region)
        if not packed:
            files.download_prefix(uri, model_dir)
            return
        archive = self._base / "model.tar.gz"
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        files.download(bucket, key, archive)
        unpack(archive, model_dir)
        archive.unlink()

    def _launch(self, container_of: dict[str, Any], credentials: authority.RoleCredentials) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        variables = {
            "SAGEMAKER_BIND_TO_PORT": str(self._port),
            **container_of.get("Environment", {}),
        }
        process = groups.spawn(
            [self._settings.python, "-m", self._runner.module, "serve"],
            container.environment(self._runner, credentials, self._region, self._base, variables),
            self._base,
        )
        self._process = process
        threading.Thread(
            target=contextvars.copy_context().run,
            args=(self._follow, process),
            daemon=True,
            name="container-output",
        ).start()

    def _follow(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        assert self.log is not None
        while chunk := os.read(process.stdout.fileno(), 65_536):
            self.log.feed(chunk)
        self.log.close()
        process.stdout.close()

    def _watch(self, container_of: dict[str, Any], credentials: authority.RoleCredentials) -> None:
        while not self._closed.is_set():
            process = self._process
            assert process is not None
            process.wait()
            groups.release(process)
            if self._closed.wait(RESTART_SECONDS):
                return
            self._launch(container_of, credentials)

    def is_healthy(self) -> bool:
        """Whether /ping answers 200."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=2)
        try:
            connection.request("GET", "/ping")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def invoke(self, body: bytes, headers: dict[str, str]) -> Answer:
        """POST /invocations.

        Raises:
            TimeoutError: no answer within 60 seconds.
            OSError, http.client.HTTPException: the container is gone.
        """
        started = time.perf_counter()
        connection, fresh = self._connection()
        try:
            try:
                connection.request("POST", "/invocations", body, headers)
                response = connection.getresponse()
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                if fresh:
                    raise
                connection.close()
                connection, _ = self._connection(fresh=True)
                connection.request("POST", "/invocations", body, headers)
                response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            raise
        seconds = time.perf_counter() - started
        if response.will_close:
            connection.close()
        else:
            self._idle.put(connection)
        lowered = {key.lower(): value for key, value in response.getheaders()}
        return Answer(response.status, lowered, content, seconds)

    def _connection(self, *, fresh: bool = False) -> tuple[http.client.HTTPConnection, bool]:
        if not fresh:
            try:
                return self._idle.get_nowait(), False
            except queue.Empty:
                pass
        return (
            http.client.HTTPConnection("127.0.0.1", self._port, timeout=INVOCATION_SECONDS),
            True,
        )

    def close(self) -> None:
        """End the process and remove its files."""
        self._closed.set()
        if self._process is not None:
            groups.release(self._process)
            self._process.wait()
        while True:
            try:
                self._idle.get_nowait().close()
            except queue.Empty:
                break
        shutil.rmtree(self._base, ignore_errors=True)
