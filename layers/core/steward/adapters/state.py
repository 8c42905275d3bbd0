"""The state store on DynamoDB: conditional and transactional writes with an outbox."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from steward.adapters.errors import LOST, THROTTLED, code_of, message_of, translate, translated
from steward.adapters.expressions import Expression
from steward.adapters.items import companion, decode_item, encode_item
from steward.contracts.events import Event
from steward.domain.errors import ConflictError, RejectedError, StewardError, ThrottledError
from steward.ports import KEYS, Change, Delete, Item, Put, Table, Update

OUTBOX_RETENTION = timedelta(days=7)
MAX_TRANSACTION = 100
_ATTEMPTS = 6
_FIRST_DELAY_S, _LONGEST_DELAY_S = 0.05, 1.0


class DynamoStateStore:
    """Items in the tables of one stack.

    A single change without condition and event is a plain write. Everything else is one
    ``TransactWriteItems`` with a client token, so that a write which botocore repeats after
    a lost answer is recognised as the same and does not lose against itself.

    Args:
        client: A boto3 DynamoDB client.
        tables: Physical names of the tables that the caller uses.
        outbox: Physical name of the outbox table, for those who commit events.
        sleep: Waits between the attempts of a transaction.
    """

    def __init__(
        self,
        client: Any,
        tables: Mapping[Table, str],
        outbox: str | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._tables = tables
        self._outbox = outbox
        self._sleep = sleep

    def get(self, table: Table, key: Mapping[str, str]) -> Item | None:
        """Return an item by strongly consistent read, or None."""
        request = {"TableName": self._name(table), "Key": _encoded_key(table, key)}
        with translated(f"read {table} {dict(key)}"):
            answer = self._client.get_item(**request, ConsistentRead=True)
        return decode_item(answer["Item"]) if "Item" in answer else None

    def query(
        self,
        table: Table,
        partition: str,
        *,
        prefix: str = "",
        newest_first: bool = False,
        limit: int | None = None,
        fields: tuple[str, ...] = (),
    ) -> list[Item]:
        """Return items of a partition whose sort key starts with ``prefix``, in key order."""
        expression, names = Expression(), KEYS[table]
        text = f"{expression.name(names[0])} = {expression.value({'S': partition})}"
        if prefix and len(names) > 1:
            sort, start = expression.name(names[1]), expression.value({"S": prefix})
            text += f" AND begins_with({sort}, {start})"
        asked = ", ".join(expression.name(part) for f in fields for part in (f, companion(f)))
        pages = self._pages(
            "query", table, KeyConditionExpression=text, ScanIndexForward=not newest_first,
            **({"ProjectionExpression": asked} if asked else {}),
            **({} if limit is None else {"Limit": max(limit, 1)}), **expression.parameters(),
        )  # fmt: skip
        found: list[Item] = []
        for item in pages:
            if limit is not None and len(found) >= limit:
                break
            found.append(item)
        return found

    def scan(self, table: Table) -> Iterator[Item]:
        """Yield all items of a table that is known to be small."""
        yield from self._pages("scan", table)

    def _pages(self, operation: str, table: Table, **request: Any) -> Iterator[Item]:
        name, call = self._name(table), getattr(self._client, operation)
        start: dict[str, Any] = {}
        while True:
            with translated(f"{operation} {table}"):
                page = call(TableName=name, ConsistentRead=True, **request, **start)
            yield from map(decode_item, page["Items"])
            if not page.get("LastEvaluatedKey"):
                return
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    def commit(self, changes: Sequence[Change], events: Sequence[Event] = ()) -> None:
        """Write all changes and an outbox item per event in one transaction, or nothing."""
        if not changes and not events:
            return
        _check_whole(changes, events)
        writes = [self._write(change) for change in changes]
        if len(changes) == 1 and not events and not changes[0].expect:
            self._write_one(changes[0], writes[0])
        else:
            self._transact(changes, [*writes, *map(self._outbox_put, events)])

    def _name(self, table: Table) -> str:
        try:
            return self._tables[table]
        except KeyError:
            raise StewardError(f"no table for {table}: {table.upper()}_TABLE is not set") from None

    def _write(self, change: Change) -> dict[str, Any]:
        expression, name = Expression(), self._name(change.table)
        request: dict[str, Any] = {"TableName": name}
        match change:
            case Put(table=table, item=item):
                _key_parts(table, item)
                kind, request["Item"] = "Put", encode_item(item)
            case Update(table=table, key=key):
                kind, request["Key"] = "Update", _encoded_key(table, key)
                request |= expression.update(change)
            case Delete(table=table, key=key):
                kind, request["Key"] = "Delete", _encoded_key(table, key)
        request |= expression.condition(change.table, change.expect)
        return {kind: request | expression.parameters()}

    def _outbox_put(self, event: Event) -> dict[str, Any]:
        if self._outbox is None:
            raise StewardError("no outbox: OUTBOX_TABLE is not set")
        expires_at = datetime.fromisoformat(event.time) + OUTBOX_RETENTION
        item = {
            "event_id": event.event_id,
            "source": event.source,
            "detail_type": event.detail_type,
            "detail": event.detail_json(),
            "time": event.time,
            "expires_at": int(expires_at.timestamp()),
        }
        return {"Put": {"TableName": self._outbox, "Item": encode_item(item)}}

    def _write_one(self, change: Change, write: dict[str, Any]) -> None:
        ((kind, request),) = write.items()
        call = getattr(self._client, f"{kind.lower()}_item")
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                call(**request)
                return
            except ClientError as error:
                if code_of(error) != "TransactionConflictException" or attempt == _ATTEMPTS:
                    raise translate(error, _described(change)) from error
            self._wait(attempt)

    def _transact(self, changes: Sequence[Change], writes: list[dict[str, Any]]) -> None:
        token, doing = str(uuid.uuid4()), "; ".join(map(_described, changes)) or "write events"
        for attempt in range(1, _ATTEMPTS + 1):
            with translated(doing):
                try:
                    self._client.transact_write_items(
                        TransactItems=writes, ClientRequestToken=token
                    )
                    return
                except self._client.exceptions.TransactionCanceledException as error:
                    _raise_unless_passing(error, changes, doing)
            self._wait(attempt)
        raise ThrottledError(f"{doing}: other transactions won {_ATTEMPTS} times")

    def _wait(self, attempt: int) -> None:
        longest = min(_LONGEST_DELAY_S, _FIRST_DELAY_S * 2 ** (attempt - 1))
        self._sleep(random.uniform(0, longest))  # noqa: S311  # jitter, no secret


def _check_whole(changes: Sequence[Change], events: Sequence[Event]) -> None:
    count = len(changes) + len(events)
    if count > MAX_TRANSACTION:
        raise RejectedError(
            f"{count} writes in one commit", field="changes", value=count,
            allowed=f"at most {MAX_TRANSACTION} changes and events together",
        )  # fmt: skip
    places = [(change.table, *_key_of(change)) for change in changes]
    twice = next((place for place in places if places.count(place) > 1), None)
    if twice:
        raise RejectedError(
            f"two changes of {twice} in one commit", field="changes", allowed="one change an item"
        )


def _key_of(change: Change) -> tuple[str, ...]:
    return _key_parts(change.table, change.item if isinstance(change, Put) else change.key)


def _key_parts(table: Table, item: Mapping[str, Any]) -> tuple[str, ...]:
    parts = tuple(item.get(name) for name in KEYS[table])
    if not all(isinstance(part, str) and part for part in parts):
        raise RejectedError(
            f"{table}: {parts} is no key", field=", ".join(KEYS[table]), allowed="non-empty strings"
        )
    return tuple(str(part) for part in parts)


def _encoded_key(table: Table, key: Mapping[str, str]) -> dict[str, dict[str, str]]:
    parts = _key_parts(table, key)
    if len(key) != len(parts):
        raise RejectedError(
            f"{table}: {dict(key)} is no key", field="key", allowed=", ".join(KEYS[table])
        )
    return {name: {"S": part} for name, part in zip(KEYS[table], parts, strict=True)}


def _described(change: Change) -> str:
    kind = type(change).__name__.lower()
    expected = ", ".join(map(str, change.expect))
    place = f"{kind} {change.table} {'/'.join(_key_of(change))}"
    return f"{place} expecting {expected}" if expected else place


def _raise_unless_passing(error: ClientError, changes: Sequence[Change], doing: str) -> None:
    """Raise what a cancelled transaction means, unless trying again may succeed."""
    reasons = error.response.get("CancellationReasons") or []
    codes = [reason.get("Code", "None") for reason in reasons]
    lost = [
        _described(change) for change, code in zip(changes, codes, strict=False) if code in LOST
    ]
    if lost:
        raise ConflictError(f"{'; '.join(lost)}: did not hold") from error
    if any(code in LOST for code in codes):
        raise ConflictError(f"{doing}: a condition did not hold") from error
    others = [
        reason for reason, code in zip(reasons, codes, strict=True)
        if code != "None" and code not in THROTTLED
    ]  # fmt: skip
    if others or not reasons:
        told = "; ".join(f"{r.get('Code')}: {r.get('Message')}" for r in others)
        raise RejectedError(
            f"{doing}: {told or message_of(error)}", value=others[0]["Code"] if others else None
        ) from error
