"""A run of ten thousand deliveries: its records and payloads name one object in S3."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from steward.contracts.steps.data import ValidateDeliveries
from steward.contracts.steps.training import RecordTrainingOutcome, ResolvedRun, ResolveRun
from steward.domain.delivery_lists import list_content, list_of
from steward.domain.errors import DatasetRejectedError, EvidenceIncompleteError
from steward.domain.run_comparison import compare_runs
from steward.domain.runs import Work
from steward.domain.workspace import Limits
from steward.ports import Table
from steward.service.data.judging import Bench
from steward.service.data.validation import validate_deliveries
from steward.service.delivery_lists import read_list, write_list
from steward.service.training.outcome import record_training_outcome
from steward.service.training.resolve import resolve_run
from support.training_scene import ARTIFACTS, DATA, Scene

MANY = 10_000
ITEM_LIMIT, PAYLOAD_LIMIT = 400 * 1024, 256 * 1024


def ids(count: int = MANY) -> list[str]:
    return [hashlib.sha256(str(number).encode()).hexdigest() for number in range(count)]


def started(status: str = "accepted", count: int = MANY) -> tuple[Scene, str]:
    """Return a scene with a running run of so many deliveries."""
    scene = Scene()
    for number, delivery in enumerate(ids(count)):
        item = {
            "project": "diabetes", "delivery_id": delivery, "status": status, "bucket": DATA,
            "received_at": f"2026-01-05T08:{number // 60 % 60:02d}:{number % 60:02d}.000+00:00",
            "key": f"deliveries/diabetes/{number}.csv", "version_id": None, "size": 9, "rows": 10,
            "judged_by": "earlier-1",
        }  # fmt: skip
        scene.state.put(Table.DELIVERIES, item)
    return scene, str(scene.start(scene.request())["run_id"])


def resolved(scene: Scene, run_id: str) -> ResolvedRun:
    command = ResolveRun(
        project="diabetes", run_id=run_id, correlation_id=run_id, causation_id="e", actor="tess"
    )
    return resolve_run(
        command,
        state=scene.state,
        objects=scene.objects,
        environment="dev",
        artifacts_bucket=ARTIFACTS,
    )


def bench(scene: Scene, tmp_path: Path) -> Bench:
    return Bench(
        scene.state, scene.objects, scene.clock, scene.ids, Limits(tmp_path, 300), DATA, ARTIFACTS
    )


def test_ten_thousand_deliveries_fit_item_payloads_and_events(tmp_path: Path) -> None:
    scene, run_id = started()
    run = scene.run(run_id)
    assert run["deliveries"]["count"] == MANY
    assert scene.deliveries(run_id) == sorted(ids())
    found = resolved(scene, run_id)
    command = ValidateDeliveries(
        project="diabetes", run_id=run_id, correlation_id=run_id, deliveries=found.deliveries
    )
    validated = validate_deliveries(command, bench(scene, tmp_path))
    assert validated.accepted == found.deliveries  # the same set is the same object
    end = RecordTrainingOutcome(
        project="diabetes", run_id=run_id, correlation_id=run_id, outcome="succeeded", version=1,
        execution_arn=run["execution_arn"], deliveries=validated.accepted,
    )  # fmt: skip
    record_training_outcome(
        end, state=scene.state, objects=scene.objects, clock=scene.clock, ids=scene.ids
    )
    assert len(json.dumps(scene.run(run_id))) < ITEM_LIMIT / 20
    assert max(len(text.model_dump_json()) for text in (found, validated, end)) < 4096
    names = ("TrainingStarted", "TrainingSucceeded")
    events = [event for name in names for event in scene.state.named(name)]
    assert len(events) == 2
    assert all(len(event.detail_json()) < 4096 for event in events)


def test_many_rejected_deliveries_are_counted_not_listed(tmp_path: Path) -> None:
    scene, run_id = started(count=100)
    listed = list_of(scene.run(run_id)["deliveries"])
    for item in scene.state.query(Table.DELIVERIES, "diabetes"):
        scene.state.put(Table.DELIVERIES, {**item, "status": "rejected", "judged_by": run_id})
    command = ValidateDeliveries(
        project="diabetes", run_id=run_id, correlation_id=run_id, deliveries=listed
    )
    with pytest.raises(DatasetRejectedError, match="100 deliveries broke a rule") as caught:
        validate_deliveries(command, bench(scene, tmp_path))
    assert "and 90 more" in str(caught.value.value)
    assert len(json.dumps(caught.value.as_dict())) < 4096


def test_the_key_of_a_run_is_of_its_deliveries_not_of_where_their_list_lies() -> None:
    scene, run_id = started(count=3)
    run = scene.run(run_id)
    work = Work(
        "diabetes", frozenset(ids(3)), run["training_digest"], run["code_digest"], run["image"]
    )
    assert run["run_key"] == work.key
    assert work.key != work.on(ids(2)).key


def test_a_list_is_written_once_whatever_its_order() -> None:
    scene = Scene()
    first = write_list(scene.objects, ARTIFACTS, "diabetes", ["b", "a", "b"])
    assert write_list(scene.objects, ARTIFACTS, "diabetes", iter(["a", "b"])) == first
    assert first.sha256 == hashlib.sha256(list_content(["a", "b"])).hexdigest()
    assert first.uri == f"s3://{ARTIFACTS}/runs/diabetes/deliveries/{first.sha256}.json"
    assert len(list(scene.objects.versions(ARTIFACTS, "runs/"))) == 1
    assert list_of(first.as_item()) == first


def test_a_list_that_was_overwritten_is_still_read_in_its_version() -> None:
    scene = Scene()
    listed = write_list(scene.objects, ARTIFACTS, "diabetes", ["a", "b"])
    scene.objects.write(listed.uri, list_content(["c"]))
    assert read_list(scene.objects, listed) == ["a", "b"]
    again = write_list(scene.objects, ARTIFACTS, "diabetes", ["a", "b"])
    assert (again.sha256, again.version_id != listed.version_id) == (listed.sha256, True)
    assert read_list(scene.objects, again) == ["a", "b"]


def test_a_list_that_is_gone_or_another_one_stops_the_run() -> None:
    scene, run_id = started(count=3)
    run = scene.run(run_id)
    other = {**run["deliveries"], "sha256": "0" * 64}
    scene.state.put(Table.RUNS, {**run, "deliveries": other})
    with pytest.raises(EvidenceIncompleteError, match="not the list that was pinned"):
        resolved(scene, run_id)
    scene.state.put(Table.RUNS, run)
    listed = list_of(run["deliveries"])
    bucket, _, key = listed.uri.removeprefix("s3://").partition("/")
    scene.objects.remove(bucket, key, str(listed.version_id))
    with pytest.raises(EvidenceIncompleteError):
        resolved(scene, run_id)


def test_what_a_run_trained_on_counts_as_that_work_too() -> None:
    scene, run_id = started(count=3)
    run = scene.run(run_id)
    fewer = write_list(scene.objects, ARTIFACTS, "diabetes", ids(2))
    end = RecordTrainingOutcome(
        project="diabetes", run_id=run_id, correlation_id=run_id, outcome="succeeded", version=1,
        execution_arn=run["execution_arn"], deliveries=fewer,
    )  # fmt: skip
    record_training_outcome(
        end, state=scene.state, objects=scene.objects, clock=scene.clock, ids=scene.ids
    )
    scene.end(run_id)
    gone = {"project": "diabetes", "delivery_id": ids(3)[2]}
    item = scene.state.get(Table.DELIVERIES, gone)
    assert item is not None
    scene.state.put(Table.DELIVERIES, {**item, "status": "rejected"})
    assert scene.start(scene.request())["existing_run_id"] == run_id


def test_two_runs_are_compared_by_digest_where_a_list_cannot_be_read() -> None:
    lists = [
        {"uri": "s3://a/l", "sha256": digest, "count": count}
        for digest, count in (("0a", 2), ("0b", MANY))
    ]
    runs = [{"run_id": f"r-{n}", "deliveries": listed} for n, listed in enumerate(lists)]
    found = compare_runs(runs[0], runs[1], (None, None), (None, None), (["d1", "d2"], None))
    assert found["inputs"]["deliveries"] == {
        "a": 2, "b": MANY, "same": False, "only_a": None, "only_b": None,
    }  # fmt: skip
