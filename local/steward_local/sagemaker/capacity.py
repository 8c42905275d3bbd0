"""Capacity that this engine is told not to have, as AWS refuses it; for tests and drills.

``capacity.json`` in the engine's state directory maps names of endpoints to what they meet:
``limit`` (``CreateEndpoint`` is refused: an account quota) or ``instances`` (the endpoint is taken
and fails: there are no machines). It is read at each call; without the file there is always room.

Sources: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateEndpoint.html for
``ResourceLimitExceeded``; the words are by knowledge.
"""

from __future__ import annotations

import json

from steward_local.sagemaker import settings
from steward_local.sagemaker.errors import limit_exceeded

FILE = "capacity.json"
NO_INSTANCES = (
    "Unable to provision requested ML compute capacity due to InsufficientInstanceCapacity error. "
    "Please retry using a different ML instance type or after some time."
)


def _lacks(endpoint: str) -> str | None:
    try:
        told = json.loads((settings.current().state / FILE).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    lack: str | None = told.get(endpoint) if isinstance(told, dict) else None
    return lack


def check_quota(endpoint: str) -> None:
    """Refuse an endpoint that is above the account's quota.

    Raises:
        ApiError: ``ResourceLimitExceeded``.
    """
    if _lacks(endpoint) == "limit":
        raise limit_exceeded(
            "The account-level service limit 'Maximum total concurrency that can be allocated "
            "across all serverless endpoints' is 10, with current utilization of 10 and a request "
            "delta of 5. Please use AWS Service Quotas to request an increase for this quota."
        )


def shortage(endpoint: str) -> str | None:
    """Return why an endpoint gets no machine, None where it gets one."""
    return NO_INSTANCES if _lacks(endpoint) == "instances" else None
