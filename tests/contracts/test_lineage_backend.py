"""OpenLineage over HTTP: what is sent, tried again, refused and never followed."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from steward.adapters.lineage_backend import HttpLineageBackend
from steward.contracts.events import LineageEventWritten
from steward.domain.errors import (
    AccessDeniedError,
    DependencyError,
    EvidenceIncompleteError,
    RejectedError,
)
from steward.service.governance.lineage_export import send_lineage
from support.fakes import FakeObjects
from support.histories import BEGAN, received

EVENT = json.dumps({"eventType": "START"}).encode()


class Backend:
    """An HTTP server that answers as it is told and keeps what it got."""

    def __init__(self) -> None:
        self.answers: list[int] = []
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        backend = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                backend.got.append((self.path, dict(self.headers), body))
                status = backend.answers.pop(0) if backend.answers else 201
                self.send_response(status)
                if status == 307:
                    self.send_header("Location", f"{backend.url}/elsewhere")
                self.end_headers()
                self.wfile.write(b"said so")

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/api/v1/lineage"


@pytest.fixture
def backend() -> Iterator[Backend]:
    made = Backend()
    thread = threading.Thread(target=made.server.serve_forever, daemon=True)
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


def client(url: str, **options: Any) -> tuple[HttpLineageBackend, list[float]]:
    pauses: list[float] = []
    return HttpLineageBackend(url, pause=pauses.append, timeout_s=5, **options), pauses


def test_an_event_is_posted_as_json_with_the_key(backend: Backend) -> None:
    client(backend.url, token=lambda: "k3y")[0].send(EVENT)

    [(path, headers, body)] = backend.got
    assert (path, body) == ("/api/v1/lineage", EVENT)
    assert headers["Content-Type"] == "application/json"
    assert headers["Authorization"] == "Bearer k3y"


def test_without_a_key_none_is_sent(backend: Backend) -> None:
    client(backend.url)[0].send(EVENT)

    assert "Authorization" not in backend.got[0][1]


@pytest.mark.parametrize("status", [500, 503, 429])
def test_what_may_work_later_is_tried_again_with_growing_pauses(
    backend: Backend, status: int
) -> None:
    backend.answers = [status, status, 200]
    sender, pauses = client(backend.url)

    sender.send(EVENT)

    assert len(backend.got) == 3
    assert pauses == [0.5, 1.0]


def test_a_backend_that_keeps_failing_is_an_error_for_aws_to_retry(backend: Backend) -> None:
    backend.answers = [503] * 9

    with pytest.raises(DependencyError, match=r"failed 4 times: HTTP 503: said so"):
        client(backend.url)[0].send(EVENT)
    assert len(backend.got) == 4


def test_a_backend_that_is_not_there_is_an_error_for_aws_to_retry(backend: Backend) -> None:
    backend.server.shutdown()
    backend.server.server_close()

    with pytest.raises(DependencyError, match="failed 2 times: URLError"):
        client(backend.url, attempts=2)[0].send(EVENT)


@pytest.mark.parametrize(
    ("status", "error"), [(400, RejectedError), (422, RejectedError), (401, AccessDeniedError)]
)
def test_a_refusal_is_not_tried_again(
    backend: Backend, status: int, error: type[Exception]
) -> None:
    backend.answers = [status]

    with pytest.raises(error, match="said so"):
        client(backend.url)[0].send(EVENT)
    assert len(backend.got) == 1


def test_a_redirect_is_a_refusal_and_not_followed(backend: Backend) -> None:
    backend.answers = [307]

    with pytest.raises(RejectedError, match="HTTP 307"):
        client(backend.url, token=lambda: "k3y")[0].send(EVENT)
    assert [path for path, _, _ in backend.got] == ["/api/v1/lineage"]


@pytest.mark.parametrize(
    "url", ["http://lineage.example.com/api", "ftp://x/y", "lineage.example.com", "https://", ""]
)
def test_only_https_leaves_the_machine(url: str) -> None:
    with pytest.raises(RejectedError, match="no HTTPS URL"):
        HttpLineageBackend(url)


def test_a_written_event_is_sent_as_it_lies_in_s3_and_no_other_bytes(backend: Backend) -> None:
    objects = FakeObjects()
    uri = "s3://artifacts/lineage/openlineage/p/x-START.json"
    digest = objects.write(uri, EVENT)
    told = LineageEventWritten(
        uri=uri, sha256=digest, job="p.train", run_uuid="x", event_type="START"
    )
    sender, _ = client(backend.url)

    assert send_lineage(received(told, BEGAN, "c"), objects=objects, backend=sender) == uri
    assert backend.got[0][2] == EVENT

    objects.write(uri, b"{}")
    with pytest.raises(EvidenceIncompleteError, match="is not what was written"):
        send_lineage(received(told, BEGAN, "c"), objects=objects, backend=sender)
    assert len(backend.got) == 1
