"""Bringing rows of a feature group online: read, merge, put, one writer a shard at a time."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from steward.domain.errors import ConflictError, LockHeldError
from steward.domain.feature_records import (
    HistoryRow,
    entity_text,
    from_record,
    merge,
    same,
    to_record,
)
from steward.domain.feature_transforms import (
    DELETED,
    DIGEST,
    EVENT_TIME,
    KNOWN_AT,
    contribution,
)
from steward.domain.locks import feature_lock
from steward.domain.workspace import Connection, identifier
from steward.ports import (
    Absent,
    Clock,
    Condition,
    Delete,
    Equals,
    FeatureRecords,
    Put,
    StateStore,
    Table,
)
from steward.service.feature_catalog import GroupVersion

LEASE_S = 300
BATCH = 100


@dataclass(frozen=True)
class OnlineWriter:
    """Puts rows of one version online.

    Attributes:
        owner: Who holds the shard's lease; the same owner may take it again after a crash.
    """

    project: str
    version: GroupVersion
    owner: str
    state: StateStore
    records: FeatureRecords
    clock: Clock

    def put_shard(self, connection: Connection, rows: str, shard: int, received: datetime) -> int:
        """Bring one shard online and return how many records were written.

        Whatever is written twice, or late, or after a crash, leads to the same records.

        Args:
            connection: Holds the rows.
            rows: Relation with the columns of the group's Parquet and ``shard_``.
            shard: Which.
            received: When the rows were received; windows older than it are dropped.

        Raises:
            LockHeldError: Somebody else writes the shard.
            FeatureWindowError: A window has more rows than it may hold.
        """
        now_ms = _milliseconds(received)
        written = 0
        with self._lease(shard):
            entities = entity_rows(connection, self.version, rows, shard, now_ms)
            while batch := dict(itertools.islice(entities, BATCH)):
                written += self._put(batch, now_ms)
        return written

    def _put(self, batch: dict[str, list[HistoryRow]], now_ms: int) -> int:
        group, physical = self.version.group, self.version.physical_name
        held = self.records.read(physical, list(batch))
        changed = []
        for entity, history in batch.items():
            known = from_record(group, held[entity]) if entity in held else None
            merged = merge(group, entity, known, history, now_ms=now_ms)
            if merged is not None and not same(known, merged):
                clock_ms = _milliseconds(self.clock.now())
                changed.append(to_record(group, merged, now_ms=clock_ms))
        if changed:
            self.records.write(physical, changed)
        return len(changed)

    @contextmanager
    def _lease(self, shard: int) -> Iterator[None]:
        name = feature_lock(
            self.project, self.version.group.feature_group, self.version.version, shard
        )
        now = self.clock.now().timestamp()
        held = self.state.get(Table.LOCKS, {"lock": name})
        expect: tuple[Condition, ...] = (Absent(),)
        if held is not None:
            if held["owner"] != self.owner and held["lease_expires_at"] > now:
                raise LockHeldError(f"{name} is held by {held['owner']}")
            expect = tuple(Equals(key, held[key]) for key in ("owner", "lease_expires_at"))
        item = {"lock": name, "owner": self.owner, "lease_expires_at": int(now) + LEASE_S}
        try:
            self.state.commit([Put(Table.LOCKS, item, expect)])
        except ConflictError:
            raise LockHeldError(f"{name} was taken by another writer") from None
        yield
        # Not in a finally: what died half-way keeps the shard until it comes back or expires.
        mine = (Equals("owner", self.owner),)
        try:
            self.state.commit([Delete(Table.LOCKS, {"lock": name}, mine)])
        except ConflictError:
            raise LockHeldError(f"the lease on {name} ran out and was taken over") from None


def entity_rows(
    connection: Connection, version: GroupVersion, rows: str, shard: int, now_ms: int
) -> Iterator[tuple[str, list[HistoryRow]]]:
    """Yield for each entity of a shard the rows that decide its record.

    They are the newest one, every tombstone, and what a window may still hold.
    """
    group = version.group
    keys = ", ".join(identifier(key) for key in group.keys)
    order = f"{EVENT_TIME} DESC, {KNOWN_AT} DESC, {DELETED} DESC, {DIGEST} DESC"
    deciding = f"row_number() OVER (PARTITION BY {keys} ORDER BY {order}) = 1"
    if group.aggregates:
        first = now_ms - max(found.window_s for found in group.aggregates) * 1000
        deciding += f" OR {DELETED} OR epoch_ms({EVENT_TIME}) > {first}"
    values = [
        f"epoch_ms({identifier(feature.name)})"
        if feature.type == "timestamp"
        else identifier(feature.name)
        for feature in group.features
    ]
    values += [f"{identifier(contribution(found))}::VARCHAR" for found in group.aggregates]
    texts = [f"{identifier(key)}::VARCHAR" for key in group.keys]
    times = [f"epoch_ms({EVENT_TIME})", f"epoch_ms({KNOWN_AT})"]
    found = connection.cursor().execute(
        f"SELECT {', '.join([*texts, *times, DELETED, DIGEST, *values])} FROM {rows}"  # noqa: S608
        f" WHERE shard_ = {int(shard)} QUALIFY {deciding} ORDER BY {', '.join(texts)}"
    )
    fetched = iter(lambda: found.fetchmany(1000), [])
    width, features = len(group.keys), len(group.features)
    flat: Iterable[tuple[object, ...]] = itertools.chain.from_iterable(fetched)
    for key, of_entity in itertools.groupby(flat, key=lambda row: row[:width]):
        history = []
        for row in of_entity:
            event_ms, known_ms, deleted, digest, *given = row[width:]
            history.append(
                HistoryRow(
                    int(event_ms), int(known_ms), bool(deleted), str(digest),  # type: ignore[call-overload]
                    tuple(given[:features]), tuple(given[features:]),  # type: ignore[arg-type]
                )
            )  # fmt: skip
        yield entity_text(key), history


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
