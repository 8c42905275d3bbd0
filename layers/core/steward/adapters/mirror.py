"""The queue of mirrored requests in SQS."""

from __future__ import annotations

from steward.adapters.clients import Clients
from steward.adapters.errors import translated
from steward.domain.errors import RejectedError

MAX_MESSAGE_BYTES = 250 * 1024
"""Below SQS's limit of 256 KB, which some regions and queues still have."""

SEND_TIMEOUT_S = 0.3


class SqsMirrorQueue:
    """Sends each copy once: an answer waits for it at most twice the timeout, to connect too."""

    def __init__(self, clients: Clients, url: str) -> None:
        self._clients = clients
        self._url = url

    def send(self, copy: str) -> None:
        """Leave a copy, or raise what kept it from being taken."""
        size = len(copy.encode())
        if size > MAX_MESSAGE_BYTES:
            raise RejectedError(
                f"a copy of {size} bytes", field="copy", value=size,
                allowed=f"at most {MAX_MESSAGE_BYTES} bytes",
            )  # fmt: skip
        client = self._clients.get("sqs", read_timeout_s=SEND_TIMEOUT_S, attempts=1)
        with translated("mirror a request"):
            client.send_message(QueueUrl=self._url, MessageBody=copy)
