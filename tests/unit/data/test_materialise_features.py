"""A delivery goes into feature groups: Parquet, then online, once, whatever dies in between."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from steward.contracts.events import FeatureGroupVersioned
from steward.contracts.incoming import ExecutionStatusChange, Received
from steward.contracts.steps.data import (
    ConcludeMaterialisation,
    MaterialisationFailure,
)
from steward.domain.errors import (
    FeatureGroupNotFoundError,
    IllegalTransitionError,
    LockHeldError,
)
from steward.domain.feature_versions import statistics_item
from steward.domain.locks import feature_lock
from steward.ports import Put, Table
from steward.service.data import feature_chunks
from steward.service.data.feature_materialisation import (
    conclude_materialisation,
    materialisation_that_ended,
    start_materialisation,
)
from steward.service.emission import Cause
from steward.service.feature_catalog import retire
from support.feature_scene import csv_row as row
from support.feature_scene import labs
from support.materialisation_scene import GROUP, MACHINE, FeatureWorld, received


class Killed(BaseException):
    """The worker is gone: nothing may catch it."""


@pytest.fixture
def world(tmp_path: Path) -> FeatureWorld:
    return FeatureWorld(tmp_path)


def test_rows_are_in_parquet_and_the_newest_of_each_entity_online(world: FeatureWorld) -> None:
    delivery = world.materialise(row(1, 10, 90), row(1, 12, 120), row(2, 11, 180), row(1, 11, 100))
    assert [(r[0], r[5]) for r in world.parquet(delivery)] == [
        (1, 90.0), (1, 100.0), (1, 120.0), (2, 180.0),
    ]  # fmt: skip
    assert (world.online(1).values["glucose"], world.online(2).values["is_high"]) == (120.0, True)
    item = world.item(delivery)
    assert (item["status"], item["rows"], item["online_rows"]) == ("done", 4, 2)
    [event] = world.state.named("FeaturesMaterialised")
    assert event.data.rows == 4  # type: ignore[attr-defined]
    assert event.data.newest_event_time == "2026-01-12T10:00:00.000Z"  # type: ignore[attr-defined]


def test_the_same_work_is_started_once_and_what_failed_by_another_event(
    world: FeatureWorld,
) -> None:
    delivery = world.accept(row(1, 10, 90))
    assert world.start(delivery)["started"] == [f"clinic_labs_v1_{delivery[:12]}_1"]
    assert world.start(delivery) == {"started": [], "suppressed": [f"labs/v1 {delivery[:12]}"]}
    fail(world, delivery)
    assert world.start(delivery)["started"] == []
    assert world.start(delivery, "event-2")["started"] == [f"clinic_labs_v1_{delivery[:12]}_2"]
    world.work(delivery)
    assert world.start(delivery, "event-3")["started"] == []


def test_a_start_that_died_before_the_execution_is_healed_by_the_events_retry(
    world: FeatureWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    delivery = world.accept(row(1, 10, 90))

    def die(*_: Any) -> str:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(world.workflows, "start", die)
        with pytest.raises(Killed):
            world.start(delivery)
    assert world.start(delivery)["started"] == [f"clinic_labs_v1_{delivery[:12]}_1"]


def test_a_new_version_gets_what_was_accepted_before(world: FeatureWorld) -> None:
    first, other = world.accept(row(1, 10, 90)), world.accept(row(1, 11, 91))
    world.accept(row(1, 11, 92), table="data")
    world.push(labs(ttl_s=60))
    versioned = FeatureGroupVersioned(
        group="labs", version=2, definition_digest="d", physical_name="p", source_table="lab"
    )
    started = start_materialisation(received(versioned, "event-9"), world.starter())["started"]
    assert started == [f"clinic_labs_v2_{id_[:12]}_1" for id_ in (first, other)]
    assert world.work(first, version=2).done


def test_a_version_that_comes_back_after_retirement_is_put_online_anew(world: FeatureWorld) -> None:
    delivery = world.materialise(row(1, 10, 90))
    files = world.item(delivery)["chunks"]
    world.push(labs(ttl_s=60))
    retire(
        "clinic", "labs", 1, state=world.state, clock=world.clock, ids=world.ids,
        cause=Cause("clinic", "c", "r", "tess"),
    )  # fmt: skip
    world.records.groups[GROUP].clear()
    world.clock.advance(60)
    world.push(labs())
    versioned = FeatureGroupVersioned(
        group="labs", version=1, definition_digest="d", physical_name="p", source_table="lab"
    )
    started = start_materialisation(received(versioned, "event-9"), world.starter())["started"]
    assert started == [f"clinic_labs_v1_{delivery[:12]}_2"]
    assert world.work(delivery).done
    assert world.online(1).values["glucose"] == 90.0
    assert world.item(delivery)["chunks"] == files
    assert start_materialisation(received(versioned, "event-10"), world.starter())["started"] == []


@pytest.mark.parametrize("death", ["before_parquet", "after_parquet", "between_records", "at_end"])
def test_a_worker_that_is_killed_leaves_what_a_rerun_completes_without_duplicates(
    world: FeatureWorld, death: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [row(patient, 10 + patient % 3, 90 + patient) for patient in range(1, 40)]
    rows += [row(patient, 9, 50) for patient in range(1, 40)]
    whole = FeatureWorld(world.folder)
    whole.materialise(*rows)

    monkeypatch.setattr(feature_chunks, "CHUNK_ROWS", 20)
    delivery = world.accept(*rows)
    world.start(delivery)
    kill(world, death, monkeypatch)
    with pytest.raises(Killed):
        world.work(delivery)
    monkeypatch.undo()
    monkeypatch.setattr(feature_chunks, "CHUNK_ROWS", 20)
    assert world.item(delivery)["status"] == "running"

    assert world.work(delivery).done
    item = world.item(delivery)
    assert item["chunks_planned"] == len(item["chunks"]) == 4
    assert sum(chunk["rows"] for chunk in item["chunks"]) == 78
    assert len({r[:3] for r in world.parquet(delivery)}) == 78
    for patient in range(1, 40):
        assert world.online(patient).values == whole.online(patient).values
        assert world.online(patient).windows == whole.online(patient).windows
    # A record that was put before the death is not put again.
    assert len(world.records.puts) == 39
    assert len(world.state.named("FeaturesMaterialised")) == 1
    assert not list(world.state.scan(Table.LOCKS))


def kill(world: FeatureWorld, death: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: Any, **__: Any) -> None:
        raise Killed

    if death == "before_parquet":
        monkeypatch.setattr(world.objects, "upload", die)
    elif death == "after_parquet":
        world.records.before_write = [die]
    elif death == "between_records":
        world.records.before_write = [lambda: None] * 17 + [die]
    else:
        monkeypatch.setattr(feature_chunks, "rows_statistics", die)


def test_time_that_runs_out_ends_the_call_and_the_next_goes_on(
    world: FeatureWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_chunks, "CHUNK_ROWS", 10)
    delivery = world.accept(*(row(patient, 10, 90) for patient in range(1, 40)))
    world.start(delivery)
    original = world.records.write

    def slow(group: str, records: Any) -> None:
        original(group, records)
        world.left -= 300 / 13

    monkeypatch.setattr(world.records, "write", slow)
    calls = 0
    while True:
        world.left = 800.0
        calls += 1
        progress = world.work(delivery)
        if progress.done:
            break
        assert 0 < progress.chunks < progress.of
    assert calls > 1
    assert len(world.records.puts) == 39


def test_an_older_delivery_that_comes_late_changes_no_newer_value(world: FeatureWorld) -> None:
    world.materialise(row(1, 20, 120), row(2, 20, 121))
    world.materialise(row(1, 10, 80), row(2, 21, 99))
    assert (world.online(1).values["glucose"], world.online(2).values["glucose"]) == (120.0, 99.0)
    world.materialise(row(1, 20, 130, reported=25))
    assert world.online(1).values["glucose"] == 130.0


def test_a_late_row_counts_in_the_window_of_a_newer_record(world: FeatureWorld) -> None:
    world.clock.time = world.clock.time.replace(year=2026, month=1, day=22)
    world.materialise(row(1, 20, 100))
    world.materialise(row(1, 18, 50))
    [early, late] = world.online(1).windows["glucose_sum"]
    assert (early.value, late.value) == ("50.000000000", "100.000000000")
    assert world.online(1).values["glucose"] == 100.0


def test_a_tombstone_empties_the_record(world: FeatureWorld) -> None:
    world.materialise(row(1, 10, 90), row(2, 10, 91))
    world.materialise(row(1, 12, "", withdrawn="true"))
    assert (world.online(1).deleted, world.online(1).values) == (True, {})
    world.materialise(row(1, 11, 95))
    assert world.online(1).deleted
    assert world.online(2).values["glucose"] == 91.0


def test_what_is_left_out_is_counted_and_statistics_are_of_the_latest_delivery(
    world: FeatureWorld,
) -> None:
    future = "1,2031-01-01T00:00:00Z,2031-01-01T00:00:00Z,,1,1,x\n"
    world.materialise(row(1, 10, 90), row(2, 11, ""), future)
    name = statistics_item("labs", 1)
    known = world.state.get(Table.FEATURES, {"project": "clinic", "item": name})
    assert known is not None
    assert (known["rows"], known["entities"]) == (2, 2)
    glucose = known["features"]["glucose"]
    assert (glucose["nulls"], glucose["mean"]) == (1, 90.0)
    assert glucose["newest_event_time"] == "2026-01-10T10:00:00.000Z"
    assert known["newest_event_time"] == "2026-01-11T10:00:00.000Z"
    world.materialise(row(1, 8, 70))
    known = world.state.get(Table.FEATURES, {"project": "clinic", "item": name})
    assert known is not None
    assert (known["rows"], known["newest_event_time"]) == (1, "2026-01-11T10:00:00.000Z")
    assert known["features"]["glucose"]["newest_event_time"] == "2026-01-10T10:00:00.000Z"
    metrics = [json.loads(line) for line in world.lines]
    assert metrics[0]["FeatureRowsLeftOut"] == 1
    shares = {m["feature"]: m["FeatureNullShare"] for m in metrics[:12] if "feature" in m}
    assert shares["glucose"] == 50.0


def test_a_shard_that_somebody_else_writes_is_left_to_them_until_their_lease_ends(
    world: FeatureWorld,
) -> None:
    delivery = world.accept(row(1, 10, 90))
    world.start(delivery)
    for shard in range(64):
        lock = {
            "lock": feature_lock("clinic", "labs", 1, shard), "owner": "other",
            "lease_expires_at": int(world.clock.now().timestamp()) + 300,
        }  # fmt: skip
        world.state.commit([Put(Table.LOCKS, lock)])
    with pytest.raises(LockHeldError):
        world.work(delivery)
    world.clock.advance(301)
    assert world.work(delivery).done


def test_without_its_sagemaker_group_it_fails_and_says_what_to_do(world: FeatureWorld) -> None:
    world.records.groups.clear()
    delivery = world.accept(row(1, 10, 90))
    world.start(delivery)
    with pytest.raises(FeatureGroupNotFoundError, match=GROUP):
        world.work(delivery)


def test_an_attempt_that_was_given_up_does_nothing_more(world: FeatureWorld) -> None:
    delivery = world.accept(row(1, 10, 90))
    world.start(delivery)
    fail(world, delivery)
    with pytest.raises(IllegalTransitionError):
        world.work(delivery)


def fail(world: FeatureWorld, delivery: str) -> bool:
    command = ConcludeMaterialisation(
        project="clinic", group="labs", version=1, delivery_id=delivery,
        attempt=world.item(delivery)["attempt"], correlation_id="c", causation_id="e",
        execution_arn="arn", failure=MaterialisationFailure(state="s", error="E", cause="why"),
    )  # fmt: skip
    return conclude_materialisation(
        command, state=world.state, clock=world.clock, ids=world.ids
    ).recorded


def test_a_failure_is_recorded_once_with_its_event(world: FeatureWorld) -> None:
    delivery = world.accept(row(1, 10, 90))
    world.start(delivery)
    assert fail(world, delivery) is True
    assert fail(world, delivery) is False
    [event] = world.state.named("FeatureMaterialisationFailed")
    assert (event.data.error, event.data.cause) == ("E", "why")  # type: ignore[attr-defined]
    done = world.materialise(row(2, 10, 90))
    assert fail(world, done) is False


def test_an_execution_that_timed_out_is_concluded_by_its_status_event(world: FeatureWorld) -> None:
    delivery = world.accept(row(1, 10, 90))
    world.start(delivery)

    def ended(name: str) -> ConcludeMaterialisation | None:
        arn = f"{MACHINE.replace(':stateMachine:', ':execution:')}:{name}"
        change = ExecutionStatusChange.model_validate(
            {"executionArn": arn, "stateMachineArn": MACHINE, "name": name, "status": "TIMED_OUT"}
        )
        event = Received(
            id="e", time="2026-02-01T00:00:00Z", source="aws.states",
            detail_type="x", resources=[], replayed=False, meta=None, detail=change,
        )  # fmt: skip
        return materialisation_that_ended(event, state=world.state)

    found = ended(f"clinic_labs_v1_{delivery[:12]}_1")
    assert found is not None
    assert (found.delivery_id, found.failure.error) == (delivery, "States.TimedOut")
    assert ended(f"clinic_labs_v1_{delivery[:12]}_2") is None
    assert ended("by-hand") is None
    world.work(delivery)
    assert ended(f"clinic_labs_v1_{delivery[:12]}_1") is None
