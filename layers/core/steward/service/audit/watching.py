"""The ledger table's stream: items are written once, so that any other change is a finding."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from steward.contracts.events import LedgerTampered
from steward.service.emission import Cause, event

if TYPE_CHECKING:
    from steward.ports import Clock, Ids, StateStore


@dataclass(frozen=True)
class Watcher:
    """Tells each change and removal of an item, once."""

    state: StateStore
    clock: Clock
    ids: Ids

    def watch(self, records: Sequence[Mapping[str, Any]]) -> list[str]:
        """Publish what was tampered with; return the items.

        The event's time and content are those of the change, so that a batch which is
        delivered twice tells the same, which is recorded and mailed once.
        """
        told: list[str] = []
        for record in records:
            if record.get("eventName") in ("MODIFY", "REMOVE"):
                told.append(self._tell(record))
        return told

    def _tell(self, record: Mapping[str, Any]) -> str:
        change = record["dynamodb"]
        keys = change["Keys"]
        item = str(keys["item"]["S"])
        tampered = LedgerTampered(
            item=item,
            change=record["eventName"],
            by=str((record.get("userIdentity") or {}).get("principalId", "")),
            before=_digest(change.get("OldImage")) or "",
            after=_digest(change.get("NewImage")),
        )
        at = datetime.fromtimestamp(float(change.get("ApproximateCreationDateTime", 0)), UTC)
        sequence = str(change.get("SequenceNumber", ""))
        cause = Cause(str(keys["project"]["S"]), f"ledger-{keys['project']['S']}", sequence)
        made = event(tampered, cause, self.clock, self.ids)
        stable = {"time": at.isoformat(), "event_id": record.get("eventID") or made.event_id}
        self.state.commit([], [made.model_copy(update=stable)])
        return item


def _digest(image: object) -> str | None:
    if image is None:
        return None
    return hashlib.sha256(json.dumps(image, sort_keys=True).encode()).hexdigest()
