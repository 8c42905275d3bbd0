"""Use case: captured objects become profiles, each of one version's rows in one window."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from steward.contracts.steps.monitoring import CapturedObject, ProfileChunk, ProfiledChunk
from steward.domain.errors import ConflictError
from steward.domain.expressions import Parsed, parse
from steward.domain.monitoring.baseline import Baseline
from steward.domain.monitoring.captured_rows import (
    Contents,
    Place,
    Rows,
    keep_predictions,
    read_object,
    rows_of,
)
from steward.domain.monitoring.declaration import Monitoring
from steward.domain.monitoring.entity_samples import EntitySample, sample_chunk
from steward.domain.monitoring.looks import window_start
from steward.domain.monitoring.profiles import Profile, profile_chunk
from steward.domain.monitoring.records import (
    ALL,
    EXPOSURES,
    KEPT_FOR,
    POINTERS_KEPT_FOR,
    chunk_id,
    chunk_item,
    chunk_uri,
    object_item,
    open_item,
    predictions_uri,
    quarantine_key,
)
from steward.domain.workspace import Connection, Limits, lock, workspace
from steward.ports import Absent, Clock, Item, ObjectStore, Put, StateStore, Table
from steward.service.monitoring.baselines import Baselines
from steward.service.monitoring.facets import bias_declared
from steward.service.monitoring.row_sampling import keep_rows, keep_whole_rows


@dataclass
class Bench:
    """What profiling works with."""

    state: StateStore
    objects: ObjectStore
    clock: Clock
    limits: Limits
    capture_bucket: str
    artifacts_bucket: str
    environment: str
    _declared: dict[str, Monitoring] | None = field(default=None)
    _grouped: dict[str, list[str]] = field(default_factory=dict)

    def declared(self) -> dict[str, Monitoring]:
        """Return what each project declares, read once."""
        if self._declared is None:
            projects = {str(item["project"]): item for item in self.state.scan(Table.PROJECTS)}
            self._declared = {name: declared_of(item) for name, item in projects.items()}
            self._grouped = {name: _grouped(item) for name, item in projects.items()}
        return self._declared

    def grouped(self, project: str) -> list[str]:
        """Return the columns whose values are compared with one another once labels come."""
        self.declared()
        return self._grouped[project]


def _grouped(configured: Item) -> list[str]:
    groups = declared_of(configured).labels.groups
    bias = bias_declared(configured)
    seen = [one.column for one in bias.attributes if one.feature] if bias is not None else []
    return list(dict.fromkeys([*groups, *seen]))


def declared_of(configured: Item) -> Monitoring:
    """Return what a configured project declares of monitoring."""
    return Monitoring.model_validate((configured.get("config") or {}).get("monitoring") or {})


def profile_objects(command: ProfileChunk, bench: Bench) -> ProfiledChunk:
    """Profile captured objects, each once.

    Profiles are written under what they are of, then pointers, then the object is marked: a run
    that is killed anywhere is repeated without counting a row twice. One object that cannot be
    used stops no other.
    """
    baselines = Baselines(bench.state, bench.objects)
    total = dict.fromkeys(("objects", "rows", "repeated", "unusable", "quarantined"), 0)
    for captured in command.objects:
        key = {"project": ALL, "item": object_item(captured.key)}
        if bench.state.get(Table.MONITORING, key) is not None:
            continue
        counted = _Object(bench, baselines, captured).profile()
        for name, number in counted.items():
            total[name] += number
    return ProfiledChunk(**total)


@dataclass
class _Object:
    bench: Bench
    baselines: Baselines
    captured: CapturedObject
    unusable: dict[str, int] = field(default_factory=dict)
    repeated: int = 0
    rows: int = 0
    chunks: int = 0

    def profile(self) -> dict[str, int]:
        bench = self.bench
        now = bench.clock.now()
        path = bench.limits.folder / "captured.jsonl"
        bench.objects.download(bench.capture_bucket, self.captured.key, str(path))
        windows = {name: one.window_s for name, one in bench.declared().items()}
        with workspace(bench.limits, "captured") as connection:
            lock(connection, bench.limits)
            contents = read_object(connection, path, windows, int(now.timestamp() * 1000))
            self.unusable = dict(contents.unusable)
            self.repeated = sum(contents.repeated.values())
            for place in contents.rows:
                self._chunk(connection, place, now)
        path.unlink()
        quarantined = bool(self.unusable) and self._set_aside(contents, now)
        self._mark(contents, now)
        return {
            "objects": 1, "rows": self.rows, "repeated": self.repeated,
            "unusable": sum(self.unusable.values()), "quarantined": int(quarantined),
        }  # fmt: skip

    def _chunk(self, connection: Connection, place: Place, now: datetime) -> None:
        bench, project = self.bench, place.project
        declared = bench.declared()[project]
        window = window_start(place.window, declared.window_s)
        found = self.baselines.of(project, place.version)
        baseline = found.baseline
        rows = rows_of(connection, place, baseline)
        chunk = chunk_id(rows.ids.tolist())
        key = {"project": project, "item": chunk_item(window, place.version, chunk)}
        item: Item = {
            **key, "window": window, "window_s": declared.window_s, "version": place.version,
            "chunk": chunk, "object": self.captured.key, "rows": len(rows.ids),
            "profiled_at": now.isoformat(timespec="milliseconds"),
            "expires_at": int((now + POINTERS_KEPT_FOR).timestamp()),
        }  # fmt: skip
        if baseline is None:
            item["unprofiled"] = found.missing
        else:
            item |= self._kept(baseline, rows, chunk, place, window)
            item |= self._sampled(baseline, rows, chunk, place, window)
            item |= self._whole(connection, baseline, rows, chunk, place, window)
            item["segments"] = self._segments(connection, baseline, place, window, chunk, declared)
        kept = self._predictions(connection, place, window, chunk)
        item["predictions_uri"] = kept
        opened = {"project": project, "item": open_item(window), "window_s": declared.window_s,
                  "token": f"{chunk}@{self.captured.key}",
                  "expires_at": int((now + POINTERS_KEPT_FOR).timestamp())}  # fmt: skip
        try:
            bench.state.commit(
                [Put(Table.MONITORING, item, (Absent(),)), Put(Table.MONITORING, opened)]
            )
        except ConflictError:
            known = bench.state.get(Table.MONITORING, key) or {}
            if known.get("object") != self.captured.key:
                self.repeated += len(rows.ids)
                return
        self.rows += len(rows.ids)
        self.chunks += 1

    def _kept(self, baseline: Baseline, rows: Rows, chunk: str, place: Place, window: str) -> Item:
        profile = counted(baseline, rows, chunk)
        uri = chunk_uri(self.bench.artifacts_bucket, place.project, place.version, window, chunk)
        self.bench.objects.write_once(uri, content_of(profile))
        return {"uri": uri, "digest": profile.digest, "baseline": baseline.digest}

    def _sampled(
        self, baseline: Baseline, rows: Rows, chunk: str, place: Place, window: str
    ) -> Item:
        bucket, judged = self.bench.artifacts_bucket, self.bench.declared()[place.project].columns
        uri = chunk_uri(bucket, place.project, place.version, window, f"{chunk}-rows")
        kept = keep_rows(self.bench.objects, uri, baseline, rows, judged)
        return {"sample": kept} if kept is not None else {}

    def _whole(
        self, connection: Connection, baseline: Baseline, rows: Rows, chunk: str, place: Place,
        window: str,
    ) -> Item:  # fmt: skip
        declared = self.bench.declared()[place.project].attribution
        if declared is None or baseline.attribution is None:
            return {}
        bucket = self.bench.artifacts_bucket
        uri = chunk_uri(bucket, place.project, place.version, window, f"{chunk}-whole")
        kept = keep_whole_rows(
            self.bench.objects, uri, connection, place, rows, baseline.unit, declared.rows
        )
        return {"whole": kept} if kept is not None else {}

    def _segments(
        self, connection: Connection, baseline: Baseline, place: Place, window: str, chunk: str,
        declared: Monitoring,
    ) -> Item:  # fmt: skip
        """Profile the rows of each declared segment; a condition that fails has no rows."""
        kept: Item = {}
        for segment in declared.segments:
            try:
                rows = rows_of(connection, place, baseline, segment=parse(segment.where, None))
            except duckdb.Error as error:
                kept[segment.name] = {"error": str(error)[:300], "where": segment.where}
                continue
            if not len(rows.ids):
                continue
            profile = counted(baseline, rows, chunk)
            uri = chunk_uri(
                self.bench.artifacts_bucket, place.project, place.version, window,
                f"{chunk}-{segment.name}",
            )  # fmt: skip
            self.bench.objects.write_once(uri, content_of(profile))
            kept[segment.name] = {"uri": uri, "digest": profile.digest, "where": segment.where}
        return kept

    def _predictions(self, connection: Connection, place: Place, window: str, chunk: str) -> str:
        target = self.bench.limits.folder / "predictions.parquet"
        keep_predictions(connection, place, target, self.bench.grouped(place.project))
        uri = predictions_uri(
            self.bench.artifacts_bucket, place.project, place.version, window, chunk
        )
        self.bench.objects.upload(str(target), uri, "application/vnd.apache.parquet")
        target.unlink()
        return uri

    def _set_aside(self, contents: Contents, now: datetime) -> bool:
        """Keep a copy of an object that holds unusable lines, with a report beside it."""
        bench, key = self.bench, self.captured.key
        target = f"s3://{bench.artifacts_bucket}/{quarantine_key(key)}"
        bench.objects.copy(f"s3://{bench.capture_bucket}/{key}", target)
        report = {
            "object": f"s3://{bench.capture_bucket}/{key}",
            "read_at": now.isoformat(timespec="milliseconds"),
            "lines": contents.lines, "counted": sum(contents.rows.values()),
            "unusable": contents.unusable, "first_lines": contents.places,
        }  # fmt: skip
        bench.objects.write(f"{target}.report.json", json.dumps(report, indent=1).encode())
        return True

    def _mark(self, contents: Contents, now: datetime) -> None:
        item = {
            "project": ALL, "item": object_item(self.captured.key),
            "at": now.isoformat(timespec="milliseconds"), "lines": contents.lines,
            "rows": self.rows, "repeated": self.repeated, "shadow": contents.shadow,
            "unusable": self.unusable, "chunks": self.chunks,
            "expires_at": int((_named(self.captured.key, now) + KEPT_FOR).timestamp()),
        }  # fmt: skip
        self.bench.state.commit([Put(Table.MONITORING, item)])


def _named(key: str, now: datetime) -> datetime:
    """Return the later of now and the day in an object's name, until when it may be listed."""
    parts = key.removeprefix(EXPOSURES).split("/")[:3]
    try:
        year, month, day = (int(part) for part in parts)
        return max(now, datetime(year, month, day, tzinfo=UTC) + timedelta(days=1))
    except ValueError:
        return now


