"""Facts for the ledger's tests."""

from __future__ import annotations

from typing import Any

from steward.domain.audit.ledger import Fact


def fact(number: int, **changed: Any) -> Fact:
    """Return the fact of an approval, numbered."""
    known: dict[str, Any] = {
        "event_id": f"e{number}", "project": "ward",
        "at": f"2026-01-05T09:00:{number % 60:02}.000Z", "who": "theo", "what": "VersionApproved",
        "details": {"number": number},
    }  # fmt: skip
    return Fact.model_validate({**known, **changed})
