"""Deliveries are accepted or kept in quarantine with a report; nothing is lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from steward.contracts.steps.data import ValidatedDeliveries, ValidateDeliveries
from steward.domain.errors import (
    DatasetRejectedError,
    DatasetTooSmallError,
    EvidenceIncompleteError,
)
from steward.domain.workspace import Limits
from steward.ports import Item, Table
from steward.service.data.validation import Bench, validate_deliveries
from support.training_scene import ARTIFACTS, DATA, Scene, csv_of

GOOD, MORE = csv_of(1, 30), csv_of(31, 60)
BAD = b"patient_id,age,bmi,sex,outcome\np1,999,6,F,1\np1,sixty,6,F,0\n"


@pytest.fixture
def scene() -> Scene:
    return Scene()


def validate(scene: Scene, run_id: str, tmp_path: Path, **changes: object) -> ValidatedDeliveries:
    command = ValidateDeliveries(
        project="diabetes", run_id=run_id, correlation_id=run_id,
        deliveries=scene.run(run_id)["deliveries"], **changes,
    )  # fmt: skip
    bench = Bench(
        scene.state, scene.objects, scene.clock, scene.ids, Limits(tmp_path, 300), DATA, ARTIFACTS
    )
    return validate_deliveries(command, bench)


def deliveries(scene: Scene) -> dict[str, Item]:
    return {item["key"]: item for item in scene.state.query(Table.DELIVERIES, "diabetes")}


def test_a_good_delivery_is_accepted_with_a_report(scene: Scene, tmp_path: Path) -> None:
    run_id = scene.deliver(GOOD)["run_id"]
    validated = validate(scene, run_id, tmp_path)
    [item] = deliveries(scene).values()
    assert validated == ValidatedDeliveries(accepted=[item["delivery_id"]], rejected=[])
    assert (item["status"], item["rows"]) == ("accepted", 30)
    report = json.loads(scene.objects.read(item["report_uri"]))
    assert report["verdict"] == "accepted"
    assert scene.state.named("DatasetAccepted")
    assert list(tmp_path.iterdir()) == []


def test_a_bad_delivery_is_kept_in_quarantine_and_reported(scene: Scene, tmp_path: Path) -> None:
    run_id = scene.deliver(BAD)["run_id"]
    with pytest.raises(DatasetRejectedError):
        validate(scene, run_id, tmp_path)
    [item] = deliveries(scene).values()
    base = f"s3://{DATA}/quarantine/diabetes/{item['delivery_id']}"
    assert item["status"] == "rejected"
    assert item["report_uri"] == f"{base}/report.json"
    assert scene.objects.read(f"{base}/1.csv") == BAD
    report = json.loads(scene.objects.read(item["report_uri"]))
    rules = {v["rule"]: v for v in report["violations"]}
    assert rules["max"]["examples"] == [
        {"row": 1, "line": 2, "column": "age", "value": "999", "rule": "max", "first_row": None}
    ]
    [event] = scene.state.named("DatasetRejected")
    assert event.data.violations[0].rule == "unique"  # type: ignore[attr-defined]


def test_a_bad_delivery_beside_a_good_one_leaves_the_good_one(scene: Scene, tmp_path: Path) -> None:
    scene.deliver(GOOD)
    first = scene.lock()["owner"]  # type: ignore[index]
    scene.end(first, "FAILED")
    run_id = scene.deliver(BAD)["run_id"]
    validated = validate(scene, run_id, tmp_path)
    assert (len(validated.accepted), len(validated.rejected)) == (1, 1)


def test_nothing_new_is_no_reason_to_train_again(scene: Scene, tmp_path: Path) -> None:
    scene.end(scene.deliver(GOOD)["run_id"], "FAILED")
    scene.mark("accepted", GOOD)
    run_id = scene.deliver(BAD)["run_id"]
    with pytest.raises(DatasetRejectedError):
        validate(scene, run_id, tmp_path)


def test_new_code_is_a_reason_to_train_without_the_rejected_delivery(
    scene: Scene, tmp_path: Path
) -> None:
    scene.end(scene.deliver(GOOD)["run_id"], "FAILED")
    scene.mark("accepted", GOOD)
    item = next(iter(deliveries(scene).values()))
    scene.state.put(Table.DELIVERIES, {**item, "rows": 30})
    run_id = scene.deliver(BAD)["run_id"]
    validated = validate(scene, run_id, tmp_path, trains_without_new_data=True)
    assert validated.accepted == [item["delivery_id"]]


def test_the_task_again_keeps_every_verdict_and_says_nothing_twice(
    scene: Scene, tmp_path: Path
) -> None:
    run_id = scene.deliver(GOOD)["run_id"]
    first = validate(scene, run_id, tmp_path)
    events = list(scene.state.events)
    assert validate(scene, run_id, tmp_path) == first
    assert scene.state.events == events


def test_too_few_rows_together_end_the_run_and_stay_for_the_next(
    scene: Scene, tmp_path: Path
) -> None:
    run_id = scene.deliver(csv_of(1, 10))["run_id"]
    with pytest.raises(DatasetTooSmallError) as refused:
        validate(scene, run_id, tmp_path)
    assert refused.value.field == "data.minimum_rows"
    assert [d["status"] for d in deliveries(scene).values()] == ["accepted"]


def test_other_bytes_than_those_delivered_are_refused(scene: Scene, tmp_path: Path) -> None:
    run_id = scene.deliver(GOOD)["run_id"]
    [item] = deliveries(scene).values()
    scene.objects.write(f"s3://{DATA}/{item['key']}", MORE)
    scene.state.put(Table.DELIVERIES, {**item, "version_id": None})
    with pytest.raises(EvidenceIncompleteError):
        validate(scene, run_id, tmp_path)


def test_a_rejection_with_many_findings_stays_below_the_event_limit(
    scene: Scene, tmp_path: Path
) -> None:
    value = b"x" * 500
    rows = b"".join(b"p1,%s,%s,%s,%d\n" % (value, value, value, n) for n in range(100))
    run_id = scene.deliver(b"patient_id,age,bmi,sex,outcome\n" + rows)["run_id"]
    with pytest.raises(DatasetRejectedError):
        validate(scene, run_id, tmp_path)
    assert len(scene.state.named("DatasetRejected")[0].detail_json()) < 64 * 1024
