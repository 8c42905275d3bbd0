"""From the bus into the ledger's queue: every event that tells a decision or a change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steward.contracts.events import PAYLOADS
from steward.domain.audit.facts import UNRECORDED, fact_of

if TYPE_CHECKING:
    from steward.contracts.incoming import Received
    from steward.ports import FactQueue

RECORDED = tuple(name for name in PAYLOADS if name not in UNRECORDED)
"""Detail-types that the ledger records."""


def queue_fact(received: Received, *, queue: FactQueue) -> dict[str, str]:
    """Leave the fact that an event tells in its project's queue; return what it is about."""
    meta = received.own
    fact = fact_of(
        source=received.source,
        detail_type=received.detail_type,
        time=received.time,
        meta=meta.model_dump(exclude={"schema_version"}),
        data=received.detail.model_dump(mode="json"),
    )
    queue.send(fact.project, fact.event_id, fact.model_dump_json())
    return {"event_id": fact.event_id, "project": fact.project, "subject": fact.subject}
