"""Rows that come as events: the same values as of a file, once, and how old features are."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import duckdb
import pytest

from steward.contracts.events import FeatureRecordReceived
from steward.domain.errors import FeatureGroupNotFoundError, RejectedError
from steward.domain.feature_versions import statistics_item
from steward.domain.workspace import Limits
from steward.ports import Table
from steward.service.data.feature_chunks import Workbench
from steward.service.data.feature_freshness import measure_freshness
from steward.service.data.feature_ingest import ingest_record
from steward.service.metric_lines import MetricLog
from support.feature_scene import csv_row, labs
from support.materialisation_scene import DATA, GROUP, FeatureWorld, received

ROW = {
    "patient": 1, "taken_at": "2026-01-20T10:00:00Z", "reported_at": "2026-01-20T11:00:00Z",
    "glucose": 126.5, "visits": 2, "ward": " icu ", "unread": {"any": "thing"},
}  # fmt: skip


@pytest.fixture
def world(tmp_path: Path) -> FeatureWorld:
    return FeatureWorld(tmp_path)


def ingest(world: FeatureWorld, event_id: str = "e-1", group: str = "labs", **changes: Any) -> Any:
    event = received(FeatureRecordReceived(group=group, row={**ROW, **changes}), event_id)
    with tempfile.TemporaryDirectory(dir=world.folder) as folder:
        bench = Workbench(
            world.state, world.objects, world.records, world.clock, world.ids,
            Limits(Path(folder), 400), DATA, lambda: 60.0,
            MetricLog("dev", world.lines.append),
        )  # fmt: skip
        return ingest_record(event, bench)


def parquet(world: FeatureWorld) -> list[tuple[Any, ...]]:
    rows = []
    for item in world.state.query(Table.FEATURES, "clinic", prefix="materialisation#"):
        for chunk in item["chunks"]:
            path = world.folder / "read.parquet"
            world.objects.download(DATA, chunk["key"], str(path), chunk["version_id"])
            rows += duckdb.execute(f"FROM read_parquet('{path}')").fetchall()
    return rows


def test_a_streamed_row_has_the_values_of_a_delivered_one(
    world: FeatureWorld, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other = FeatureWorld(tmp_path / "other")
    assert ingest(world) == {"labs/v1": "written"}
    delivered = csv_row(1, 20, 126.5).replace(",1,icu", ",2, icu ")
    other.materialise(delivered)
    assert parquet(world) == parquet(other)
    streamed, of_file = world.online(1), other.online(1)
    assert (streamed.values, streamed.digest) == (of_file.values, of_file.digest)


def test_the_same_event_again_changes_nothing(world: FeatureWorld) -> None:
    ingest(world)
    assert ingest(world, "another-id") == {"labs/v1": "known"}
    assert len(world.records.puts) == 1


def test_an_older_row_is_kept_but_does_not_replace(world: FeatureWorld) -> None:
    ingest(world)
    small: dict[str, Any] = {"glucose": 90, "taken_at": "2026-01-01T10:00:00Z"}
    world.clock.advance(60)
    assert ingest(world, **small) == {"labs/v1": "unchanged"}
    assert world.online(1).values["glucose"] == 126.5
    assert len(parquet(world)) == 2


def test_a_row_goes_into_every_active_version(world: FeatureWorld) -> None:
    world.push(labs(ttl_s=9))
    assert ingest(world) == {"labs/v1": "written", "labs/v2": "written"}
    assert set(world.records.groups[GROUP.replace("v1", "v2")]) == {"1"}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"glucose": "126.5"}, "detail.data.row.glucose"),
        ({"visits": 1.5}, "detail.data.row.visits"),
        ({"patient": None}, "detail.data.row.patient"),
        ({"taken_at": None}, "detail.data.row.taken_at"),
        ({"taken_at": "yesterday"}, "detail.data.row.taken_at"),
        ({"taken_at": "2027-01-01T00:00:00Z"}, "detail.data.row.taken_at"),
    ],
)
def test_a_row_that_does_not_fit_is_refused_with_its_field(
    world: FeatureWorld, changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(RejectedError) as refused:
        ingest(world, **changes)
    assert refused.value.field == field
    assert world.records.puts == []


def test_a_group_that_is_not_there_is_refused(world: FeatureWorld) -> None:
    with pytest.raises(FeatureGroupNotFoundError):
        ingest(world, group="vitals")


def test_what_where_excludes_is_left_out(tmp_path: Path) -> None:
    world = FeatureWorld(tmp_path, where="ward = 'icu'")
    assert ingest(world) == {"labs/v1": "left_out"}
    assert world.records.puts == []


def test_the_age_of_features_is_measured_and_moved_on_by_files_and_events(
    world: FeatureWorld,
) -> None:
    world.clock.advance(3600)

    def ages() -> dict[str, float]:
        return measure_freshness(
            state=world.state, clock=world.clock, metrics=MetricLog("dev", world.lines.append)
        )

    assert ages() == {"clinic/labs/v1": 3600.0}
    world.materialise(csv_row(1, 19, 90), csv_row(1, 20, ""))
    world.clock.time = world.clock.time.replace(year=2026, month=1, day=20, hour=11, minute=0)
    world.lines.clear()
    [age] = ages().values()
    by_feature = {m.get("feature"): m["FeatureAge"] for m in map(json.loads, world.lines)}
    assert age == by_feature[None] == by_feature["ward"]
    assert by_feature["glucose"] == age + 86_400
    assert by_feature[None] == pytest.approx(3600, abs=60)
    ingest(world, taken_at="2026-01-20T10:30:00Z")
    assert next(iter(ages().values())) == pytest.approx(1800, abs=60)
    name = statistics_item("labs", 1)
    known = world.state.get(Table.FEATURES, {"project": "clinic", "item": name})
    assert known is not None
    assert known["newest_event_time"] == "2026-01-20T10:30:00.000Z"
