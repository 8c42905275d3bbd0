"""From the bus into the ledger's queue: every event that tells a decision or a change."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from steward.domain.audit.facts import fact_of
from steward.domain.errors import MalformedEventError, RejectedError, RetryableError

if TYPE_CHECKING:
    from steward.contracts.incoming import Received
    from steward.ports import FactQueue


def queue_messages(
    messages: Sequence[Mapping[str, Any]],
    *,
    parse: Callable[[object], Received],
    queue: FactQueue,
) -> list[str]:
    """Leave the fact of each event in its project's queue.

    Args:
        messages: Of the queue that the bus fills; each body is an event as EventBridge gives it.
        parse: Returns the typed event, or raises ``MalformedEventError``.
        queue: The ledger's queue.

    Returns:
        Ids of the messages to deliver again: what is no event of ours comes back until it lies in
        the dead-letter queue, and holds up nobody.
    """
    again: list[str] = []
    for message in messages:
        try:
            queue_fact(parse(json.loads(str(message["body"]))), queue=queue)
        except (ValueError, MalformedEventError, RejectedError, RetryableError):
            again.append(str(message["messageId"]))
    return again


def queue_fact(received: Received, *, queue: FactQueue) -> None:
    """Leave the fact that an event tells in its project's queue."""
    meta = received.own
    fact = fact_of(
        source=received.source,
        detail_type=received.detail_type,
        time=received.time,
        meta=meta.model_dump(exclude={"schema_version"}),
        data=received.detail.model_dump(mode="json"),
    )
    queue.send(fact.project, fact.event_id, fact.model_dump_json())
