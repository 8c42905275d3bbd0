"""What becomes of a version after its card is frozen: its status and who decided."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from steward.domain.cards.card import Card, Section, Source, Statement
from steward.domain.versions import VersionState

CardStatus = Literal["Draft", "PendingReview", "Approved", "Archived"]

_S = VersionState
STATUS: dict[str, CardStatus] = {
    _S.REGISTERED: "Draft",
    _S.PENDING: "PendingReview",
    _S.STAGING_FAILED: "Archived",
    _S.APPROVED: "Approved",
    _S.REJECTED: "Archived",
    _S.EXPIRED: "Archived",
    _S.RELEASING: "Approved",
    _S.PRODUCTION: "Approved",
    _S.RETAINED: "Approved",
    _S.ROLLED_BACK: "Archived",
    _S.ARCHIVED: "Archived",
}
"""The status of a version's card in SageMaker, by the version's state."""


def standing(card: Card, item: Mapping[str, Any]) -> Card:
    """Return the card with the decisions of its version, each bound to the evidence's digest.

    Args:
        card: As it was frozen.
        item: The version's record as it is now.
    """
    digest = item.get("evidence_digest")
    if not digest:
        return card
    source = Source(name="evidence", sha256=str(digest), uri=item.get("evidence_uri"))
    decided = [
        f"{vote['decision']} by {vote['identity']} at {vote['at']}"
        + (f": {vote['comment'][:120]}" if vote.get("comment") else "")
        for vote in item.get("approvals") or []
    ]
    statements = [
        Statement(
            field="approvals.state", label="State", value=str(item["state"]), sources=["evidence"]
        ),
        Statement(
            field="approvals.decisions", label="Decisions", value=decided or None,
            sources=["evidence"] if decided else [], missing="" if decided else "a decision",
        ),
    ]  # fmt: skip
    section = Section(name="approvals", title="Approvals", statements=statements)
    return card.with_section(section, [source])
