"""Archives of a forge, streamed from public addresses of the hosts that the stack allows."""

from __future__ import annotations

import http.client
import tempfile
import time
from collections.abc import Collection, Mapping
from typing import BinaryIO
from urllib.parse import urljoin, urlsplit

from steward.adapters.webhooks import PublicHttpSender
from steward.domain.errors import CommitNotFoundError, DependencyError, SourceRefusedError
from steward.domain.webhooks import check_url

REDIRECTS = 3
DOWNLOAD_S = 120.0
_CHUNK = 256 * 1024
_MOVED = frozenset({301, 302, 303, 307, 308})
_LATER = frozenset({408, 425, 429, 500, 502, 503, 504})


class PublicHttpDownloads(PublicHttpSender):
    """Downloads with the same care with which messages are sent.

    The name is resolved once, its addresses must be public, nothing of a proxy is used.
    """

    def fetch(
        self, url: str, *, hosts: Collection[str], headers: Mapping[str, str], limit: int
    ) -> BinaryIO:
        """Return a file with an archive's bytes."""
        deadline = time.monotonic() + DOWNLOAD_S
        first = _host(url)
        for _ in range(REDIRECTS + 1):
            self._check(url, hosts)
            sent = dict(headers) if _host(url) == first else {}
            found = self._get(url, sent, limit, deadline)
            if not isinstance(found, str):
                return found
            url = found
        raise SourceRefusedError(
            f"{first} redirects more than {REDIRECTS} times", field="url", value=first,
            allowed=f"at most {REDIRECTS}",
        )  # fmt: skip

    def _check(self, url: str, hosts: Collection[str]) -> None:
        check_url(url, local=self._local)
        host = _host(url)
        if host not in hosts and not (self._local and host.startswith("127.0.0.1")):
            raise SourceRefusedError(
                f"{host} is not among the hosts that sources come from", field="url", value=host,
                allowed=", ".join(sorted(hosts)) or "none",
            )  # fmt: skip

    def _get(
        self, url: str, headers: dict[str, str], limit: int, deadline: float
    ) -> BinaryIO | str:
        """Return the file, or where the host says that it is."""
        parts = urlsplit(url)
        secure = parts.scheme == "https"
        host = parts.hostname or ""
        connection = self._connection(host, parts.port or (443 if secure else 80), secure=secure)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        try:
            connection.request("GET", path, headers={"user-agent": "steward", **headers})
            answer = connection.getresponse()
            if answer.status in _MOVED:
                return urljoin(url, answer.getheader("location") or "")
            _check_status(host, answer.status)
            return _kept(answer, host, limit, deadline)
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            raise DependencyError(f"{host}: {type(error).__name__}: {error}") from None
        finally:
            connection.close()


def _host(url: str) -> str:
    """Return host, and port where it is named."""
    return urlsplit(url).netloc.rpartition("@")[2].lower()


def _check_status(host: str, status: int) -> None:
    if status == 200:
        return
    if status in _LATER:
        raise DependencyError(f"{host} answers {status}")
    if status in (404, 410, 422):
        raise CommitNotFoundError(
            f"{host} has no archive of this commit ({status})", field="commit_id",
            allowed="a commit that was pushed to the repository",
        )  # fmt: skip
    raise SourceRefusedError(
        f"{host} does not give the archive: it answers {status}", field="url", value=status,
        allowed="a token that may read the repository" if status in (401, 403) else "200",
    )  # fmt: skip


def _kept(answer: http.client.HTTPResponse, host: str, limit: int, deadline: float) -> BinaryIO:
    file = tempfile.TemporaryFile(prefix="source-")  # noqa: SIM115 - its reader closes it
    size = 0
    while piece := answer.read(_CHUNK):
        size += len(piece)
        if size > limit:
            file.close()
            raise SourceRefusedError(
                f"the archive from {host} is larger than {limit >> 20} MiB", field="url",
                allowed=f"at most {limit >> 20} MiB",
            )  # fmt: skip
        if time.monotonic() > deadline:
            file.close()
            raise DependencyError(f"{host} sends too slowly: {size} bytes in {DOWNLOAD_S:g} s")
        file.write(piece)
    if answer.length:
        file.close()
        raise DependencyError(f"{host} ended after {size} bytes, {answer.length} are missing")
    file.seek(0)
    return file
