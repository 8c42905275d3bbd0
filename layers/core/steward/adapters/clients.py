"""AWS clients: one boto3 session a process, each client made at first use and kept."""

from __future__ import annotations

from typing import Any

import boto3
from botocore.config import Config


class Clients:
    """The clients of one session, thread-safe to use, cached by service and configuration.

    Retries are botocore's ``standard`` mode with four attempts. Where AWS listens comes from
    ``AWS_ENDPOINT_URL``, which botocore reads itself.
    """

    def __init__(self, region: str) -> None:
        self._region = region
        self._session: Any = None
        self._clients: dict[tuple[str, float, int], Any] = {}

    def get(self, service: str, *, read_timeout_s: float = 30, attempts: int = 4) -> Any:
        """Return the client of a service.

        Args:
            service: botocore's name, such as ``dynamodb``.
            read_timeout_s: How long an answer may take.
            attempts: Tries in all; 1 means no retries.
        """
        key = (service, read_timeout_s, attempts)
        if key not in self._clients:
            self._session = self._session or boto3.session.Session(region_name=self._region)
            config = Config(
                retries={"mode": "standard", "total_max_attempts": attempts},
                connect_timeout=min(3, read_timeout_s),
                read_timeout=read_timeout_s,
                max_pool_connections=20,
                user_agent_extra="steward",
            )
            self._clients[key] = self._session.client(service, config=config)
        return self._clients[key]
