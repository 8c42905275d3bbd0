"""Use case: one row of a group's source comes as an event instead of in a file."""

# ruff: noqa: S608 - names go through identifier()

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from steward.contracts.events import FeatureRecordReceived
from steward.contracts.incoming import Received
from steward.domain import delivery_files
from steward.domain.column_types import wrong_of
from steward.domain.digests import digest_of
from steward.domain.errors import (
    FeatureGroupNotFoundError,
    FeatureRecordRefusedError,
    MalformedEventError,
)
from steward.domain.feature_records import iso
from steward.domain.feature_transforms import left_out_sql, rows_sql, shard_sql
from steward.domain.feature_versions import STREAM, materialisation_item, statistics_item
from steward.domain.workspace import Connection, identifier, lock, workspace
from steward.ports import Absent, Change, Equals, Put, Table, Update
from steward.service.data.feature_chunks import MADE, Workbench, write_rows
from steward.service.data.feature_online import OnlineWriter
from steward.service.data.feature_row_rules import (
    RowJudge,
    RowVerdict,
    StreamedRow,
    admit,
    keep_refused,
)
from steward.service.feature_catalog import GroupVersion, group_versions

_DIGITS = 32


def ingest_record(received: Received, bench: Workbench) -> dict[str, Any]:
    """Bring the row into every active version of its group: Parquet first, then online.

    The same event again, under whatever id EventBridge gives it, changes nothing. The row is
    judged before anything is written, by the rules of rows that its source declares now, as a
    line of a JSON Lines delivery is; columns that the group does not read are left out.

    Returns:
        Outcome by version: ``written``, ``unchanged`` (an older row), ``left_out`` (by ``where``)
        or ``known``.

    Raises:
        FeatureGroupNotFoundError: The project has no active version of the group.
        FeatureRecordRefusedError: The row broke a rule, a value is none of the type that the
            version was registered with, a key or time is missing, or the event time lies in the
            future. The row is kept in quarantine.
        MalformedEventError: The row holds text that is no Unicode.
        LockHeldError: Somebody else writes the same keys; Lambda tries again.
    """
    detail = received.detail
    assert isinstance(detail, FeatureRecordReceived)
    project = received.own.project
    versions = group_versions(bench.state, project, detail.group, active=True)
    if not versions:
        raise FeatureGroupNotFoundError(
            f"project {project!r} has no active feature group {detail.group!r}", field="group",
            value=detail.group, allowed="a group of `steward features list PROJECT`",
        )  # fmt: skip
    try:
        record_id = digest_of([project, detail.group, str(received.time), detail.row])[:_DIGITS]
    except UnicodeEncodeError:
        raise MalformedEventError(
            "the row holds text that is no Unicode", field="detail.data.row",
            allowed="text without lone surrogates",
        ) from None  # fmt: skip
    fresh = [version for version in versions if not _is_known(version, project, record_id, bench)]
    moment = datetime.fromisoformat(str(received.time))
    row = StreamedRow(project, detail.group, record_id, received.id, moment, detail.row)
    judge = RowJudge(
        bench.state, bench.objects, bench.clock, bench.limits, bench.data_bucket, bench.metrics
    )
    sources = dict.fromkeys(version.group.source for version in fresh)
    verdicts = {source: admit(row, source, judge) for source in sources}
    outcomes = {version.label: "known" for version in versions}
    for version in fresh:
        try:
            outcome = _ingest(version, row, verdicts[version.group.source], received, bench)
        except FeatureRecordRefusedError as refused:
            keep_refused(row, refused, version.label, judge)
            raise
        outcomes[version.label] = outcome
    return outcomes


def _is_known(version: GroupVersion, project: str, record_id: str, bench: Workbench) -> bool:
    name = _item_name(version, record_id)
    return bench.state.get(Table.FEATURES, {"project": project, "item": name}) is not None


def _item_name(version: GroupVersion, record_id: str) -> str:
    return materialisation_item(
        version.group.feature_group, version.version, f"{STREAM}-{record_id}"
    )


