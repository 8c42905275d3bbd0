"""Secrets of others, read when they are needed and kept nowhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from steward.adapters.cost_tags import CostTags
from steward.adapters.errors import translated
from steward.domain.errors import RejectedError


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


class SecretsManagerSecrets:
    """Secrets of this stack, by name."""

    def __init__(self, client: Any, tags: CostTags | None = None) -> None:
        self._client = client
        self._tags = tags

    def create(self, name: str, text: str) -> None:
        """Keep a secret."""
        with translated(f"create secret {name}"):
            tags = {"Tags": self._tags.of(name)} if self._tags is not None else {}
            self._client.create_secret(Name=name, SecretString=text, **tags)

    def read(self, name: str) -> str:
        """Return a secret's text."""
        return secret_text(self._client, name)()

    def delete(self, name: str) -> None:
        """Remove a secret at once; what is gone is fine."""
        try:
            with translated(f"delete secret {name}"):
                self._client.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)
        except RejectedError as error:
            if error.value != "ResourceNotFoundException":
                raise
