"""Use case: compare what models were served with what training would have seen."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from steward.domain.errors import DependencyError, RejectedError
from steward.domain.feature_versions import label_of
from steward.domain.offline_values import Asked, OfflineRow, offline_rows
from steward.domain.online_engine import OnlineEngine
from steward.domain.online_values import Value, given_value, shown
from steward.domain.skew import FeatureSkew, OnlineRead, ReadSample, online_reads
from steward.domain.workspace import Limits, workspace
from steward.ports import Clock, ObjectStore, Put, StateStore, Table
from steward.service.data.online_views import OnlineView, OnlineViews, views_of_version
from steward.service.metric_lines import MetricLog

Newest = tuple[datetime, datetime] | None

MARKER = {"project": "_all", "item": "skew#marker"}
"""The last captured object that was looked at; no project has such a name."""

MAX_OBJECTS = 500
"""Captured objects of one measurement; of more the newest count."""

SAMPLE = 500
"""Reads of a project in one measurement."""

FIRST_LOOK = timedelta(days=1)
EXPOSURES = "exposures/"


@dataclass(frozen=True)
class SkewReport:
    """What one measurement found.

    Attributes:
        objects: Captured objects that were read.
        passed_over: Objects that were too many.
        reads: Reads in them.
        failed: Projects and model versions that could not be measured, with the reason.
    """

    objects: int
    passed_over: int
    reads: int
    features: list[FeatureSkew]
    failed: dict[str, str]

    def as_dict(self) -> dict[str, Any]:
        """Return the counts, for a log line."""
        return {
            "objects": self.objects,
            "passed_over": self.passed_over,
            "reads": self.reads,
            "compared": sum(skew.reads for skew in self.features),
            "differing": sum(skew.differing for skew in self.features),
            "failed": self.failed,
        }


@dataclass
class SkewMeasurement:
    """One run of the schedule.

    Attributes:
        metrics: Where the metrics go.
    """

    state: StateStore
    objects: ObjectStore
    clock: Clock
    engine: OnlineEngine
    limits: Limits
    environment: str
    data_bucket: str
    capture_bucket: str
    artifacts_bucket: str
    metrics: MetricLog

    def run(self) -> SkewReport:
        """Measure the reads that were captured since the last run.

        Per served column the share of reads whose value differs from what the training join
        gives for the same entity and moment, as metric ``FeatureSkew`` by feature, and the
        largest of a project by project, which its alarm watches. The marker moves last: a run
        that fails is done again.
        """
        now = self.clock.now()
        keys, passed_over = self._unseen(now)
        sample = ReadSample(SAMPLE)
        for key in keys:
            for read in online_reads(
                self.objects.read(f"s3://{self.capture_bucket}/{key}").splitlines()
            ):
                sample.add(read)
        features: list[FeatureSkew] = []
        failed: dict[str, str] = {}
        for project, reads in sample.by_project().items():
            found: dict[tuple[str, int, str], FeatureSkew] = {}
            for version in sorted({read.model_version for read in reads}):
                of_version = [read for read in reads if read.model_version == version]
                try:
                    self._compare(project, version, of_version, found)
                except (RejectedError, DependencyError) as error:
                    failed[f"{project}/{version}"] = f"{type(error).__name__}: {error}"
            self._tell(project, list(found.values()), now)
            features += found.values()
        report = SkewReport(len(keys), passed_over, sample.seen, features, failed)
        if keys:
            changes = [Put(Table.FEATURES, {**MARKER, "key": keys[-1]})]
            self.state.commit(changes)
        return report

    def _unseen(self, now: datetime) -> tuple[list[str], int]:
        marker = self.state.get(Table.FEATURES, MARKER)
        last = str(marker["key"]) if marker else ""
        day = _day_of(last) or (now - FIRST_LOOK)
        found: list[str] = []
        while day.date() <= now.date():
            prefix = f"{EXPOSURES}{day:%Y/%m/%d}/"
            listed = self.objects.list(self.capture_bucket, prefix)
            found += [info.key for info in listed if info.key > last]
            day += timedelta(days=1)
        return found[-MAX_OBJECTS:], max(0, len(found) - MAX_OBJECTS)

    def _compare(
        self,
        project: str,
        version: int,
        reads: list[OnlineRead],
        found: dict[tuple[str, int, str], FeatureSkew],
    ) -> None:
        views = views_of_version(self.state, project, version, self.environment)
        for view in views.views:
            group = view.group.feature_group
            asked: list[tuple[OnlineRead, Asked, Newest]] = []
            for read in reads:
                record = read.record(group)
                if record is not None and record.version == view.version:
                    asked.append((read, Asked(record.entity, read.read_at), record.newest))
            rows = self._offline(project, view, [moment for _, moment, _ in asked])
            for (read, _, newest), row in zip(asked, rows, strict=True):
                behind = row.newest is not None and (newest is None or newest < row.newest)
                for column, value in self._expected(view, views, read, row).items():
                    key = (group, view.version, column)
                    skew = found.setdefault(key, FeatureSkew(project, *key))
                    skew.add(read, shown(value), behind=behind)

    def _offline(self, project: str, view: OnlineView, asked: list[Asked]) -> list[OfflineRow]:
        group = view.group.feature_group
        folder = self.limits.folder / "features"
        folder.mkdir()
        prefix = f"features/{project}/{group}/v{view.version}/"
        try:
            files: list[Path] = []
            for info in self.objects.list(self.data_bucket, prefix):
                if info.key.endswith(".parquet"):
                    files.append(folder / f"{len(files):06d}.parquet")
                    self.objects.download(self.data_bucket, info.key, str(files[-1]))
            with workspace(self.limits, "skew") as connection:
                return offline_rows(connection, view.group, project, files, asked)
        finally:
            shutil.rmtree(folder)

    def _expected(
        self, view: OnlineView, views: OnlineViews, read: OnlineRead, row: OfflineRow
    ) -> dict[str, Value]:
        """Return what each served column should have been; what was given stays as given."""
        values = dict(row.values)
        for column in view.columns:
            if column.kind != "on_demand" and column.name not in read.served:
                values[column.feature] = given_value(
                    column.name, read.features.get(column.name), column.type
                )
        expected = {
            column.name: values[column.feature]
            for column in view.columns
            if column.kind != "on_demand" and column.name in read.served
        }
        wanted = [c for c in view.columns if c.kind == "on_demand" and c.name in read.served]
        if not wanted or view.on_demand is None:
            return expected
        for name, type_ in view.on_demand.columns:
            if name in values:
                continue
            if name in read.features:
                values[name] = given_value(name, read.features[name], type_)
            elif name == views.prediction_time:
                values[name] = read.read_at
            else:
                return expected  # the entity's id, which a capture does not hold
        (computed,) = self.engine.on_demand(view.on_demand, [values])
        return expected | {column.name: computed[column.feature] for column in wanted}

    def _tell(self, project: str, features: list[FeatureSkew], now: datetime) -> None:
        if not features:
            return
        for skew in features:
            label = label_of(skew.group, skew.version)
            dimensions = {"project": project, "feature_group": label, "feature": skew.column}
            measured = {
                "FeatureSkew": (skew.share, "None"), "FeatureSkewReads": (skew.reads, "Count"),
            }  # fmt: skip
            self.metrics.put(dimensions, now, measured)
        worst = max(skew.share for skew in features)
        self.metrics.put({"project": project}, now, {"FeatureSkew": (worst, "None")})
        at = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
        report: dict[str, Any] = {
            "project": project,
            "measured_at": now.isoformat(timespec="milliseconds"),
            "features": [skew.as_dict() for skew in features],
        }
        uri = f"s3://{self.artifacts_bucket}/reports/{project}/skew/{at}.json"
        self.objects.write(uri, json.dumps(report, indent=1).encode())
        self.state.commit(list(_items(project, features, uri, now)))


def skew_item(group: str, version: int) -> str:
    """Return the sort key of a group version's last measured skew."""
    return f"skew#{group}#v{version:04d}"


def _items(project: str, features: list[FeatureSkew], uri: str, now: datetime) -> Iterator[Put]:
    for group, version in sorted({(skew.group, skew.version) for skew in features}):
        mine = [skew for skew in features if (skew.group, skew.version) == (group, version)]
        yield Put(
            Table.FEATURES,
            {
                "project": project,
                "item": skew_item(group, version),
                "measured_at": now.isoformat(timespec="milliseconds"),
                "report_uri": uri,
                "features": {
                    skew.column: {
                        "reads": skew.reads, "differing": skew.differing, "behind": skew.behind,
                    }
                    for skew in mine
                },
            },
        )  # fmt: skip


def _day_of(key: str) -> datetime | None:
    parts = key.removeprefix(EXPOSURES).split("/")[:3]
    try:
        year, month, day = (int(part) for part in parts)
        return datetime(year, month, day, tzinfo=UTC)
    except ValueError:
        return None
