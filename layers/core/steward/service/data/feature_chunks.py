"""Task: bring a delivery into a version of a feature group, chunk by chunk.

A chunk holds the rows of some shards of keys. Its Parquet is written first, then its records go
online, then the item says so. Whatever dies in between is done again from the last note: the
Parquet of a chunk has one key, and online a row that came before changes nothing.
"""

# ruff: noqa: S608 - names go through identifier(), the rest is ours

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from steward.contracts.events import FeaturesMaterialised
from steward.contracts.steps.data import MaterialiseChunk, MaterialisedChunk
from steward.domain.datasets import file_digest
from steward.domain.delivery_files import load_typed
from steward.domain.errors import IllegalTransitionError, MalformedEventError
from steward.domain.feature_statistics import rows_statistics
from steward.domain.feature_transforms import (
    EVENT_TIME,
    KNOWN_AT,
    SHARDS,
    left_out_sql,
    parquet_columns,
    rows_sql,
    shard_sql,
)
from steward.domain.feature_versions import materialisation_item, statistics_item
from steward.domain.runs import DeliveryStatus
from steward.domain.workspace import Connection, Limits, identifier, literal, lock, workspace
from steward.ports import (
    Absent,
    Change,
    Clock,
    Equals,
    FeatureRecords,
    Ids,
    Item,
    ObjectStore,
    Put,
    StateStore,
    Table,
    Update,
)
from steward.service.data.deliveries import fetch_accepted
from steward.service.data.feature_online import OnlineWriter
from steward.service.emission import Cause, event
from steward.service.feature_catalog import GroupVersion, need_group_version
from steward.service.metric_lines import MetricLog

CHUNK_ROWS = 50_000
RESERVE_S = 60
"""Kept for concluding; another chunk is begun only where twice the longest one is left too."""
MADE = "made"


@dataclass(frozen=True)
class Workbench:
    """What materialising works with.

    Attributes:
        seconds_left: How long this invocation may still run.
        metrics: Where the metrics go.
    """

    state: StateStore
    objects: ObjectStore
    records: FeatureRecords
    clock: Clock
    ids: Ids
    limits: Limits
    data_bucket: str
    seconds_left: Callable[[], float]
    metrics: MetricLog


def materialise_chunk(command: MaterialiseChunk, bench: Workbench) -> MaterialisedChunk:
    """Do as many chunks as time allows, at least one, and conclude after the last.

    Raises:
        IllegalTransitionError: This attempt is not the one that runs.
        FeatureGroupNotFoundError: There is no such version, or SageMaker has no group for it.
        LockHeldError: Another delivery is writing the same keys; try again.
        FeatureWindowError: A window has more rows than declared.
    """
    version = need_group_version(bench.state, command.project, command.group, command.version)
    item = materialisation_of(command, bench.state)
    if item["status"] == "done":
        return progress(item)
    require_running(item, command, version)
    delivery = _delivery(command, bench.state)
    with workspace(bench.limits, "features") as connection:
        _make_rows(connection, version, delivery, bench)
        if "chunks_planned" not in item:
            item = _plan(connection, version, item, delivery, bench)
        longest = 0.0
        while int(item["online_chunks"]) < int(item["chunks_planned"]):
            left = bench.seconds_left()
            if longest and left < RESERVE_S + 2 * longest:
                return progress(item)
            item = _chunk(connection, version, item, delivery, bench)
            longest = max(longest, left - bench.seconds_left())
        item = _conclude(connection, version, item, delivery, command, bench)
    return progress(item)


def require_running(item: Item, command: MaterialiseChunk, version: GroupVersion) -> None:
    """Raise IllegalTransitionError where a command's attempt is not the one that runs."""
    if item["status"] != "running" or item["attempt"] != command.attempt:
        raise IllegalTransitionError(
            f"attempt {command.attempt} of {version.label} does not run: attempt "
            f"{item['attempt']} is {item['status']}",
            field="attempt", value=command.attempt, allowed="the attempt that is running",
        )  # fmt: skip


def materialisation_of(command: MaterialiseChunk, state: StateStore) -> Item:
    """Return the item that a command is about.

    Raises:
        MalformedEventError: There is none.
    """
    key = materialisation_item(command.group, command.version, command.delivery_id)
    item = state.get(Table.FEATURES, {"project": command.project, "item": key})
    if item is None:
        raise MalformedEventError(
            f"project {command.project} has no {key}", field="delivery_id",
            value=command.delivery_id, allowed="a materialisation that was started",
        )  # fmt: skip
    return item


