"""Secrets of others, read when they are needed and kept nowhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from steward.adapters.errors import translated


def secret_text(client: Any, secret_id: str) -> Callable[[], str]:
    """Return what reads a secret's text from Secrets Manager, anew each time.

    Args:
        client: A boto3 Secrets Manager client.
        secret_id: ARN or name.
    """

    def read() -> str:
        with translated(f"read secret {secret_id}"):
            return str(client.get_secret_value(SecretId=secret_id)["SecretString"]).strip()

    return read