def _ingest(
    version: GroupVersion,
    row: StreamedRow,
    verdict: RowVerdict,
    received: Received,
    bench: Workbench,
) -> str:
    group, project, record_id = version.group.feature_group, row.project, row.record_id
    key = {"project": project, "item": _item_name(version, record_id)}
    moment = row.received_at
    with workspace(bench.limits, "record") as connection:
        _load(connection, version, row.values, verdict.as_null, bench)
        lock(connection, bench.limits)
        made = rows_sql(version.group, "source", received_at=moment)
        connection.execute(
            f"CREATE TABLE {MADE} AS SELECT *, {shard_sql(version.group)} AS shard_ FROM ({made})"
        )
        found = connection.execute(f"SELECT shard_, epoch_ms(event_time_) FROM {MADE}").fetchone()
        if found is None:
            return _left_out(connection, version, row.values, moment)
        path = bench.limits.folder / "record.parquet"
        written = write_rows(
            connection, version, MADE, path,
            f"features/{project}/{group}/v{version.version}/{STREAM}/{record_id}.parquet",
            bench.objects, bench.data_bucket,
        )  # fmt: skip
        shard, event_ms = int(found[0]), int(found[1])
        writer = OnlineWriter(
            project, version, f"{STREAM}-{record_id}", bench.state, bench.records, bench.clock
        )
        put = writer.put_shard(connection, MADE, shard, moment)
    now = bench.clock.now()
    item = {
        **key, "group": group, "version": version.version, "delivery_id": f"{STREAM}-{record_id}",
        "status": "done", "attempt": 1, "rows": 1, "online_rows": put, "online_chunks": 1,
        "chunks_planned": 1, "chunks": [{**written, "shards": [shard, shard]}],
        "received_at": moment.isoformat(timespec="milliseconds"), "event_id": received.id,
        "correlation_id": received.own.correlation_id, "newest_event_time": iso(event_ms),
        "ended_at": now.isoformat(timespec="milliseconds"),
        "warnings": len(verdict.violations),
    }  # fmt: skip
    changes: list[Change] = [Put(Table.FEATURES, item, expect=(Absent(),))]
    changes += _newer(version, project, iso(event_ms), bench)
    bench.state.commit(changes)
    dimensions = {"project": project, "feature_group": version.label}
    metrics = {"FeatureRows": (1, "Count"), "FeatureRecordsWritten": (put, "Count")}
    bench.metrics.put(dimensions, now, metrics)
    return "written" if put else "unchanged"


def _load(
    connection: Connection,
    version: GroupVersion,
    row: dict[str, Any],
    as_null: set[str],
    bench: Workbench,
) -> None:
    """Make ``source`` of the row, as of a JSON Lines file.

    Args:
        connection: Where it is made.
        version: Whose types the values must have.
        row: As it came.
        as_null: Columns of which a value of another type counts as null.
        bench: Gives the folder.

    Raises:
        FeatureRecordRefusedError: A value is none of its column's type.
    """
    table = version.table.model_copy(update={"format": "jsonl"})
    path = bench.limits.folder / "record.jsonl"
    read = {column.name: row.get(column.name) for column in table.columns}
    path.write_text(json.dumps(read) + "\n", encoding="utf-8")
    try:
        reading = delivery_files.reading_of(connection, path, table)
        delivery_files.load(connection, reading, table, "source", judged=True)
    finally:
        path.unlink(missing_ok=True)
    for column in table.columns:
        wrong = identifier(wrong_of(column))
        found = connection.execute(f"SELECT {wrong} FROM source").fetchone()
        if found is not None and found[0] is not None and column.name not in as_null:
            raise FeatureRecordRefusedError(
                f"{column.name} is no {column.type}: {str(found[0])[:100]!r}",
                field=f"detail.data.row.{column.name}", value=str(found[0])[:100],
                allowed=column.type,
            )  # fmt: skip


def _left_out(
    connection: Connection, version: GroupVersion, row: dict[str, Any], moment: datetime
) -> str:
    counted = connection.execute(
        left_out_sql(version.group, "source", received_at=moment)
    ).fetchone()
    assert counted is not None
    _, incomplete, future, _ = counted
    group = version.group
    if incomplete:
        needed = [*group.keys, group.event_time]
        needed += [group.known_at] if isinstance(group.known_at, str) else []
        missing = next((name for name in needed if row.get(name) is None), needed[0])
        raise FeatureRecordRefusedError(
            f"a row of {version.label} has no {missing}", field=f"detail.data.row.{missing}",
            allowed=f"values for {', '.join(needed)}",
        )  # fmt: skip
    if future:
        raise FeatureRecordRefusedError(
            f"the event time of a row of {version.label} lies in the future",
            field=f"detail.data.row.{group.event_time}", value=row.get(group.event_time),
            allowed="at most 300 s after the event's own time",
        )  # fmt: skip
    return "left_out"


def _newer(version: GroupVersion, project: str, event_time: str, bench: Workbench) -> list[Change]:
    """Return what moves the version's freshness on; a race for it is nothing to fail for."""
    name = statistics_item(version.group.feature_group, version.version)
    key = {"project": project, "item": name}
    known = bench.state.get(Table.FEATURES, key)
    if known is None or str(known.get("newest_event_time") or "") >= event_time:
        return []
    revision = int(known["revision"])
    return [
        Update(
            Table.FEATURES, key, set={"newest_event_time": event_time, "revision": revision + 1},
            expect=(Equals("revision", known["revision"]),),
        )
    ]  # fmt: skip
