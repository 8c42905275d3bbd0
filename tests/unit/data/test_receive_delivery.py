"""Deliveries of other tables than the primary one: recorded, judged at once, never trained on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from steward.contracts.incoming import Received
from steward.domain.errors import ProjectNotFoundError
from steward.domain.project import parse_project
from steward.domain.workspace import Limits
from steward.entrypoint import parse_event
from steward.ports import Item, Table
from steward.service.data.intake import receive_delivery
from steward.service.data.judging import Bench
from support.training_scene import ARTIFACTS, DATA, Scene, csv_of, declaration

INCOMING = Path(__file__).parents[3] / "events" / "incoming" / "object_created.json"
GOOD = b"patient_id,drawn_at,glucose\np1,2026-01-01T08:00:00Z,91.5\np2,2026-01-02,\n"
BAD = b"patient_id,drawn_at,glucose\np1,yesterday,91.5\n,2026-01-02,80\n"
LABS = {
    "columns": [
        {"name": "patient_id", "type": "string"},
        {"name": "drawn_at", "type": "timestamp"},
        {"name": "glucose", "type": "float", "nullable": True, "min": 20},
    ]
}


def with_labs(**changes: Any) -> Any:
    declared = declaration()
    data = {**declared["data"], "sources": {"labs": {**LABS, **changes}}}
    return parse_project({**declared, "data": data})


@pytest.fixture
def scene() -> Scene:
    return Scene(project=with_labs())


@pytest.fixture
def bench(scene: Scene, tmp_path: Path) -> Bench:
    return Bench(
        scene.state, scene.objects, scene.clock, scene.ids, Limits(tmp_path, 300), DATA, ARTIFACTS
    )


def created(scene: Scene, content: bytes, key: str, event_id: str = "event-1") -> Received:
    scene.objects.write(f"s3://{DATA}/{key}", content)
    info = scene.objects.describe(DATA, key)
    assert info is not None
    event = json.loads(INCOMING.read_text(encoding="utf-8"))
    stored = {"key": key, "size": info.size, "version-id": info.version_id}
    detail = {**event["detail"], "bucket": {"name": DATA}, "object": stored}
    return parse_event({**event, "id": event_id, "detail": detail})


def items(scene: Scene) -> list[Item]:
    return scene.state.query(Table.DELIVERIES, "diabetes")


def test_a_good_file_is_accepted_for_its_table(scene: Scene, bench: Bench) -> None:
    outcome = receive_delivery(created(scene, GOOD, "deliveries/diabetes/labs/1.csv"), bench)
    [item] = items(scene)
    assert outcome == {
        "outcome": "accepted", "delivery_id": item["delivery_id"], "table": "labs", "rows": 2,
    }  # fmt: skip
    assert (item["table"], item["status"], item["rows"]) == ("labs", "accepted", 2)
    assert [type(e.data).__name__ for e in scene.state.events] == [
        "DeliveryReceived", "DatasetAccepted",
    ]  # fmt: skip
    assert {e.data.table for e in scene.state.events} == {"labs"}  # type: ignore[attr-defined]


def test_a_bad_file_goes_into_quarantine_with_its_report(scene: Scene, bench: Bench) -> None:
    outcome = receive_delivery(created(scene, BAD, "deliveries/diabetes/labs/1.csv"), bench)
    assert outcome["outcome"] == "rejected"
    [event] = scene.state.named("DatasetRejected")
    found = {(v.column, v.rule) for v in event.data.violations}  # type: ignore[attr-defined]
    assert found == {("patient_id", "null"), ("drawn_at", "type")}
    assert scene.objects.read(event.data.quarantine_uri) == BAD  # type: ignore[attr-defined]


def test_a_file_of_the_primary_table_is_left_to_its_training_run(
    scene: Scene, bench: Bench
) -> None:
    outcome = receive_delivery(created(scene, csv_of(1, 30), "deliveries/diabetes/1.csv"), bench)
    assert outcome["outcome"] == "ignored"
    assert items(scene) == []


def test_a_folder_that_is_no_source_belongs_to_the_primary_table(
    scene: Scene, bench: Bench
) -> None:
    key = "deliveries/diabetes/2026/1.csv"
    assert receive_delivery(created(scene, csv_of(1, 30), key), bench)["outcome"] == "ignored"


def test_a_delivered_source_starts_no_run(scene: Scene) -> None:
    outcome = scene.start(scene.delivery(GOOD, "labs/1.csv"))
    assert outcome["outcome"] == "ignored"
    assert items(scene) == []
    assert scene.state.query(Table.RUNS, "diabetes") == []


def test_accepted_files_of_a_source_are_no_part_of_a_runs_deliveries(
    scene: Scene, bench: Bench
) -> None:
    receive_delivery(created(scene, GOOD, "deliveries/diabetes/labs/1.csv"), bench)
    run_id = scene.deliver(csv_of(1, 30))["run_id"]
    assert len(scene.deliveries(run_id)) == 1


def test_the_same_bytes_are_judged_once(scene: Scene, bench: Bench) -> None:
    receive_delivery(created(scene, GOOD, "deliveries/diabetes/labs/1.csv"), bench)
    events = len(scene.state.events)
    again = receive_delivery(created(scene, GOOD, "deliveries/diabetes/labs/2.csv", "e-2"), bench)
    assert (again["outcome"], again["status"]) == ("known", "accepted")
    assert len(scene.state.events) == events


def test_rejected_bytes_are_judged_again_under_other_rules(scene: Scene, bench: Bench) -> None:
    low = b"patient_id,drawn_at,glucose\np1,2026-01-01,9\n"
    key = "deliveries/diabetes/labs/1.csv"
    assert receive_delivery(created(scene, low, key), bench)["outcome"] == "rejected"
    assert receive_delivery(created(scene, low, key, "e-2"), bench)["outcome"] == "known"
    columns = [*LABS["columns"][:2], {"name": "glucose", "type": "float", "min": 5}]
    scene.configure(with_labs(columns=columns))
    assert receive_delivery(created(scene, low, key, "e-3"), bench)["outcome"] == "accepted"


def test_a_retry_after_a_crash_finishes_the_verdict(
    scene: Scene, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    received = created(scene, GOOD, "deliveries/diabetes/labs/1.csv")
    with monkeypatch.context() as broken:
        broken.setattr(scene.objects, "download", _crash)
        with pytest.raises(OSError, match="killed"):
            receive_delivery(received, bench)
    assert items(scene)[0]["status"] == "received"
    assert receive_delivery(received, bench)["outcome"] == "accepted"
    assert len(scene.state.named("DeliveryReceived")) == 1


def _crash(*_: object) -> None:
    raise OSError("killed")


def test_a_file_for_nobody_is_refused(scene: Scene, bench: Bench) -> None:
    with pytest.raises(ProjectNotFoundError):
        receive_delivery(created(scene, GOOD, "deliveries/churn/labs/1.csv"), bench)
