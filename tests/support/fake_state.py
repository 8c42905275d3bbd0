"""The fake state store: DynamoDB's conditions, limits and all-or-nothing commits in memory."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from steward.contracts.events import Event
from steward.domain.errors import ConflictError, RejectedError
from steward.ports import (
    KEYS,
    Absent,
    AbsentOrBelow,
    Change,
    Condition,
    Delete,
    Equals,
    Exists,
    Item,
    OneOf,
    Put,
    Table,
    Update,
)


class FakeState:
    """Tables in memory, with DynamoDB's conditions and all-or-nothing commits.

    ``events`` are those committed to the outbox. ``before_commit`` holds functions that are
    called once each, one per commit, just before its conditions are judged: a test puts
    somebody else's write there and so loses the race.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.before_commit: list[Callable[[], None]] = []
        self.commits = 0
        self._tables: dict[Table, dict[tuple[str, ...], Item]] = {table: {} for table in Table}

    def get(self, table: Table, key: Mapping[str, str]) -> Item | None:
        return copy.deepcopy(self._tables[table].get(_key(table, key, whole=True)))

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
        found = sorted(
            (key, item)
            for key, item in self._tables[table].items()
            if key[0] == partition and (len(key) == 1 or key[1].startswith(prefix))
        )
        items = [copy.deepcopy(item) for _, item in (reversed(found) if newest_first else found)]
        if fields:
            items = [{name: item[name] for name in fields if name in item} for item in items]
        return items if limit is None else items[:limit]

    def scan(self, table: Table) -> Iterator[Item]:
        yield from copy.deepcopy(list(self._tables[table].values()))

    def put(self, table: Table, *items: Mapping[str, Any]) -> None:
        """Write items without conditions: a test's way to set the scene."""
        for item in items:
            self._apply(Put(table, item))

    def commit(self, changes: Sequence[Change], events: Sequence[Event] = ()) -> None:
        if self.before_commit:
            self.before_commit.pop(0)()
        keys = [(change.table, _key_of(change)) for change in changes]
        if len(set(keys)) < len(keys) or len(changes) + len(events) > 100:
            raise RejectedError("one change an item, 100 together", field="changes")
        for event in events:
            event.detail_json()
        for change, (_, key) in zip(changes, keys, strict=True):
            item = self._tables[change.table].get(key)
            for condition in change.expect:
                if not _holds(condition, item):
                    raise ConflictError(f"{change.table} {key}: {condition} did not hold")
        before = copy.copy({table: dict(items) for table, items in self._tables.items()})
        try:
            for change in changes:
                self._apply(change)
        except RejectedError:
            self._tables = before
            raise
        self.events.extend(events)
        self.commits += 1

    def named(self, detail_type: str) -> list[Event]:
        """Return the committed events of one detail-type."""
        return [event for event in self.events if event.detail_type == detail_type]

    def _apply(self, change: Change) -> None:
        key, table = _key_of(change), self._tables[change.table]
        match change:
            case Put(item=item):
                table[key] = _checked(item)
            case Update(key=parts, set=values, remove=removed):
                if set(values) & (set(parts) | set(removed)) or set(removed) & set(parts):
                    raise RejectedError("an update of its own key, or twice", field="set")
                merged = {**table.get(key, dict(parts)), **values}
                table[key] = _checked({k: v for k, v in merged.items() if k not in removed})
            case Delete():
                table.pop(key, None)


def _key(table: Table, item: Mapping[str, Any], *, whole: bool = False) -> tuple[str, ...]:
    names = KEYS[table]
    parts = tuple(item.get(name) for name in names)
    if not all(isinstance(part, str) and part for part in parts):
        raise RejectedError(f"{table} needs {names} as non-empty strings", field="key")
    if whole and set(item) != set(names):
        raise RejectedError(f"the key of {table} is {names}", field="key")
    return tuple(str(part) for part in parts)


def _key_of(change: Change) -> tuple[str, ...]:
    if isinstance(change, Put):
        return _key(change.table, change.item)
    return _key(change.table, change.key, whole=True)


def _checked(item: Mapping[str, Any]) -> Item:
    if any(not name or name.startswith("~") for name in item):
        raise RejectedError("a name that is empty or begins with ~", field="item")
    copied: Item = {name: _plain(value, name) for name, value in item.items()}
    if len(json.dumps(copied, ensure_ascii=False).encode()) > 400 * 1024:
        raise RejectedError("item above 400 KB", field="item")
    return copied


def _plain(value: Any, name: str) -> Any:
    match value:
        case None | bool() | str():
            return value
        case int():
            if len(str(abs(value)).rstrip("0")) > 38 or abs(value) >= 10**126:
                raise RejectedError("a number that DynamoDB has not", field=name)
            return int(value)
        case float():
            if not math.isfinite(value) or (value and not 1e-130 <= abs(value) < 1e126):
                raise RejectedError("a number that DynamoDB has not", field=name)
            return float(value)
        case Mapping():
            if "" in value:
                raise RejectedError("an empty key", field=name)
            return {str(key): _plain(part, name) for key, part in value.items()}
        case list() | tuple():
            return [_plain(part, name) for part in value]
    raise TypeError(f"{name}: {type(value).__name__} is not JSON")


def _holds(condition: Condition, item: Item | None) -> bool:
    found = item or {}
    match condition:
        case Absent():
            return item is None
        case Exists():
            return item is not None
        case Equals(attribute, value):
            return _same(found.get(attribute), value)
        case OneOf(attribute, values):
            return any(_same(found.get(attribute), value) for value in values)
        case AbsentOrBelow(attribute, limit):
            present = found.get(attribute)
            return present is None or (_is_number(present) and present < limit)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _same(left: Any, right: Any) -> bool:
    """Compare as DynamoDB does: 1 is 1.0 and True is neither."""
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(_same(left[k], right[k]) for k in left)
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return len(left) == len(right) and all(map(_same, left, right))
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)
