"""Which ARN IAM judges a request on, where MiniStack names another one or none.

Every service that names its own does it here, so that MiniStack's function is replaced once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Extract = Callable[..., str]


@dataclass(frozen=True)
class Asked:
    """A request as IAM sees it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    query_params: dict[str, Any]
    region: str
    account_id: str

    @property
    def operation(self) -> str:
        """Operation of a JSON request, empty for any other."""
        return self.headers.get("x-amz-target", "").rsplit(".", 1)[-1]


Names = Callable[[Asked, str], str]
"""Returns the ARN from a request and the ARN that MiniStack has for it."""

_BY_SERVICE: dict[str, Names] = {}


def judge(service: str, names: Names) -> None:
    """Let ``names`` say what requests of a service are judged on."""
    _BY_SERVICE[service] = names


def extract(original: Extract) -> Extract:
    """Ask the service's own rule after MiniStack's."""

    def judged_on(
        service: str,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes,
        query_params: dict[str, Any],
        region: str,
        account_id: str,
    ) -> str:
        known = str(
            original(service, method, path, headers, body, query_params, region, account_id)
        )
        names = _BY_SERVICE.get(service)
        if names is None:
            return known
        return names(Asked(method, path, headers, body, query_params, region, account_id), known)

    return judged_on
