"""A small HTTP server that answers as SageMaker's runtime does, scripted by endpoint name."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Script:
    """What one endpoint answers."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0


def model_error(status: int, message: str) -> Script:
    """Return SageMaker's answer where the container has answered ``status`` and ``message``."""
    told = {
        "Message": f'Received client error ({status}) from model with message "{message}".',
        "OriginalStatusCode": status,
        "OriginalMessage": message,
        "LogStreamArn": "arn:aws:logs:us-east-1:123456789012:log-group:/aws/sagemaker/Endpoints/e",
    }
    return Script(424, json.dumps(told).encode(), {"x-amzn-errortype": "ModelError"})


def refusal(status: int, code: str, message: str) -> Script:
    """Return an error of SageMaker itself."""
    return Script(status, json.dumps({"Message": message}).encode(), {"x-amzn-errortype": code})


@dataclass
class RuntimeServer:
    """The server's address, its scripts by endpoint, and the requests that it got.

    An operation without an endpoint, such as ``BatchGetRecord``, is scripted by its name. What
    ``once`` holds is answered first, in its order.
    """

    url: str
    scripts: dict[str, Script] = field(default_factory=dict)
    once: list[Script] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)


@contextmanager
def runtime_server() -> Iterator[RuntimeServer]:
    """Run a server on a free port of the loopback."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers.get("content-length", 0))
            name = self.path.split("/")[1:3][-1]
            told.requests.append(
                {"endpoint": name, "body": self.rfile.read(length), "headers": dict(self.headers)}
            )
            script = told.once.pop(0) if told.once else told.scripts[name]
            time.sleep(script.delay_s)
            self.send_response(script.status)
            for header, value in script.headers.items():
                self.send_header(header, value)
            self.send_header("content-length", str(len(script.body)))
            self.end_headers()
            try:
                self.wfile.write(script.body)
            except ConnectionError:  # the caller has given up
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Stay silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told = RuntimeServer(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield told
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
