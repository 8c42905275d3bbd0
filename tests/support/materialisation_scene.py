"""A project with a feature group, its SageMaker group and a worker, all in memory."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import Any

import duckdb

from steward.contracts.events import DatasetAccepted
from steward.contracts.incoming import OwnDetail, Received
from steward.contracts.steps.data import MaterialiseChunk, MaterialisedChunk
from steward.domain.feature_groups import FeatureGroup
from steward.domain.feature_records import from_record
from steward.domain.feature_versions import materialisation_item
from steward.domain.workspace import Limits
from steward.ports import Put, Table
from steward.service.data.feature_chunks import Workbench
from steward.service.data.feature_materialisation import Starter, start_materialisation
from steward.service.data.feature_revival import materialise
from steward.service.emission import Cause
from steward.service.feature_catalog import registration
from steward.service.metric_lines import MetricLog
from support.fakes import (
    FakeClock,
    FakeFeatureRecords,
    FakeIds,
    FakeObjects,
    FakeState,
    FakeWorkflows,
)
from support.feature_scene import CSV_HEADER, labs, project_of

DATA = "data"
MACHINE = "arn:aws:states:us-east-1:000000000000:stateMachine:steward-materialise-features"
GROUP = "steward-local-clinic-labs-v1"


class FeatureWorld:
    """A project with a group, its SageMaker group and a worker that may be killed."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.state, self.objects, self.ids = FakeState(), FakeObjects(), FakeIds()
        self.clock, self.records, self.workflows = (
            FakeClock(), FakeFeatureRecords(), FakeWorkflows(),
        )  # fmt: skip
        self.clock.advance(30 * 86_400)
        self.folder = folder
        self.lines: list[str] = []
        self.left = 800.0
        self.push(labs(**changes))

    def push(self, group: dict[str, Any]) -> None:
        project = project_of(group)
        changes, events = registration(
            project, state=self.state, environment="local", clock=self.clock, ids=self.ids,
            cause=Cause("clinic", "c", "push", "tess"),
        )  # fmt: skip
        item = {"project": "clinic", "config": project.model_dump(mode="json")}
        self.state.commit([Put(Table.PROJECTS, item), *changes], events)
        for known in self.state.query(Table.FEATURES, "clinic", prefix="group#"):
            self.records.create(known["physical_name"])

    @property
    def group(self) -> FeatureGroup:
        [item] = self.state.query(Table.FEATURES, "clinic", prefix="group#labs#v0001")
        return FeatureGroup.model_validate(item["definition"])

    def accept(self, *rows: str, table: str = "lab") -> str:
        content = (CSV_HEADER + "".join(rows)).encode()
        delivery_id = hashlib.sha256(content).hexdigest()
        key = f"deliveries/clinic/{table}/{delivery_id[:8]}.csv"
        self.objects.write(f"s3://{DATA}/{key}", content)
        self.clock.advance(1)
        item = {
            "project": "clinic", "delivery_id": delivery_id, "bucket": DATA, "key": key,
            "version_id": None, "status": "accepted", "rows": len(rows), "table": table,
            "received_at": self.clock.now().isoformat(timespec="milliseconds"),
        }  # fmt: skip
        self.state.commit([Put(Table.DELIVERIES, item)])
        return delivery_id

    def starter(self) -> Starter:
        return Starter(self.state, self.workflows, self.clock, MACHINE)

    def start(self, delivery_id: str, event_id: str = "event-1") -> dict[str, Any]:
        accepted = DatasetAccepted(
            delivery_id=delivery_id, key="k", rows=1, report_uri="r", table="lab"
        )
        return start_materialisation(received(accepted, event_id), self.starter())

    def item(self, delivery_id: str, version: int = 1) -> dict[str, Any]:
        name = materialisation_item("labs", version, delivery_id)
        item = self.state.get(Table.FEATURES, {"project": "clinic", "item": name})
        assert item is not None
        return item

    def work(self, delivery_id: str, version: int = 1) -> MaterialisedChunk:
        attempt = self.item(delivery_id, version)["attempt"]
        command = MaterialiseChunk(
            project="clinic", group="labs", version=version, delivery_id=delivery_id,
            attempt=attempt, correlation_id="c", causation_id="e",
        )  # fmt: skip
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            bench = Workbench(
                self.state, self.objects, self.records, self.clock, self.ids,
                Limits(Path(folder), 400), DATA, lambda: self.left,
                MetricLog("dev", self.lines.append),
            )  # fmt: skip
            return materialise(command, bench)

    def materialise(self, *rows: str) -> str:
        delivery_id = self.accept(*rows)
        self.start(delivery_id)
        assert self.work(delivery_id).done
        return delivery_id

    def online(self, patient: int) -> Any:
        [record] = self.records.read(GROUP, [str(patient)]).values()
        return from_record(self.group, record)

    def parquet(self, delivery_id: str) -> list[tuple[Any, ...]]:
        rows = []
        for chunk in self.item(delivery_id)["chunks"]:
            path = self.folder / "read.parquet"
            self.objects.download(DATA, chunk["key"], str(path), chunk["version_id"])
            assert hashlib.sha256(path.read_bytes()).hexdigest() == chunk["sha256"]
            rows += duckdb.execute(f"FROM read_parquet('{path}')").fetchall()
        return sorted(rows)


def received(payload: Any, event_id: str) -> Received:
    meta = {"correlation_id": "c", "causation_id": "x", "project": "clinic", "actor": "steward"}
    own = OwnDetail[type(payload)].model_validate(  # type: ignore[misc]
        {"meta": meta, "data": payload.model_dump()}
    )
    return Received(
        id=event_id, time="2026-02-01T00:00:00Z", source="steward.data",
        detail_type=type(payload).__name__, resources=[], replayed=False, meta=own.meta,
        detail=own.data,
    )  # fmt: skip
