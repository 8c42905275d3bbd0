"""Task: put the rows that came as events online again, after their version was revived.

Retiring a version takes its SageMaker group away. When the version comes back, each accepted
delivery is put online anew by its own materialisation. Rows that came as events have none: one
execution a revival reads their Parquet, batch by batch, and puts them.
"""

# ruff: noqa: S608 - names go through literal(), the rest is ours

from __future__ import annotations

from datetime import datetime

from steward.contracts.steps.data import MaterialiseChunk, MaterialisedChunk
from steward.domain.feature_transforms import shard_sql
from steward.domain.workspace import literal, lock, workspace
from steward.ports import Equals, Item, Table, Update
from steward.service.data.feature_chunks import (
    MADE,
    RESERVE_S,
    Workbench,
    materialisation_of,
    materialise_chunk,
    note,
    progress,
    require_running,
)
from steward.service.data.feature_files import fetch_features, file_of
from steward.service.data.feature_materialisation import STREAMED, streamed_before
from steward.service.data.feature_online import OnlineWriter
from steward.service.feature_catalog import GroupVersion, need_group_version

BATCH_ROWS = 500


def materialise(command: MaterialiseChunk, bench: Workbench) -> MaterialisedChunk:
    """Go on with a delivery, or with the streamed rows of a revival, as far as time allows.

    Raises:
        IllegalTransitionError: This attempt is not the one that runs.
        FeatureGroupNotFoundError: There is no such version, or SageMaker has no group for it.
        LockHeldError: Somebody else is writing the same keys; try again.
        FeatureWindowError: A window has more rows than declared.
        EvidenceIncompleteError: A file is gone or holds other bytes.
    """
    item = materialisation_of(command, bench.state)
    if not item.get(STREAMED):
        return materialise_chunk(command, bench)
    version = need_group_version(bench.state, command.project, command.group, command.version)
    if item["status"] == "done":
        return progress(item)
    require_running(item, command, version)
    rows = streamed_before(bench.state, version, str(item["received_at"]))
    batches = [rows[start : start + BATCH_ROWS] for start in range(0, len(rows), BATCH_ROWS)]
    if "chunks_planned" not in item:
        plan = {
            "chunks_planned": len(batches), "rows": len(rows), "online_chunks": 0,
            "online_rows": 0, "chunks": [],
        }  # fmt: skip
        item = note(item, plan, bench.state)
    longest = 0.0
    while int(item["online_chunks"]) < len(batches):
        left = bench.seconds_left()
        if longest and left < RESERVE_S + 2 * longest:
            return progress(item)
        number = int(item["online_chunks"])
        put = _put(version, batches[number], item, bench)
        done = {"online_chunks": number + 1, "online_rows": int(item["online_rows"]) + put}
        item = note(item, done, bench.state)
        longest = max(longest, left - bench.seconds_left())
    return progress(_concluded(item, bench))


def _put(version: GroupVersion, batch: list[Item], item: Item, bench: Workbench) -> int:
    """Bring the rows of a batch online; what is newer there stays."""
    files = [
        file_of(chunk, str(row["delivery_id"]), bench.data_bucket)
        for row in batch
        for chunk in row["chunks"]
    ]
    folder = bench.limits.folder / STREAMED
    paths = fetch_features(bench.objects, files, folder)
    listed = ", ".join(literal(path) for path in paths)
    writer = OnlineWriter(
        item["project"], version, f"{item['item']}#{item['attempt']}",
        bench.state, bench.records, bench.clock,
    )  # fmt: skip
    received = datetime.fromisoformat(str(batch[-1]["received_at"]))
    with workspace(bench.limits, STREAMED) as connection:
        connection.execute(
            f"CREATE TABLE {MADE} AS SELECT *, {shard_sql(version.group)} AS shard_"
            f" FROM read_parquet([{listed}])"
        )
        lock(connection, bench.limits)
        shards = connection.execute(f"SELECT DISTINCT shard_ FROM {MADE} ORDER BY 1").fetchall()
        put = sum(writer.put_shard(connection, MADE, shard, received) for (shard,) in shards)
    for file in folder.iterdir():
        file.unlink()
    return put


def _concluded(item: Item, bench: Workbench) -> Item:
    """Note the end; no event tells of it, since no row is new."""
    done = {"status": "done", "ended_at": bench.clock.now().isoformat(timespec="milliseconds")}
    mine = (Equals("attempt", item["attempt"]), Equals("status", "running"))
    key = {"project": item["project"], "item": item["item"]}
    bench.state.commit([Update(Table.FEATURES, key, set=done, expect=mine)])
    return {**item, **done}
