"""A project with feature groups, its deliveries judged and its features materialised."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from steward.contracts.steps.data import BuildDataset, BuiltDataset, MadeJoin, PlannedJoin
from steward.domain.declaration import ColumnType
from steward.domain.delivery_files import load_typed
from steward.domain.feature_transforms import rows_sql
from steward.domain.feature_versions import (
    group_item,
    materialisation_item,
    source_digest,
    source_table,
)
from steward.domain.manifests import moment
from steward.domain.project import Project
from steward.domain.tables import Table as SourceTable
from steward.domain.workspace import Connection, Limits, workspace
from steward.ports import Table
from steward.service.data.dataset import build_dataset
from support.feature_scene import project_of
from support.training_scene import DATA, Scene

LAB_HEADER = "patient,taken_at,reported_at,withdrawn,glucose,visits,ward\n"
START = datetime.fromisoformat("2026-01-01T00:00:00+00:00")


def asked(first: int, last: int, seed: int = 1, labels: str = "") -> bytes:
    """Return a delivery of the primary table, patients ``first`` to ``last``."""
    draw = random.Random(seed)
    rows = [
        f"{n},{(START + timedelta(hours=24 * 12 + n)).isoformat()},{draw.randint(20, 90)},"
        f"{draw.randint(0, 1)}\n"
        for n in range(first, last + 1)
    ]
    return ("patient,asked_at,age,returned\n" + "".join(rows)).encode()


def lab_rows(patients: int, seed: int = 2) -> list[str]:
    """Return laboratory values, one in ten corrected five days later."""
    draw = random.Random(seed)
    rows = []
    for patient in range(1, patients + 1):
        for _ in range(4):
            taken = START + timedelta(minutes=draw.randrange(60 * 24 * 14))
            glucose, visits = draw.randrange(700, 2500) / 10, draw.randrange(9)
            corrections = [(timedelta(minutes=30), glucose)]
            if draw.random() < 0.3:
                corrections.append((timedelta(days=5), glucose + 100))
            rows += [
                f"{patient},{taken.isoformat()},{(taken + late).isoformat()},false,{value},"
                f"{visits},w{visits}\n"
                for late, value in corrections
            ]
    return rows


def lab(rows: list[str]) -> bytes:
    """Return a delivery of the laboratory."""
    return (LAB_HEADER + "".join(rows)).encode()


@dataclass
class DatasetScene:
    """What a run needs to build its dataset, in fakes."""

    folder: Path
    project: Project = field(default_factory=project_of)
    scene: Scene = field(init=False)

    def __post_init__(self) -> None:
        self.scene = Scene(project=self.project)
        self.scene.clock.advance(86_400 * 40)
        for group in self.project.feature_groups:
            self.register(group.feature_group, 1)

    def register(
        self, group: str, version: int, status: str = "active", **types: ColumnType
    ) -> None:
        """Register the declared definition of a group as a version.

        Args:
            types: Of columns of the source that had another type when it was registered.
        """
        declared = next(g for g in self.project.feature_groups if g.feature_group == group)
        table = self.project.data.table(declared.source)
        assert table is not None
        reads = source_table(declared, table)
        columns = [
            column.model_copy(update={"type": types.get(column.name, column.type)})
            for column in reads.columns
        ]
        reads = reads.model_copy(update={"columns": columns})
        self.scene.state.put(
            Table.FEATURES,
            {
                "project": self.project.project, "item": group_item(group, version),
                "group": group, "version": version, "status": status,
                "definition": declared.model_dump(mode="json"),
                "definition_digest": declared.definition_digest,
                "source_table": reads.model_dump(mode="json"),
                "source_digest": source_digest(reads),
                "created_at": "2026-01-01T00:00:00.000+00:00",
            },
        )  # fmt: skip

    def put_source(self, content: bytes, source: str = "lab", status: str = "accepted") -> str:
        """Put a delivery of another table; return its id."""
        digest = hashlib.sha256(content).hexdigest()
        key = f"deliveries/{self.project.project}/{source}/{digest[:8]}.csv"
        self.scene.objects.write(f"s3://{DATA}/{key}", content)
        info = self.scene.objects.describe(DATA, key)
        assert info is not None
        self.scene.clock.advance(60)
        self.scene.state.put(
            Table.DELIVERIES,
            {
                "project": self.project.project, "delivery_id": digest, "table": source,
                "status": status, "received_at": self.scene.ports.now(), "bucket": DATA,
                "key": key, "version_id": info.version_id, "size": len(content),
                "rows": content.count(b"\n") - 1,
            },
        )  # fmt: skip
        return digest

    def table(self, group: str, version: int) -> SourceTable:
        """Return what a version reads of its source, as it was registered."""
        key = {"project": self.project.project, "item": group_item(group, version)}
        item = self.scene.state.get(Table.FEATURES, key)
        assert item is not None
        return SourceTable.model_validate(item["source_table"])

    def materialise(
        self, delivery_id: str, group: str = "labs", version: int = 1, chunks: int = 2
    ) -> None:
        """Make a delivery into the Parquet of a group's version, as the materialisation does."""
        declared = next(g for g in self.project.feature_groups if g.feature_group == group)
        table = self.table(group, version)
        key = {"project": self.project.project, "delivery_id": delivery_id}
        delivery = self.scene.state.get(Table.DELIVERIES, key)
        assert delivery is not None
        folder = self.folder / "materialise"
        folder.mkdir(exist_ok=True)
        path = folder / "source"
        self.scene.objects.download(delivery["bucket"], delivery["key"], str(path))
        written = []
        with workspace(Limits(folder, 300)) as connection:
            load_typed(connection, path, table, "source_rows")
            sql = rows_sql(declared, "source_rows", received_at=moment(delivery["received_at"]))
            connection.execute(f"CREATE TABLE made AS {sql}")
            for chunk in range(chunks):
                part = folder / f"{chunk:05d}.parquet"
                connection.execute(
                    f"COPY (SELECT * FROM made WHERE hash(digest_) % {chunks} = {chunk}"
                    " ORDER BY digest_, known_at_)"
                    f" TO '{part}' (FORMAT parquet)"
                )
                key_of_part = (
                    f"features/{self.project.project}/{group}/v{version}/{delivery_id}/{part.name}"
                )
                written.append(self._upload(connection, part, key_of_part))
        item = {
            "project": self.project.project,
            "item": materialisation_item(group, version, delivery_id),
            "status": "done", "chunks": written, "received_at": delivery["received_at"],
        }  # fmt: skip
        self.scene.state.put(Table.FEATURES, item)

    def _upload(self, connection: Connection, part: Path, key: str) -> dict[str, Any]:
        digest = self.scene.objects.upload(str(part), f"s3://{DATA}/{key}")
        info = self.scene.objects.describe(DATA, key)
        row = connection.execute(f"SELECT count(*) FROM '{part}'").fetchone()
        assert row is not None
        assert info is not None
        return {"key": key, "version_id": info.version_id, "sha256": digest, "rows": row[0]}

    def stream(self, line: str, group: str = "labs", version: int = 1) -> None:
        """Ingest one laboratory value as an event, as the streaming path records it."""
        declared = next(g for g in self.project.feature_groups if g.feature_group == group)
        table = self.project.data.table(declared.source)
        assert table is not None
        self.scene.clock.advance(60)
        now = self.scene.ports.now()
        record_id = f"stream-{hashlib.sha256(line.encode()).hexdigest()[:32]}"
        path, part = self.folder / "record.csv", self.folder / "record.parquet"
        path.write_text(LAB_HEADER + line)
        with workspace(Limits(self.folder, 300)) as connection:
            load_typed(connection, path, table, "source_rows")
            sql = rows_sql(declared, "source_rows", received_at=moment(now))
            connection.execute(f"COPY ({sql}) TO '{part}' (FORMAT parquet)")
            key = f"features/{self.project.project}/{group}/v{version}/stream/{record_id}.parquet"
            written = self._upload(connection, part, key)
        item = {
            "project": self.project.project,
            "item": materialisation_item(group, version, record_id),
            "status": "done", "chunks": [written], "received_at": now,
        }  # fmt: skip
        self.scene.state.put(Table.FEATURES, item)

    def accept(self, *contents: bytes) -> str:
        """Deliver files of the primary table and accept them; return the run that has them."""
        for content in contents[:-1]:
            self.scene.end(self.scene.deliver(content)["run_id"], "FAILED")
        run_id: str = self.scene.deliver(contents[-1])["run_id"]
        self.scene.mark("accepted", *contents)
        return run_id

    def build(self, run_id: str) -> BuiltDataset:
        """Build the dataset of a run in one function."""
        built = self.answer(run_id)
        assert isinstance(built, BuiltDataset)
        return built

    def answer(self, run_id: str, join: MadeJoin | None = None) -> BuiltDataset | PlannedJoin:
        """Return what the task answers for a run."""
        command = BuildDataset(
            project=self.project.project, run_id=run_id, correlation_id=run_id,
            deliveries=self.scene.run(run_id)["deliveries"], join=join,
        )  # fmt: skip
        return build_dataset(
            command, state=self.scene.state, objects=self.scene.objects, clock=self.scene.clock,
            ids=self.scene.ids, limits=Limits(self.folder, 400), data_bucket=DATA,
        )  # fmt: skip

    def events(self, name: str) -> list[Any]:
        """Return the payloads of events of a kind."""
        return [event.data for event in self.scene.state.named(name)]