def counted(baseline: Baseline, rows: Rows, chunk: str) -> Profile | EntitySample:
    """Return the counts of rows on a baseline's cells, by its unit."""
    if baseline.unit == "entity":
        return sample_chunk(baseline, _arrays(rows), rows.entities, rows.times, chunk)
    times = rows.times.tolist()
    return profile_chunk(
        baseline, rows.columns, chunk,
        first=min(times) if times else None, last=max(times) if times else None,
    )  # fmt: skip


def _arrays(rows: Rows) -> dict[str, Any]:
    return dict(rows.columns)


def content_of(profile: Profile | EntitySample) -> bytes:
    """Return a profile as it is stored."""
    text = profile.to_json() if isinstance(profile, EntitySample) else profile.model_dump_json()
    return text.encode()


def read_rows(
    bench: Bench, key: str, place: Place, baseline: Baseline, without: list[str], path: Path,
    read_at: datetime, segment: Parsed | None = None,
) -> Rows:  # fmt: skip
    """Return the rows of a place of a captured object again, without those that are elsewhere."""
    bench.objects.download(bench.capture_bucket, key, str(path))
    windows = {name: one.window_s for name, one in bench.declared().items()}
    with workspace(bench.limits, "again") as connection:
        lock(connection, bench.limits)
        read_object(connection, path, windows, int(read_at.timestamp() * 1000))
        rows = rows_of(connection, place, baseline, without=without, segment=segment)
    path.unlink()
    return rows
