"""A version that was retired and comes back: its streamed rows are online again."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest

from steward.contracts.events import FeatureGroupVersioned, FeatureRecordReceived
from steward.domain.workspace import Limits
from steward.ports import Table
from steward.service.data import feature_revival
from steward.service.data.feature_chunks import Workbench
from steward.service.data.feature_ingest import ingest_record
from steward.service.data.feature_materialisation import start_materialisation
from steward.service.emission import Cause
from steward.service.feature_catalog import retire
from steward.service.metric_lines import MetricLog
from support.feature_scene import csv_row, labs
from support.materialisation_scene import DATA, GROUP, FeatureWorld, received


def stream(world: FeatureWorld, patient: int, day: int, glucose: float, hour: int = 10) -> None:
    world.clock.advance(1)
    row = {
        "patient": patient, "taken_at": f"2026-01-{day:02d}T{hour:02d}:00:00Z",
        "reported_at": f"2026-01-{day:02d}T{hour + 1:02d}:00:00Z", "glucose": glucose, "visits": 1,
    }  # fmt: skip
    with tempfile.TemporaryDirectory(dir=world.folder) as folder:
        bench = Workbench(
            world.state, world.objects, world.records, world.clock, world.ids,
            Limits(Path(folder), 400), DATA, lambda: 60.0,
            MetricLog("dev", world.lines.append),
        )  # fmt: skip
        event = received(FeatureRecordReceived(group="labs", row=row), f"e-{patient}-{day}-{hour}")
        ingest_record(event, bench)


def take_away(world: FeatureWorld) -> None:
    """Retire version 1; its stack then loses the SageMaker group."""
    world.push(labs(ttl_s=9))
    retire(
        "clinic", "labs", 1, state=world.state, clock=world.clock, ids=world.ids,
        cause=Cause("clinic", "c", "retire", "tess"),
    )  # fmt: skip
    del world.records.groups[GROUP]


def bring_back(world: FeatureWorld, event_id: str) -> list[dict[str, Any]]:
    """Revive version 1; return the payloads of what was started for it."""
    world.clock.advance(60)
    world.push(labs())
    [item] = world.state.query(Table.FEATURES, "clinic", prefix="group#labs#v0001")
    payload = FeatureGroupVersioned(
        group="labs", version=1, definition_digest=item["definition_digest"], physical_name=GROUP,
        source_table="lab",
    )  # fmt: skip
    before = set(world.workflows.executions)
    start_materialisation(received(payload, event_id), world.starter())
    started = [name for name in world.workflows.executions if name not in before]
    items = world.state.query(Table.FEATURES, "clinic", prefix="materialisation#labs#v0001#")
    return [found for found in items if found.get("execution_arn") in started]


@pytest.fixture
def world(tmp_path: Path) -> FeatureWorld:
    return FeatureWorld(tmp_path)


def test_streamed_rows_are_online_again_and_what_is_newer_stays(world: FeatureWorld) -> None:
    delivery = world.materialise(csv_row(1, 20, 111), csv_row(3, 20, 113))
    for patient, glucose in ((1, 121.0), (2, 122.0), (2, 102.0)):
        stream(world, patient, 21 if glucose > 110 else 12, glucose)
    take_away(world)
    started = bring_back(world, "revival-1")
    assert len(started) == 2
    stream(world, 2, 22, 132.0)  # after the revival, before its rows
    [revived] = [item for item in started if item.get("streamed")]
    assert world.work(revived["delivery_id"]).done
    assert world.work(delivery).done
    values = [world.online(patient).values["glucose"] for patient in (1, 2, 3)]
    assert values == [121.0, 132.0, 113.0]
    item = world.item(revived["delivery_id"])
    assert (item["status"], item["rows"], item["online_rows"]) == ("done", 3, 1)
    assert item["chunks"] == []


def test_a_worker_that_dies_between_batches_goes_on_behind_them(
    world: FeatureWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_revival, "BATCH_ROWS", 2)
    for patient in range(1, 6):
        stream(world, patient, 12, 100.0 + patient)
    take_away(world)
    [revived] = bring_back(world, "revival-1")

    def die() -> None:
        raise MemoryError("killed")

    world.records.before_write = [lambda: None, lambda: None, lambda: None, die]
    with pytest.raises(MemoryError):
        world.work(revived["delivery_id"])
    assert world.item(revived["delivery_id"])["online_chunks"] == 1
    world.records.puts.clear()
    assert world.work(revived["delivery_id"]).done
    again = {record["entity"] for _, record in world.records.puts}
    assert len(again) == len(world.records.puts) == 2
    assert again <= {"3", "4", "5"}
    assert [world.online(n).values["glucose"] for n in range(1, 6)] == [101, 102, 103, 104, 105]


def test_each_revival_puts_them_again_and_the_same_event_does_not(world: FeatureWorld) -> None:
    stream(world, 1, 12, 101.0)
    take_away(world)
    [first] = bring_back(world, "revival-1")
    assert world.work(first["delivery_id"]).done
    assert bring_back(world, "revival-1") == []
    take_away(world)
    [second] = bring_back(world, "revival-2")
    assert second["delivery_id"] != first["delivery_id"]
    assert world.work(second["delivery_id"]).done
    assert world.online(1).values["glucose"] == 101.0


def test_a_version_without_streamed_rows_starts_nothing_for_them(world: FeatureWorld) -> None:
    take_away(world)
    assert bring_back(world, "revival-1") == []
