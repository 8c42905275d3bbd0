"""Webhooks: their queue in SQS, and HTTP that reaches public addresses alone."""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from steward.adapters.errors import translated
from steward.domain.errors import DependencyError, RejectedError
from steward.domain.webhooks import check_address, check_url

MAX_MESSAGE_BYTES = 250 * 1024
MAX_POSTPONED_S = 43_200
_READ_BYTES = 1024

Resolve = Callable[[str, int], list[str]]


class SqsWebhookQueue:
    """Messages in SQS; a message that failed is seen again after its pause."""

    def __init__(self, client: Any, url: str) -> None:
        self._client, self._url = client, url

    def send(self, message: str) -> None:
        """Leave a message."""
        size = len(message.encode())
        if size > MAX_MESSAGE_BYTES:
            raise RejectedError(
                f"a message of {size} bytes", field="message", value=size,
                allowed=f"at most {MAX_MESSAGE_BYTES} bytes",
            )  # fmt: skip
        with translated("queue a webhook"):
            self._client.send_message(QueueUrl=self._url, MessageBody=message)

    def postpone(self, receipt: str, seconds: int) -> None:
        """Let a message be seen again after so many seconds, 12 hours at most."""
        with translated("postpone a webhook"):
            self._client.change_message_visibility(
                QueueUrl=self._url, ReceiptHandle=receipt,
                VisibilityTimeout=min(seconds, MAX_POSTPONED_S),
            )  # fmt: skip


def addresses_of(host: str, port: int) -> list[str]:
    """Return the addresses of a host."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class PublicHttpSender:
    """Posts once, to an address that was looked at before the connection is made to it.

    The name is resolved once, all its addresses must be public, and the socket goes to one of
    these: a name that changes its address between the look and the call gains nothing. The
    certificate is checked against the name. Nothing of a proxy or a redirect is followed.

    Args:
        local: The embedded AWS, where this machine is allowed and HTTP to it.
        resolve: Looks names up.
        timeout_s: Of connecting and of each read, and of all together.
        context: TLS settings; the system's authorities by default.
    """

    def __init__(
        self,
        *,
        local: bool = False,
        resolve: Resolve = addresses_of,
        timeout_s: float = 10,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._local, self._resolve, self._timeout_s = local, resolve, timeout_s
        self._context = context

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        """Post once and return the status."""
        check_url(url, local=self._local)
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = parts.port or (443 if parts.scheme == "https" else 80)
        connection = self._connection(host, port, secure=parts.scheme == "https")
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        try:
            connection.request("POST", path, body, dict(headers))
            answer = connection.getresponse()
            answer.read(_READ_BYTES)
            return int(answer.status)
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            raise DependencyError(f"{host}: {type(error).__name__}: {error}") from None
        finally:
            connection.close()

    def _connection(self, host: str, port: int, *, secure: bool) -> http.client.HTTPConnection:
        try:
            addresses = self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise DependencyError(f"{host} has no address: {error}") from None
        for address in addresses:
            check_address(address, local=self._local)
        if not addresses:
            raise DependencyError(f"{host} has no address")
        connection: http.client.HTTPConnection
        if secure:
            context = self._context or ssl.create_default_context()
            connection = http.client.HTTPSConnection(
                host, port, timeout=self._timeout_s, context=context
            )
        else:
            connection = http.client.HTTPConnection(host, port, timeout=self._timeout_s)
        deadline = time.monotonic() + self._timeout_s
        # http.client resolves and connects through this hook alone.
        connection._create_connection = lambda *_: _connected(  # type: ignore[attr-defined]
            addresses, port, deadline
        )
        return connection


def _connected(addresses: list[str], port: int, deadline: float) -> socket.socket:
    failure: OSError = TimeoutError("no time left")
    for address in addresses:
        left = deadline - time.monotonic()
        if left <= 0:
            break
        try:
            return socket.create_connection((address, port), timeout=left)
        except OSError as error:
            failure = error
    raise failure
