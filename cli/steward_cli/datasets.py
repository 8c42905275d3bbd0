"""Datasets of a stack: their manifests, their sources as they are now, their rebuilding."""

# ruff: noqa: S608 - names and values go through identifier() and literal()

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from steward.adapters.objects import S3ObjectStore
from steward.domain.dataset_rebuild import (
    Cause,
    Difference,
    Found,
    check_sources,
    compare,
    rebuild,
    same_bytes,
    same_rows,
)
from steward.domain.errors import EvidenceIncompleteError
from steward.domain.manifests import SourceObject, source_of
from steward.domain.names import PRIMARY
from steward.domain.runs import DeliveryStatus
from steward.domain.workspace import Limits, identifier, literal, scratch
from steward.ports import ObjectStore, StateStore, Table
from steward_cli.console import CommandError, Exit
from steward_cli.state import StackState
from steward_cli.target import Target

Manifest = dict[str, Any]
MEMORY_MB = 4096
PARTS = ("train", "heldout")


@dataclass(frozen=True)
class Outcome:
    """What rebuilding a dataset showed.

    Attributes:
        rebuilt: Whether it could be built at all.
        rows: Whether the rows are the same.
        bytes: Whether the files are the same byte for byte.
        stored: Whether the stored files are those of the manifest.
        differences: Causes of what is not the same.
        later: Deliveries to its views that came since and were left out.
    """

    dataset_id: str
    rebuilt: bool
    rows: bool
    bytes: bool
    stored: bool
    differences: Sequence[Difference]
    later: Sequence[str]

    @property
    def equal(self) -> bool:
        """Whether both digests, of rows and of bytes, are what they were."""
        return self.rebuilt and self.rows and self.bytes and self.stored


