"""Archives of a forge: allowed hosts, a limit of bytes, and tokens stay where they belong."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from steward.adapters.source_downloads import PublicHttpDownloads
from steward.domain.errors import (
    CommitNotFoundError,
    DependencyError,
    RejectedError,
    SourceRefusedError,
)

pytestmark = pytest.mark.enable_socket


class Forge:
    """A server on this machine; ``answers`` by path: status, headers, body."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.seen: list[tuple[str, str | None]] = []
        forge = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                forge.seen.append((self.path, self.headers.get("authorization")))
                status, headers, body = forge.answers[self.path]
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def forge() -> Iterator[Forge]:
    made = Forge()
    threading.Thread(target=made.server.serve_forever, daemon=True).start()
    yield made
    made.server.shutdown()
    made.server.server_close()


def fetch(url: str, *, limit: int = 1000, local: bool = True) -> bytes:
    downloads = PublicHttpDownloads(local=local)
    headers = {"authorization": "Bearer t0p"}
    with downloads.fetch(url, hosts={"forge.example"}, headers=headers, limit=limit) as stream:
        return stream.read()


def test_an_archive_is_streamed_and_may_be_where_the_forge_says(forge: Forge) -> None:
    forge.answers["/a"] = (302, {"location": "/b"}, b"")
    forge.answers["/b"] = (200, {}, b"archive")

    assert fetch(f"{forge.url}/a") == b"archive"
    assert forge.seen == [("/a", "Bearer t0p"), ("/b", "Bearer t0p")]


def test_a_token_is_not_sent_to_the_host_that_a_redirect_names(forge: Forge) -> None:
    other = f"http://127.0.0.1:{forge.server.server_port}".replace("127.0.0.1", "localhost")
    forge.answers["/a"] = (302, {"location": f"{other}/b"}, b"")
    with pytest.raises(SourceRefusedError, match="localhost"):
        fetch(f"{forge.url}/a")
    assert [path for path, _ in forge.seen] == ["/a"]


def test_redirects_to_other_hosts_and_without_end_are_refused(forge: Forge) -> None:
    forge.answers["/away"] = (302, {"location": "https://evil.example/x"}, b"")
    forge.answers["/loop"] = (302, {"location": "/loop"}, b"")
    with pytest.raises(SourceRefusedError, match=r"evil\.example is not among the hosts"):
        fetch(f"{forge.url}/away")
    with pytest.raises(SourceRefusedError, match="more than 3 times"):
        fetch(f"{forge.url}/loop")


def test_more_than_the_limit_is_refused_while_it_streams(forge: Forge) -> None:
    forge.answers["/large"] = (200, {}, b"x" * 1001)
    with pytest.raises(SourceRefusedError, match="larger than"):
        fetch(f"{forge.url}/large")


def test_an_archive_that_ends_early_is_asked_for_again(forge: Forge) -> None:
    forge.answers["/half"] = (200, {"content-length": "10"}, b"half")
    with pytest.raises(DependencyError):
        fetch(f"{forge.url}/half")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (404, CommitNotFoundError), (422, CommitNotFoundError), (401, SourceRefusedError),
        (403, SourceRefusedError), (500, DependencyError), (429, DependencyError),
    ],
)  # fmt: skip
def test_answers_mean_what_the_forge_means(
    forge: Forge, status: int, kind: type[Exception]
) -> None:
    forge.answers["/a"] = (status, {}, b"")
    with pytest.raises(kind):
        fetch(f"{forge.url}/a")


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:1/a", "https://other.example/a", "https://user:x@forge.example/a",
     "file:///etc/passwd", "http://169.254.169.254/latest"],
)  # fmt: skip
def test_no_other_place_is_asked(url: str) -> None:
    with pytest.raises(RejectedError):
        fetch(url, local=False)
