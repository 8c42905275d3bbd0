"""A queue of copies that keeps them, or fails as it is told."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from steward.domain.errors import RejectedError, StewardError

MAX_MESSAGE_BYTES = 250 * 1024


@dataclass
class FakeMirrorQueue:
    """Keeps what was sent; ``failing`` is raised instead."""

    copies: list[str] = field(default_factory=list)
    failing: StewardError | None = None

    def send(self, copy: str) -> None:
        if self.failing is not None:
            raise self.failing
        if len(copy.encode()) > MAX_MESSAGE_BYTES:
            raise RejectedError("too long", field="copy", value=len(copy))
        self.copies.append(copy)

    def sent(self) -> list[dict[str, Any]]:
        """Return the copies, parsed."""
        return [json.loads(copy) for copy in self.copies]