def _delivery(command: MaterialiseChunk, state: StateStore) -> Item:
    key = {"project": command.project, "delivery_id": command.delivery_id}
    item = state.get(Table.DELIVERIES, key)
    if item is None or item["status"] != DeliveryStatus.ACCEPTED:
        raise MalformedEventError(
            f"delivery {command.delivery_id} is not accepted", field="delivery_id",
            value=command.delivery_id, allowed="an accepted delivery",
        )  # fmt: skip
    return item


def _make_rows(
    connection: Connection, version: GroupVersion, delivery: Item, bench: Workbench
) -> None:
    """Make the table of the group's rows, with ``shard_``, and leave the engine nothing else."""
    local = bench.limits.folder / "delivery"
    try:
        fetch_accepted(bench.objects, delivery, local)
        load_typed(connection, local, version.table, "source")
    finally:
        local.unlink(missing_ok=True)
    lock(connection, bench.limits)
    received = datetime.fromisoformat(delivery["received_at"])
    made = rows_sql(version.group, "source", received_at=received)
    connection.execute(
        f"CREATE TABLE {MADE} AS SELECT *, {shard_sql(version.group)} AS shard_ FROM ({made})"
    )


def _plan(
    connection: Connection, version: GroupVersion, item: Item, delivery: Item, bench: Workbench
) -> Item:
    received = datetime.fromisoformat(delivery["received_at"])
    left = left_out_sql(version.group, "source", received_at=received)
    counted = connection.execute(left).fetchone()
    rows = connection.execute(f"SELECT count(*) FROM {MADE}").fetchone()
    assert counted is not None
    assert rows is not None
    names = ("source_rows", "incomplete_rows", "future_rows", "other_rows")
    plan = {
        **dict(zip(names, map(int, counted), strict=True)),
        "rows": int(rows[0]),
        "chunks_planned": min(SHARDS, max(1, -(-int(rows[0]) // CHUNK_ROWS))),
        "chunks": [],
        "online_chunks": 0,
        "online_rows": 0,
    }
    return note(item, plan, bench.state)


def _chunk(
    connection: Connection, version: GroupVersion, item: Item, delivery: Item, bench: Workbench
) -> Item:
    number, of = int(item["online_chunks"]), int(item["chunks_planned"])
    shards = range(SHARDS * number // of, SHARDS * (number + 1) // of)
    if len(item["chunks"]) == number:
        written = _write_parquet(connection, version, shards, number, item, bench)
        item = note(item, {"chunks": [*item["chunks"], written]}, bench.state)
    writer = OnlineWriter(
        item["project"], version, f"{item['item']}#{item['attempt']}",
        bench.state, bench.records, bench.clock,
    )  # fmt: skip
    received = datetime.fromisoformat(delivery["received_at"])
    present = connection.execute(
        f"SELECT DISTINCT shard_ FROM {MADE} WHERE shard_ BETWEEN ? AND ? ORDER BY 1",
        [shards.start, shards.stop - 1],
    ).fetchall()
    put = sum(writer.put_shard(connection, MADE, shard, received) for (shard,) in present)
    done = {"online_chunks": number + 1, "online_rows": int(item["online_rows"]) + put}
    return note(item, done, bench.state)


def _write_parquet(
    connection: Connection,
    version: GroupVersion,
    shards: range,
    number: int,
    item: Item,
    bench: Workbench,
) -> dict[str, Any]:
    """Write a chunk in the order of keys and times, so that the same rows are the same file."""
    path = bench.limits.folder / "chunk.parquet"
    key = (
        f"features/{item['project']}/{version.group.feature_group}/v{version.version}/"
        f"{item['delivery_id']}/{number:05d}.parquet"
    )
    written = write_rows(
        connection, version, f"{MADE} WHERE shard_ BETWEEN {shards.start} AND {shards.stop - 1}",
        path, key, bench.objects, bench.data_bucket,
    )  # fmt: skip
    return {**written, "shards": [shards.start, shards.stop - 1]}


def write_rows(
    connection: Connection,
    version: GroupVersion,
    rows: str,
    path: Any,
    key: str,
    objects: ObjectStore,
    bucket: str,
) -> dict[str, Any]:
    """Write rows as the group's Parquet and return key, version id, digest and count."""
    names = [name for name, _ in parquet_columns(version.group, version.table)]
    keys = [identifier(name) for name in version.group.keys]
    order = ", ".join([*keys, EVENT_TIME, KNOWN_AT])
    connection.execute(
        f"COPY (SELECT {', '.join(map(identifier, names))} FROM {rows} ORDER BY {order})"
        f" TO {literal(str(path))} (FORMAT parquet, COMPRESSION zstd)"
    )
    try:
        counted = connection.execute(f"SELECT count(*) FROM {rows}").fetchone()
        assert counted is not None
        digest = file_digest(path)
        objects.upload(str(path), f"s3://{bucket}/{key}", "application/vnd.apache.parquet")
    finally:
        path.unlink(missing_ok=True)
    stored = objects.describe(bucket, key)
    return {
        "key": key, "version_id": stored.version_id if stored else None, "sha256": digest,
        "rows": int(counted[0]),
    }  # fmt: skip


def note(item: Item, done: dict[str, Any], state: StateStore) -> Item:
    """Write progress down; another attempt that runs meanwhile makes this one stop."""
    key = {"project": item["project"], "item": item["item"]}
    known = Equals("online_chunks", item.get("online_chunks"))
    mine = (Equals("attempt", item["attempt"]), Equals("status", "running"), known)
    state.commit([Update(Table.FEATURES, key, set=done, expect=mine)])
    return {**item, **done}


def _conclude(
    connection: Connection,
    version: GroupVersion,
    item: Item,
    delivery: Item,
    command: MaterialiseChunk,
    bench: Workbench,
) -> Item:
    found = rows_statistics(connection, version.group, MADE)
    now = bench.clock.now()
    done = {
        "status": "done", "ended_at": now.isoformat(timespec="milliseconds"),
        "newest_event_time": found["newest_event_time"],
    }  # fmt: skip
    payload = FeaturesMaterialised(
        group=command.group, version=command.version, delivery_id=command.delivery_id,
        rows=item["rows"], online_rows=item["online_rows"],
        files=[f"s3://{bench.data_bucket}/{chunk['key']}" for chunk in item["chunks"]],
        newest_event_time=found["newest_event_time"],
    )  # fmt: skip
    cause = Cause(command.project, command.correlation_id, command.causation_id)
    key = {"project": item["project"], "item": item["item"]}
    mine = (Equals("attempt", item["attempt"]), Equals("status", "running"))
    changes: list[Change] = [Update(Table.FEATURES, key, set=done, expect=mine)]
    changes.append(_statistics(version, command.project, found, delivery, bench))
    bench.state.commit(changes, [event(payload, cause, bench.clock, bench.ids)])
    dimensions = {"project": command.project, "feature_group": version.label}
    left_out = item["incomplete_rows"] + item["future_rows"]
    bench.metrics.put(
        dimensions, now,
        {"FeatureRows": (item["rows"], "Count"), "FeatureRowsLeftOut": (left_out, "Count"),
         "FeatureRecordsWritten": (item["online_rows"], "Count")},
    )  # fmt: skip
    for name, feature in found["features"].items():
        share = {"FeatureNullShare": (100 * feature["null_share"], "Percent")}
        bench.metrics.put({**dimensions, "feature": name}, now, share)
    return {**item, **done}


def _statistics(
    version: GroupVersion,
    project: str,
    found: dict[str, Any],
    delivery: Item,
    bench: Workbench,
) -> Put | Update:
    """Return the write of the version's statistics: of the delivery that was received last.

    The newest event time, of the group and of each feature, is over all deliveries.
    """
    name = statistics_item(version.group.feature_group, version.version)
    key = {"project": project, "item": name}
    known = bench.state.get(Table.FEATURES, key)
    mine = {
        **key, **found, "delivery_id": delivery["delivery_id"],
        "received_at": delivery["received_at"],
        "as_of": bench.clock.now().isoformat(timespec="milliseconds"), "revision": 1,
    }  # fmt: skip
    if known is None:
        return Put(Table.FEATURES, mine, expect=(Absent(),))
    later = known if known["received_at"] > mine["received_at"] else mine
    merged = {**later, "revision": int(known["revision"]) + 1}
    merged["newest_event_time"] = _newest(known, mine)
    merged["features"] = {
        feature: {
            **described,
            "newest_event_time": _newest(
                known["features"].get(feature, {}), mine["features"].get(feature, {})
            ),
        }
        for feature, described in later["features"].items()
    }
    return Put(Table.FEATURES, merged, expect=(Equals("revision", known["revision"]),))


def _newest(one: dict[str, Any], other: dict[str, Any]) -> str | None:
    times = [part.get("newest_event_time") for part in (one, other)]
    return max((time for time in times if time), default=None)


def progress(item: Item) -> MaterialisedChunk:
    """Return how far a materialisation is."""
    return MaterialisedChunk(
        done=item["status"] == "done", chunks=int(item.get("online_chunks", 0)),
        of=int(item.get("chunks_planned", 0)),
    )  # fmt: skip
