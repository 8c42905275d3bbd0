"""``serve``: the inference process of an endpoint, from start to a graceful stop."""

from __future__ import annotations

import os
import signal
import threading
import time
from types import FrameType
from typing import Any

from waitress.server import create_server

from steward_jobs.answers import Application
from steward_jobs.container import JobError, base_dir, log
from steward_jobs.job_config import read_job_config
from steward_jobs.model_code import ModelCodeError, load_model

MAX_BODY_BYTES = 6 * 1024 * 1024
"""SageMaker lets a real-time request have 25 MB and a serverless one 4 MB; rows are smaller."""
THREADS = 8
GRACE_S = 20.0
"""SageMaker kills the container 30 seconds after SIGTERM."""
_HARD_LIMIT_BYTES = 32 * 1024 * 1024
_POLL_S = 1.0


def main(_arguments: list[str]) -> int:
    """Serve until SIGTERM and return the exit code: 0, or 1 when the model cannot be loaded.

    The port is ``SAGEMAKER_BIND_TO_PORT`` (8080). Outside a container, where the base folder is
    not ``/opt/ml``, only the loopback interface listens.
    """
    started = time.perf_counter()
    base = base_dir()
    application = Application(int(os.environ.get("STEWARD_MAX_BODY_BYTES", MAX_BODY_BYTES)))
    in_container = str(base) == "/opt/ml"
    server = create_server(
        application,
        host="0.0.0.0" if in_container else "127.0.0.1",  # noqa: S104 - how a container is reached
        port=int(os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080")),
        threads=THREADS,
        max_request_body_size=_HARD_LIMIT_BYTES,
        ident="steward",
        clear_untrusted_proxy_headers=True,
    )
    stopping = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        application.drain()
        stopping.set()
        server.pull_trigger()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    loop = threading.Thread(target=_serve, args=(server, application, stopping), name="server")
    loop.start()
    code = 0
    try:
        job = read_job_config(base / "model" / "job.json")
        application.take(job, load_model(base / "model", job.task))
        log("serving", project=job.project, run_id=job.run_id, port=server.effective_port,
            start_s=round(time.perf_counter() - started, 3))  # fmt: skip
        stopping.wait()
        log("stopping")
    except (JobError, ModelCodeError) as error:
        log("model_not_loaded", reason=str(error))
        code = 1
        stop(signal.SIGTERM, None)
    loop.join()
    log("stopped")
    return code


def _serve(server: Any, application: Application, stopping: threading.Event) -> None:
    """Turn the server's event loop until it is told to stop and nothing is under way."""
    while not stopping.is_set():
        server.asyncore.loop(timeout=_POLL_S, map=server._map, count=1)
    server.accepting = False
    server.del_channel()
    server.socket.close()
    deadline = time.monotonic() + GRACE_S
    while time.monotonic() < deadline and _is_busy(server, application):
        server.asyncore.loop(timeout=0.05, map=server._map, count=1)


def _is_busy(server: Any, application: Application) -> bool:
    channels = list(server.active_channels.values())
    unsent = any(channel.requests or channel.total_outbufs_len for channel in channels)
    return unsent or application.in_flight > 0
