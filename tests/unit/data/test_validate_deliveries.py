"""Deliveries are accepted or kept in quarantine with a report; nothing is lost."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import xml.etree.ElementTree
from pathlib import Path

import pytest

from steward.contracts.steps.data import ValidatedDeliveries, ValidateDeliveries
from steward.domain.errors import (
    DatasetRejectedError,
    DatasetTooSmallError,
    EvidenceIncompleteError,
    NothingToTrainOnError,
)
from steward.domain.project import parse_project
from steward.domain.workspace import Limits
from steward.ports import Item, Table
from steward.service.data.deliveries import fetch_accepted
from steward.service.data.judging import Bench
from steward.service.data.validation import validate_deliveries
from steward.service.delivery_lists import read_list
from support.training_scene import ARTIFACTS, DATA, Scene, csv_of, declaration

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
    assert read_list(scene.objects, validated.accepted) == [item["delivery_id"]]
    assert validated.rejected == 0
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
    assert (validated.accepted.count, validated.rejected) == (1, 1)


@pytest.mark.parametrize("state", ["rejected", "deleted"])
def test_what_was_rejected_before_is_no_rejection_of_this_run(
    scene: Scene, tmp_path: Path, state: str
) -> None:
    """Its owner had mail then, and would have none now: the run says that it failed."""
    run_id = scene.deliver(GOOD)["run_id"]
    scene.mark(state, GOOD)
    with pytest.raises(NothingToTrainOnError, match="rejected or deleted before"):
        validate(scene, run_id, tmp_path)
    assert not scene.state.named("DatasetRejected")


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
    assert read_list(scene.objects, validated.accepted) == [item["delivery_id"]]


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


def configured(scene: Scene, **data: object) -> None:
    """Declare more of the table than the scene does."""
    declared = declaration()
    declared["data"] |= data
    scene.configure(parse_project(declared))


def test_rows_that_are_set_aside_are_kept_and_do_not_count(scene: Scene, tmp_path: Path) -> None:
    rules = [{"name": "adult", "expression": "age >= 25", "severity": "quarantine_rows"}]
    configured(scene, rules=rules, max_quarantined_share=0.5)
    run_id = scene.deliver(GOOD)["run_id"]
    validate(scene, run_id, tmp_path)
    [item] = deliveries(scene).values()
    young = [line for line in GOOD.decode().splitlines()[1:] if int(line.split(",")[1]) < 25]
    assert young
    assert (item["status"], item["quarantined_rows"]) == ("accepted", len(young))
    assert item["rows"] == 30 - len(young)
    base = f"s3://{DATA}/quarantine/diabetes/{item['delivery_id']}"
    aside = scene.objects.read(f"{base}/rows.csv").decode().splitlines()[1:]
    assert [line.split(",")[0] for line in aside] == [line.split(",")[0] for line in young]
    assert len(scene.objects.read(f"{base}/reasons.csv").splitlines()) == len(young) + 1
    fetch_accepted(scene.objects, item, tmp_path / "accepted")
    kept = (tmp_path / "accepted").read_text().splitlines()[1:]
    assert len(kept) == item["rows"]
    [told] = scene.state.named("DatasetAccepted")
    assert (told.data.rows, told.data.quarantined_rows) == (item["rows"], len(young))  # type: ignore[attr-defined]


def test_the_accepted_rows_are_refused_when_they_are_others(scene: Scene, tmp_path: Path) -> None:
    rules = [{"name": "adult", "expression": "age >= 25", "severity": "quarantine_rows"}]
    configured(scene, rules=rules, max_quarantined_share=0.5)
    validate(scene, scene.deliver(GOOD)["run_id"], tmp_path)
    [item] = deliveries(scene).values()
    scene.objects.write(item["accepted_uri"], MORE)
    with pytest.raises(EvidenceIncompleteError, match="is not what was accepted"):
        fetch_accepted(scene.objects, item, tmp_path / "accepted")


def succeed(scene: Scene, run_id: str) -> None:
    """Let a run end with a version."""
    scene.state.put(Table.RUNS, {**scene.run(run_id), "status": "succeeded"})
    scene.state.put(Table.LOCKS, {"lock": "diabetes/training"})


def older(content: bytes, years: int) -> bytes:
    """Return a delivery of people who are older, and others."""
    header, *lines = content.decode().splitlines()
    rows = [line.split(",") for line in lines]
    aged = [[f"p9{row[0][1:]}", str(min(119, int(row[1]) + years)), *row[2:]] for row in rows]
    return "\n".join([header, *(",".join(row) for row in aged), ""]).encode()


def test_a_delivery_is_compared_with_the_last_one_and_with_what_was_trained_on(
    scene: Scene, tmp_path: Path
) -> None:
    first, second = csv_of(1, 400), csv_of(401, 800, seed=8)
    for content in (first, second):
        run_id = scene.deliver(content)["run_id"]
        validate(scene, run_id, tmp_path)
        succeed(scene, run_id)
    third = csv_of(801, 1200, seed=9)
    run_id = scene.deliver(third)["run_id"]
    validate(scene, run_id, tmp_path)
    scene.end(run_id, "FAILED")
    run_id = scene.deliver(older(csv_of(1201, 1600, seed=10), 25))["run_id"]
    validate(scene, run_id, tmp_path)
    latest = max(deliveries(scene).values(), key=lambda item: item["received_at"])
    report = json.loads(scene.objects.read(latest["report_uri"]))
    drift = {found["against"]: found for found in report["drift"]}
    assert drift["last_accepted"]["deliveries"] == [hashlib.sha256(third).hexdigest()]
    trained = [hashlib.sha256(content).hexdigest() for content in (first, second)]
    assert drift["training_baseline"]["deliveries"] == trained
    assert drift["training_baseline"]["rows"] == 800
    changed = {v["column"] for v in report["violations"] if v["rule"] == "distribution"}
    assert changed == {"age"}
    assert (latest["status"], latest["warnings"]) == ("accepted", 2)


def test_the_page_lies_beside_the_report_and_shows_every_column(
    scene: Scene, tmp_path: Path
) -> None:
    for content in (GOOD, BAD):
        run_id = scene.deliver(content)["run_id"]
        with contextlib.suppress(DatasetRejectedError):
            validate(scene, run_id, tmp_path)
        scene.end(run_id, "FAILED")
    for item in deliveries(scene).values():
        assert item["page_uri"] == item["report_uri"].replace(".json", ".html")
        page = scene.objects.read(item["page_uri"]).decode()
        assert item["status"] in page
        assert page.count("<div class='card'>") == 5
        assert "<script" not in page
        assert not re.search(r"(src|href)=", page)
        xml.etree.ElementTree.fromstring(re.sub(r"<!doctype html>|<meta[^>]*>", "", page))
