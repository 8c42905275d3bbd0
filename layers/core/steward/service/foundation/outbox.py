"""Publishing the outbox: what a transaction promised reaches the bus, at least once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from steward.contracts.outbox import InsertedEvent, OutboxItem
from steward.domain.errors import MalformedEventError, RejectedError, RetryableError
from steward.ports import Entry, EventBus, FailureQueue


def publish_outbox(
    records: Sequence[Mapping[str, Any]], *, bus: EventBus, failures: FailureQueue
) -> list[str]:
    """Publish the events of a batch of stream records, in order.

    Lambda takes a shard up again at the first record that failed, so everything from there on
    counts as failed and is tried again; consumers take an event twice without harm. An event
    that the bus can never take is left in the failure queue instead of holding up the others.

    Args:
        records: Records of the table's stream; only insertions are events, expiry is not.
        bus: Where the events go.
        failures: Where they go that no retry can mend.

    Returns:
        Sequence numbers of the records to try again, in order.

    Raises:
        AccessDeniedError: The role may not publish; the whole batch is tried again.
    """
    entries: list[Entry] = []
    of_entry: list[Mapping[str, Any]] = []
    for record in records:
        if record.get("eventName") != "INSERT":
            continue
        try:
            entries.append(_entry(InsertedEvent.model_validate(record).item))
        except ValidationError as invalid:
            failures.send(record, _malformed(invalid).as_dict())
        else:
            of_entry.append(record)
    again: list[str] = []
    for index, error in bus.put(entries).items():
        if isinstance(error, RetryableError):
            again.append(str(of_entry[index]["dynamodb"]["SequenceNumber"]))
        elif isinstance(error, RejectedError):
            failures.send(of_entry[index], error.as_dict())
        else:
            raise error
    return again


def _entry(item: OutboxItem) -> Entry:
    return Entry(
        source=item.source.text,
        detail_type=item.detail_type.text,
        detail=item.detail.text,
        time=item.time.text,
    )


def _malformed(invalid: ValidationError) -> MalformedEventError:
    first = invalid.errors(include_url=False, include_input=False)[0]
    path = ".".join(str(part) for part in first["loc"])
    return MalformedEventError(
        f"outbox record: {path}: {first['msg']}", field=path, allowed=first["msg"]
    )
