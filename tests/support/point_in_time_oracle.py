"""The point-in-time semantics once more, row by row in plain Python, to judge the engines by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any


@dataclass(frozen=True)
class Record:
    """A record of a view; what it contributes to aggregates is ``amount``."""

    key: tuple[Any, ...]
    event: datetime | None
    known: datetime | None
    deleted: bool
    digest: str
    value: Any
    amount: Decimal | None = None


@dataclass(frozen=True)
class Definition:
    """What a view asks for beside its value: TTL and windows as (function, seconds)."""

    ttl_s: int = 0
    windows: Sequence[tuple[str, int]] = ()


@dataclass(frozen=True)
class Answer:
    """One output row of one view."""

    state: str
    value: Any = None
    windows: list[Any] = field(default_factory=list)


def _order(record: Record) -> tuple[Any, ...]:
    return (record.event, record.known, record.deleted, record.digest)


def answer(
    records: Sequence[Record],
    key: tuple[Any, ...],
    moment: datetime | None,
    cutoff: datetime,
    definition: Definition,
    event_time_only: bool = False,
) -> Answer:
    """Return what a spine row gets of a view."""
    nothing: list[Any] = [None] * len(definition.windows)
    if moment is None or any(part is None for part in key):
        return Answer("missing", None, nothing)
    usable = [
        r for r in records
        if r.key == key and r.event is not None and r.known is not None and r.event <= moment
        and (event_time_only or r.known <= min(moment, cutoff))
    ]  # fmt: skip
    if not usable:
        return Answer("missing", None, nothing)
    best = max(usable, key=_order)
    assert best.event is not None
    if best.deleted:
        return Answer("deleted", None, nothing)
    if definition.ttl_s and best.event < moment - timedelta(seconds=definition.ttl_s):
        return Answer("expired", None, nothing)
    winners: dict[datetime, Record] = {}
    for record in sorted(usable, key=_order):
        assert record.event is not None
        winners[record.event] = record
    values = [_window(usable, winners, moment, *window) for window in definition.windows]
    return Answer("found", best.value, values)


def _window(
    usable: Sequence[Record],
    winners: dict[datetime, Record],
    moment: datetime,
    function: str,
    seconds: int,
) -> Any:
    start = moment - timedelta(seconds=seconds)
    erased = max((r.event for r in usable if r.deleted and r.event), default=start)
    inside = [r for e, r in winners.items() if e > start and e > erased and not r.deleted]
    amounts = [r.amount for r in inside if r.amount is not None]
    if function == "count":
        return len(amounts)
    if not amounts:
        return None
    if function == "mean":
        return float(sum(amounts, Decimal(0))) / len(amounts)
    exact = {"sum": lambda: sum(amounts, Decimal(0)), "min": lambda: min(amounts),
             "max": lambda: max(amounts)}[function]()  # fmt: skip
    return float(exact)
