"""A project's connection to its forge, as it lies in the run table."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from steward.ports import Item

CONNECTION = "forge"
"""Its sort key."""


def archive_url(connection: Item, commit_id: str) -> str:
    """Return where the archive of a commit is, from the connection's own template."""
    template: str = connection["archive"]
    return template.replace("{repository}", connection["repository"]).replace("{commit}", commit_id)


def token_of(text: str) -> str:
    """Return the token of a secret: its text, or the key ``token`` of its JSON."""
    try:
        document = json.loads(text)
    except ValueError:
        return text.strip()
    return str(document.get("token", "")) if isinstance(document, dict) else text.strip()