class Datasets:
    """Datasets as they lie in a data bucket, with what the tables say of their deliveries."""

    def __init__(self, store: StateStore, objects: ObjectStore, bucket: str) -> None:
        self._store = store
        self._objects = objects
        self._bucket = bucket

    @classmethod
    def of(cls, target: Target) -> Datasets:
        """Return those of a target."""
        objects = S3ObjectStore(target.client("s3"))
        return cls(StackState(target).store, objects, target.output("DataBucketName"))

    def all_of(self, project: str) -> list[Manifest]:
        """Return the manifests of a project's datasets, by cutoff.

        Raises:
            CommandError: There is no such project.
        """
        if self._store.get(Table.PROJECTS, {"project": project}) is None:
            raise CommandError(f"no project {project!r}", Exit.NOT_FOUND, "steward project list")
        return self._listed(project)

    def _listed(self, project: str) -> list[Manifest]:
        found = [
            json.loads(self._objects.read(f"s3://{self._bucket}/{info.key}"))
            for info in self._objects.list(self._bucket, f"datasets/{project}/")
            if info.key.endswith("/manifest.json")
        ]
        return sorted(found, key=lambda m: (str(m.get("cutoff", "")), m["dataset_id"]))

    def find(self, wanted: str) -> Manifest:
        """Return the one dataset of a target whose id begins so; ``<project>/<id>`` is one too.

        Raises:
            CommandError: None or several begin so, or it is of a schema that is no more.
        """
        project, _, beginning = wanted.rpartition("/")
        projects = (
            [project] if project else [item["project"] for item in self._store.scan(Table.PROJECTS)]
        )
        found = [
            manifest
            for name in projects
            for manifest in self._listed(name)
            if manifest["dataset_id"].startswith(beginning)
        ]
        if len(found) != 1:
            raise CommandError(
                f"{len(found)} datasets begin with {wanted!r}", Exit.NOT_FOUND,
                "steward dataset list PROJECT",
            )  # fmt: skip
        return found[0]

    def rebuild(
        self, manifest: Manifest, with_later: bool = False, event_time_only: bool = False
    ) -> Outcome:
        """Build a dataset again from its source objects and compare digests.

        Args:
            manifest: Of the dataset.
            with_later: Let deliveries to its views that came since take part: what they say
                about the time before the cutoff is then a difference with its cause.
            event_time_only: Join without regard to what was known; the rows that this leaks into
                are a difference too.
        """
        project, dataset_id = str(manifest["project"]), str(manifest["dataset_id"])
        stored = self._stored(manifest)
        differences = check_sources(manifest, lambda source: self._look(project, source))
        later = self._later(manifest)
        names = [f"s3://{s.bucket}/{s.key}" for found in later.values() for s in found]
        if differences:
            return Outcome(
                dataset_id, False, False, False, not stored, [*differences, *stored], names
            )
        with scratch(MEMORY_MB) as limits:
            prepared, brought = rebuild(
                manifest, self._fetch, limits, later if with_later else None, event_time_only
            )
        after = prepared.manifest
        differences += [*compare(manifest, after, brought), *stored]
        return Outcome(
            dataset_id, True, same_rows(manifest, after), same_bytes(manifest, after), not stored,
            differences, [] if with_later else names,
        )  # fmt: skip

    def _look(self, project: str, source: SourceObject) -> Found:
        key = {"project": project, "delivery_id": source.sha256}
        item = self._store.get(Table.DELIVERIES, key) or {}
        deletion = item.get("deletion")
        if deletion:
            return Found(None, _said_of(deletion))
        info = self._objects.describe(source.bucket, source.key, source.version_id)
        if info is None:
            return Found(None)
        return Found(self._objects.sha256(source.bucket, source.key, source.version_id))

    def _fetch(self, source: SourceObject, path: Path) -> None:
        read = source.accepted or source
        self._objects.download(read.bucket, read.key, str(path), read.version_id)

    def _later(self, manifest: Manifest) -> dict[str, list[SourceObject]]:
        """Return by view the accepted deliveries of its source that the dataset has not."""
        found: dict[str, list[SourceObject]] = {}
        for feature in manifest["features"]:
            known = {source["sha256"] for source in feature["sources"]}
            table = feature["definition"]["source"]
            found[feature["view"]] = [
                source_of(item)
                for item in sorted(
                    self._store.query(Table.DELIVERIES, manifest["project"]),
                    key=lambda item: (str(item["received_at"]), str(item["delivery_id"])),
                )
                if item["status"] == DeliveryStatus.ACCEPTED
                and item.get("table", PRIMARY) == table
                and item["delivery_id"] not in known
            ]
        return found

    def _places(self, manifest: Manifest) -> list[tuple[str, str]]:
        base = f"s3://{self._bucket}/datasets/{manifest['project']}/{manifest['dataset_id']}"
        return [
            (uri, manifest["parts"][part][digest])
            for part in PARTS
            for uri, digest in (
                (f"{base}/parquet/{part}.parquet", "sha256"),
                (f"{base}/{part}/{part}.csv", "csv_sha256"),
            )
        ]

    def _stored(self, manifest: Manifest) -> list[Difference]:
        differences = []
        for uri, digest in self._places(manifest):
            bucket, _, key = uri.removeprefix("s3://").partition("/")
            try:
                now = self._objects.sha256(bucket, key)
            except EvidenceIncompleteError:
                differences.append(Difference(Cause.STORED, uri, "it is not there any more"))
                continue
            if now != digest:
                detail = f"its bytes have the digest {now}, the manifest says {digest}"
                differences.append(Difference(Cause.STORED, uri, detail))
        return differences

    def row_changes(self, a: Manifest, b: Manifest) -> dict[str, Any]:
        """Return how many rows only one of two datasets has, and in which columns they differ."""
        entity = str(a["declaration"]["data"]["entity_id"])
        if entity != b["declaration"]["data"]["entity_id"]:
            return {}
        with scratch(MEMORY_MB) as limits, duckdb.connect(":memory:") as connection:
            for name, manifest in (("a", a), ("b", b)):
                listed = ", ".join(
                    literal(str(path)) for path in self._parts(manifest, name, limits)
                )
                connection.execute(f"CREATE TABLE {name} AS SELECT * FROM read_parquet([{listed}])")
            return _changes(connection, entity)

    def _parts(self, manifest: Manifest, name: str, limits: Limits) -> list[Path]:
        paths: list[Path] = []
        for uri, _ in self._places(manifest):
            if uri.endswith(".parquet"):
                paths.append(limits.folder / f"{name}-{len(paths)}.parquet")
                bucket, _, key = uri.removeprefix("s3://").partition("/")
                self._objects.download(bucket, key, str(paths[-1]))
        return paths


def _changes(connection: duckdb.DuckDBPyConnection, entity: str) -> dict[str, Any]:
    columns = [
        {str(row[0]): str(row[1]) for row in connection.execute(f"DESCRIBE {name}").fetchall()}
        for name in ("a", "b")
    ]
    shared = [name for name, type_ in columns[0].items() if columns[1].get(name) == type_]
    key = identifier(entity)

    def count(query: str) -> int:
        row = connection.execute(query).fetchone()
        assert row is not None
        return int(row[0])

    changed = {
        name: count(
            f"SELECT count(*) FROM a JOIN b USING ({key})"
            f" WHERE a.{identifier(name)} IS DISTINCT FROM b.{identifier(name)}"
        )
        for name in shared
        if name != entity
    }
    return {
        "rows": {name: count(f"SELECT count(*) FROM {name}") for name in ("a", "b")},
        "only_in_a": count(f"SELECT count(*) FROM a ANTI JOIN b USING ({key})"),
        "only_in_b": count(f"SELECT count(*) FROM b ANTI JOIN a USING ({key})"),
        "columns_only_in_a": sorted(columns[0].keys() - shared),
        "columns_only_in_b": sorted(columns[1].keys() - shared),
        "changed_values": {name: number for name, number in changed.items() if number},
    }


def _said_of(deletion: Mapping[str, Any]) -> str:
    """Return why, by whom and when a delivery was deleted."""
    who = f"; by {deletion['by']}" if deletion.get("by") else ""
    when = f" at {deletion['at']}" if deletion.get("at") else ""
    return f"{deletion.get('reason', 'no reason given')}{who}{when}"
