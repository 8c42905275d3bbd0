"""OpenLineage's HTTP transport: one POST an event, to any backend that speaks it."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from steward.domain.errors import AccessDeniedError, DependencyError, RejectedError

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_LATER = frozenset({408, 425, 429})
_SHOWN = 300


class HttpLineageBackend:
    """Posts events; what may work later is tried again with growing pauses.

    Args:
        url: Where events are posted, such as ``https://lineage.example.com/api/v1/lineage``;
            plain HTTP is for this machine alone.
        token: Reads the API key, which is sent as a bearer token; None for no key.
        attempts: Tries in all.
        timeout_s: Of one try.
        pause: Waits so many seconds.

    Raises:
        RejectedError: The URL is none, or not HTTPS.
    """

    def __init__(
        self,
        url: str,
        token: Callable[[], str] | None = None,
        *,
        attempts: int = 4,
        timeout_s: float = 10,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        parts = urlsplit(url)
        local = parts.scheme == "http" and parts.hostname in _LOOPBACK
        if not parts.hostname or not (parts.scheme == "https" or local):
            raise RejectedError(
                f"{url!r} is no HTTPS URL", field="open_lineage_url", value=url,
                allowed="https://...",
            )  # fmt: skip
        self._url, self._token = url, token
        self._attempts, self._timeout_s, self._pause = attempts, timeout_s, pause
        self._opener = urllib.request.build_opener(_NoRedirects)

    def send(self, event: bytes) -> None:
        """Hand over one event as JSON."""
        headers = {"Content-Type": "application/json", "User-Agent": "steward"}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token()}"
        for attempt in range(1, self._attempts + 1):
            failure = self._post(event, headers)
            if failure is None:
                return
            if attempt < self._attempts:
                self._pause(2.0 ** (attempt - 2))
        raise DependencyError(
            f"the OpenLineage backend failed {self._attempts} times: {failure}"
        ) from None

    def _post(self, event: bytes, headers: dict[str, str]) -> str | None:
        """Post once; return why that may work later, None where it worked."""
        request = urllib.request.Request(  # noqa: S310 (the URL was checked)
            self._url, event, headers, method="POST"
        )
        try:
            with self._opener.open(request, timeout=self._timeout_s) as answer:
                answer.read()
            return None
        except urllib.error.HTTPError as error:
            with error:
                said = error.read(_SHOWN).decode(errors="replace")
            if error.code >= 500 or error.code in _LATER:
                return f"HTTP {error.code}: {said}"
            if error.code in (401, 403):
                raise AccessDeniedError(
                    f"the OpenLineage backend refused us: HTTP {error.code}: {said}"
                ) from None
            raise RejectedError(
                f"the OpenLineage backend refused the event: HTTP {error.code}: {said}",
                field="event", value=error.code, allowed="HTTP 2xx",
            ) from None  # fmt: skip
        except (OSError, HTTPException) as error:
            return f"{type(error).__name__}: {error}"


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the key elsewhere and turn the POST into a GET."""

    def redirect_request(self, *_arguments: Any) -> None:
        return None
