"""Skew: none where both paths agree, and all of it where somebody planted it."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from steward.domain.skew import FeatureSkew, OnlineRead, ReadSample, online_reads, same_value
from steward.domain.workspace import Limits
from steward.ports import RecordKey, Table
from steward.service.data.skew import MARKER, SkewMeasurement, SkewReport
from steward.service.metric_lines import MetricLog
from support.fakes import FakeObjects
from support.online_scene import PROJECT, OnlineScene
from support.vitals_history import DATA, VitalsHistory, capture_of, measured

SERVED = {
    "pulse", "glucose", "posture", "fasting", "seen_at", "measured_1d", "glucose_1d",
    "pulse_max_1d", "pulse_by_age",
}  # fmt: skip


@dataclass
class World:
    """Both paths of ``vitals`` on fakes, and the reads that were captured."""

    folder: Path
    scene: OnlineScene = field(default_factory=OnlineScene)
    objects: FakeObjects = field(default_factory=FakeObjects)
    lines: list[str] = field(default_factory=list)
    captured: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.history = VitalsHistory.of(self.scene, self.objects)

    def at(self, text: str) -> None:
        """Let it be a time."""
        self.scene.clock.advance(
            (datetime.fromisoformat(text).replace(tzinfo=UTC) - self.scene.clock.now())
            .total_seconds()
        )  # fmt: skip

    def ask(self, entity: str, **given: Any) -> dict[str, Any]:
        """Read an entity now, and keep the capture."""
        self.captured.append(capture_of(self.scene, len(self.captured), entity, **given))
        capture: dict[str, Any] = self.captured[-1]["capture"]
        return capture

    def flush(self, name: str = "a") -> None:
        """Write the captured lines as one object of the day."""
        key = f"exposures/{self.scene.clock.now():%Y/%m/%d}/{name}"
        lines = "".join(f"{json.dumps(line)}\n" for line in self.captured)
        self.objects.write(f"s3://capture/{key}", lines.encode())
        self.captured.clear()

    def measure(self) -> SkewReport:
        self.lines.clear()
        return SkewMeasurement(
            state=self.scene.state, objects=self.objects, clock=self.scene.clock,
            engine=self.scene.service.engine, limits=Limits(self.folder, 200), environment="local",
            data_bucket=DATA, capture_bucket="capture", artifacts_bucket="artifacts",
            metrics=MetricLog("dev", self.lines.append),
        ).run()  # fmt: skip

    def metric(self, **dimensions: str) -> list[float]:
        """Return ``FeatureSkew`` under exactly these dimensions."""
        told = [json.loads(line) for line in self.lines]
        return [
            line["FeatureSkew"]
            for line in told
            if line["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [list(dimensions)]
            and all(line[name] == value for name, value in dimensions.items())
        ]


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    world.at("2026-01-05 09:00:00")
    world.history.deliver(
        [
            measured("p1", "2026-01-05 07:00:00", pulse=80, glucose=6.25),
            measured("p1", "2026-01-05 08:00:00", pulse=71, glucose=0.1),
            measured("p2", "2026-01-05 08:30:00", pulse=None, glucose=0.2, posture=None),
            measured("p3", "2026-01-03 08:00:00", pulse=90),
        ],
        "2026-01-05T08:45:00+00:00",
    )
    return world


def test_clean_reads_have_no_skew(world: World) -> None:
    for entity in ("p1", "p2", "p3", "nobody"):
        world.ask(entity)
    assert world.ask("p1", pulse=100)["features"]["pulse_by_age"] == 100 / (220.0 - 59)
    world.flush()
    report = world.measure()
    assert (report.reads, report.failed) == (5, {})
    assert {skew.column for skew in report.features} == SERVED
    assert [skew for skew in report.features if skew.differing] == []
    assert {skew.column: skew.reads for skew in report.features}["pulse"] == 4, "one was given"
    assert world.metric(project=PROJECT) == [0.0]


def test_a_changed_online_value_is_found_in_its_feature_and_in_what_is_computed_of_it(
    world: World,
) -> None:
    key = RecordKey(world.scene.physical(1), "p1")
    world.scene.online.records[key]["pulse"] = "72"
    for entity in ("p1", "p2", "p3", "nobody"):
        world.ask(entity)
    world.flush()
    report = world.measure()
    differing = {skew.column: skew.differing for skew in report.features if skew.differing}
    assert differing == {"pulse": 1, "pulse_by_age": 1}
    (pulse,) = [skew for skew in report.features if skew.column == "pulse"]
    assert (pulse.share, pulse.behind) == (0.25, 0)
    assert (pulse.examples[0]["served"], pulse.examples[0]["offline"]) == (72, 71)
    assert world.metric(project=PROJECT, feature_group="vitals/v1", feature="pulse") == [0.25]
    assert world.metric(project=PROJECT, feature_group="vitals/v1", feature="glucose") == [0.0]
    assert world.metric(project=PROJECT) == [0.25]


def test_an_online_store_that_is_late_is_skew_and_said_to_be_behind(world: World) -> None:
    world.history.deliver(
        [measured("p1", "2026-01-05 08:50:00", pulse=60)], "2026-01-05T08:55:00+00:00",
        online=False,
    )  # fmt: skip
    world.ask("p1")
    world.flush()
    by_column = {skew.column: skew for skew in world.measure().features}
    assert (by_column["pulse"].differing, by_column["pulse"].behind) == (1, 1)
    assert by_column["measured_1d"].examples[0]["offline"] == 3
    assert by_column["posture"].differing == 0, "the same value is no skew"


def test_a_late_correction_of_the_same_event_time_is_behind_too(world: World) -> None:
    world.ask("p1")
    world.at("2026-01-05 09:30:00")
    world.history.deliver(
        [measured("p1", "2026-01-05 08:00:00", "2026-01-05 08:59:00", pulse=65)],
        "2026-01-05T09:25:00+00:00",
    )
    world.flush()
    by_column = {skew.column: skew for skew in world.measure().features}
    assert (by_column["pulse"].differing, by_column["pulse"].behind) == (1, 1)


def test_what_became_known_after_the_read_is_no_skew(world: World) -> None:
    world.ask("p1")
    world.at("2026-01-05 09:30:00")
    world.history.deliver(
        [measured("p1", "2026-01-05 08:50:00", "2026-01-05 09:20:00", pulse=60)],
        "2026-01-05T09:25:00+00:00",
    )
    world.flush()
    assert [skew for skew in world.measure().features if skew.differing] == []


def test_a_window_that_lost_a_row_is_found(world: World) -> None:
    key = RecordKey(world.scene.physical(1), "p1")
    record = world.scene.online.records[key]
    record["glucose_1d"] = json.dumps(json.loads(record["glucose_1d"])[1:])
    world.ask("p1")
    world.flush()
    differing = {skew.column for skew in world.measure().features if skew.differing}
    assert differing == {"glucose_1d"}


def test_an_expired_value_that_was_served_is_found(world: World) -> None:
    capture = world.ask("p3")
    assert capture["features"]["pulse"] is None
    capture["features"]["pulse"] = 90
    world.flush()
    by_column = {skew.column: skew for skew in world.measure().features}
    assert by_column["pulse"].examples == [
        {
            "inference_id": "inference-0", "read_at": "2026-01-05T09:00:00.000+00:00",
            "served": 90, "offline": None, "behind": False,
        }
    ]  # fmt: skip


def test_each_captured_object_counts_once(world: World) -> None:
    world.ask("p1")
    world.flush("a")
    assert world.measure().reads == 1
    assert world.measure().reads == 0
    assert world.lines == []
    world.ask("p1")
    world.flush("b")
    assert world.measure().reads == 1
    world.at("2026-01-06 09:00:00")
    world.ask("p1")
    world.flush("a")
    assert world.measure().reads == 1


def test_a_run_that_fails_is_done_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.ask("p1")
    world.flush()

    def broken(*_: object) -> None:
        raise OSError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(world.objects, "download", broken)
        with pytest.raises(OSError, match="disk"):
            world.measure()
    assert world.scene.state.get(Table.FEATURES, MARKER) is None
    assert world.measure().reads == 1


def test_a_version_that_cannot_be_measured_does_not_hide_the_others(world: World) -> None:
    capture = world.ask("p1")
    other = json.loads(json.dumps({"capture": capture}))
    other["capture"] |= {"answering_version": 77, "inference_id": "another"}
    world.captured.append(other)
    world.flush()
    report = world.measure()
    assert list(report.failed) == [f"{PROJECT}/77"]
    assert {skew.reads for skew in report.features} == {1}


def test_the_report_and_the_features_item_say_what_was_found(world: World) -> None:
    world.scene.online.records[RecordKey(world.scene.physical(1), "p1")]["glucose"] = "0.2"
    world.ask("p1")
    world.flush()
    world.measure()
    item = world.scene.state.get(Table.FEATURES, {"project": PROJECT, "item": "skew#vitals#v0001"})
    assert item is not None
    assert item["features"]["glucose"] == {"reads": 1, "differing": 1, "behind": 0}
    report = json.loads(world.objects.read(item["report_uri"]))
    (glucose,) = [found for found in report["features"] if found["column"] == "glucose"]
    assert glucose["share"] == 1.0
    assert '"p1"' not in json.dumps(report)


def test_random_histories_of_corrections_late_rows_and_tombstones_have_no_skew(
    world: World,
) -> None:
    """Online merge and window SQL against the training join, over every kind of row."""
    draw = random.Random(20260105)
    start = datetime(2026, 2, 1, tzinfo=UTC)
    events = [start + timedelta(minutes=37 * n) for n in range(40)]
    now = start
    for _ in range(60):
        asked = now + timedelta(milliseconds=1)
        now += timedelta(minutes=draw.randint(5, 60))
        rows = []
        for _ in range(draw.randint(1, 6)):
            event = draw.choice([at for at in events if at <= now] or [now])
            # What is declared as known before the last read, but comes after it, is skew.
            known = min(now, max(asked, event + timedelta(minutes=draw.choice([0, 30, 300]))))
            rows.append(
                measured(
                    f"p{draw.randint(1, 6)}", event.replace(tzinfo=None).isoformat(" "),
                    known.replace(tzinfo=None).isoformat(" "),
                    pulse=draw.choice([None, draw.randint(40, 160)]),
                    glucose=draw.choice([None, draw.random() * 10, 0.1, -0.0]),
                    withdrawn=draw.random() < 0.1,
                )
            )  # fmt: skip
        world.history.deliver(rows, now.isoformat())
        world.at(now.replace(tzinfo=None).isoformat())
        world.scene.clock.advance(draw.choice([0, 0.001, 60, 3600]))
        now = world.scene.clock.now()
        for patient in range(1, 8):
            world.ask(f"p{patient}", **({"pulse": 88} if draw.random() < 0.2 else {}))
    world.flush()
    report = world.measure()
    assert report.reads == 420
    assert sum(skew.reads for skew in report.features) > 3000
    assert [skew for skew in report.features if skew.differing] == []


# --- the pure parts ---------------------------------------------------------------------


def read(number: int, project: str = PROJECT) -> OnlineRead:
    return OnlineRead(project, 1, f"i{number}", datetime(2026, 1, 5, tzinfo=UTC), {}, (), ())


def test_a_sample_is_the_same_whatever_the_order_and_counts_none_twice() -> None:
    numbers = list(range(500))
    samples = []
    for seed in (1, 2):
        random.Random(seed).shuffle(numbers)
        sample = ReadSample(50)
        for number in [*numbers, *numbers]:
            sample.add(read(number))
        samples.append(sample.by_project())
        assert sample.seen == 1000
    assert samples[0] == samples[1]
    assert len(samples[0][PROJECT]) == 50


def test_each_project_has_a_sample_of_its_own() -> None:
    sample = ReadSample(3)
    for number in range(10):
        sample.add(read(number))
    sample.add(read(1, "asthma"))
    assert {name: len(reads) for name, reads in sample.by_project().items()} == {
        "asthma": 1, PROJECT: 3,
    }  # fmt: skip


def test_lines_that_are_no_online_reads_are_passed_over(world: World) -> None:
    world.ask("p1")
    good = json.dumps(world.captured[0])
    without = json.dumps({"capture": {**world.captured[0]["capture"], "online": None}})
    lines = ["", "{", "null", '{"capture": 1}', '{"capture": {"online": {}}}', without, good]
    assert len(list(online_reads(lines))) == 1


@pytest.mark.parametrize(
    ("served", "offline", "same"),
    [
        (1, 1, True), (1.0, 1, True), (None, None, True), (True, 1, False), (0, False, False),
        (0, None, False), (0.1 + 0.2, 0.3, False), ("a", "a", True),
    ],
)  # fmt: skip
def test_values_are_the_same_to_the_last_bit(served: Any, offline: Any, same: bool) -> None:
    assert same_value(served, offline) is same


def test_a_share_of_nothing_is_zero() -> None:
    assert FeatureSkew("p", "g", 1, "c").share == 0.0
