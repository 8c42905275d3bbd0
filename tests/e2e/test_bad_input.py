"""Bad input on the deployed stack, as a person meets it: what is printed, and what is a rule."""

from __future__ import annotations

import copy
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from steward.contracts import events as e
from steward.domain.lineage_items import key_of
from steward.ports import Table
from support.dataset_scene import LAB_HEADER
from support.feature_scene import csv_row, declaration, labs
from support.laboratory_stack import Laboratory, eventually

pytestmark = pytest.mark.e2e

PROJECT = "bad-input"
Told = tuple[e.Payload, datetime | None]


@pytest.fixture(scope="module")
def project(lab: Laboratory) -> Path:
    return lab.add_declared({**declaration(labs()), "project": PROJECT}, labs())


def reported(lab: Laboratory, name: str, content: str, table: str = "lab") -> str:
    """Deliver a file with the command; return what the command says of it, on one line."""
    file = lab.folder / name
    file.write_text(content, encoding="utf-8")
    lab.steward("data", "put", str(file), "--project", PROJECT, "--table", table, as_json=False)

    def judged() -> str | None:
        for item in lab.state.deliveries(PROJECT):
            if item["key"].endswith(f"/{name}") and item["status"] != "received":
                return str(item["delivery_id"])
        return None

    delivery_id = eventually(judged, f"the verdict on {name}")
    printed = lab.steward("data", "report", PROJECT, delivery_id, as_json=False)
    print(printed)  # noqa: T201 - shown where a test fails, and by -rP
    return " ".join(printed.split())


def test_a_feature_file_whose_column_changed_its_type_says_which_value_must_be_what(
    lab: Laboratory, project: Path
) -> None:
    said = reported(lab, "types.csv", LAB_HEADER + csv_row(1, 10, "high") + csv_row(2, 10, 91))
    assert "rejected" in said
    assert "row 1: 'high'" in said
    assert "glucose must be a float" in said


def test_a_feature_time_in_the_future_says_how_late_it_may_be(
    lab: Laboratory, project: Path
) -> None:
    later = "2099-01-01T10:00:00Z"
    said = reported(lab, "future.csv", f"{LAB_HEADER}1,{later},{later},,90,1,icu\n")
    assert "rejected" in said
    assert "row 1: '2099-01-01 10:00:00'" in said
    assert "taken_at is in the future" in said
    assert "at most 300 s after its file came, 20" in said


def test_a_key_that_is_null_says_which_column_may_not_be_empty(
    lab: Laboratory, project: Path
) -> None:
    said = reported(lab, "null.csv", LAB_HEADER + csv_row(1, 10, 90).replace("1,", ",", 1))
    assert "rejected" in said
    assert "row 1: None" in said
    assert "patient may not be empty" in said


def test_a_streamed_row_with_a_null_key_is_in_the_dead_letter_queue_with_its_field(
    lab: Laboratory, project: Path
) -> None:
    def send(**row: Any) -> None:
        put_events(lab, PROJECT, [(e.FeatureRecordReceived(group="labs", row=row), None)])

    send(patient=None, taken_at="2026-01-20T10:00:00Z", reported_at="2026-01-20T11:00:00Z")
    queue = lab.resources("Data")["IngestRecordHandlingFailures"]
    sqs = lab.target.client("sqs")

    def buried() -> str | None:
        got = sqs.receive_message(QueueUrl=queue, VisibilityTimeout=0, MaxNumberOfMessages=10)
        bodies = [message["Body"] for message in got.get("Messages", [])]
        return next((body for body in bodies if PROJECT in body), None)

    body = eventually(buried, "the message in the dead-letter queue")
    print(body)  # noqa: T201 - as above
    assert "detail.data.row.patient" in body
    assert "patient may not be empty" in body


def test_views_that_disagree_on_the_type_of_an_entity_are_refused_with_their_place(
    lab: Laboratory, project: Path
) -> None:
    home = lab.folder / "disagree"
    (home / "features").mkdir(parents=True)
    (home / "src").mkdir()
    (home / "src" / "train.py").write_text("", encoding="utf-8")
    vitals = labs(feature_group="vitals", source="ward")
    declared = {**declaration(labs(), vitals), "project": "disagree"}
    del declared["feature_groups"]
    sources = declared["data"]["sources"]
    sources["ward"] = copy.deepcopy(sources["lab"])
    sources["ward"]["columns"][0]["type"] = "string"
    (home / "project.yaml").write_text(yaml.safe_dump(declared), encoding="utf-8")
    for group in (labs(), vitals):
        path = home / "features" / f"{group['feature_group']}.yaml"
        path.write_text(yaml.safe_dump(group), encoding="utf-8")
    said = lab.steward_error("project", "add", str(home))
    print(said)  # noqa: T201 - as above
    assert "features[1].keys.patient" in said
    assert "'patient' of vitals is of type string in the source 'ward'" in said
    assert "got 'string'; allowed: integer" in said


def test_times_of_several_zones_are_one_rule_and_a_warning(lab: Laboratory, project: Path) -> None:
    rows = ["patient,asked_at,age,returned"]
    written = ("2026-01-13T14:00:00+02:00", "2026-01-13T12:00:00Z", "2026-01-13 12:00:00")
    rows += [f"{n},{written[n % 3]},{40 + n % 9},{n // 3 % 2}" for n in range(60)]
    values = "".join(csv_row(n, 12, 100) for n in range(60))
    assert "accepted" in reported(lab, "zones-lab.csv", LAB_HEADER + values)
    said = reported(lab, "zones.csv", "\n".join(rows) + "\n", table="data")
    assert "accepted" in said
    assert "asked_at has an offset in 40 rows and none in 20" in said
    assert "values without one are taken as UTC" in said
    lab.run(PROJECT, "failed", "succeeded")
    [manifest] = lab.steward("dataset", "list", PROJECT)
    base = f"s3://{lab.target.output('DataBucketName')}/datasets/{PROJECT}"
    csv = lab.read(f"{base}/{manifest['dataset_id']}/train/train.csv").decode().splitlines()
    assert {line.split(",")[1] for line in csv[1:]} == {"2026-01-13T12:00:00.000Z"}
    assert lab.steward("dataset", "rebuild", manifest["dataset_id"])["equal"]


def put_events(lab: Laboratory, project: str, told: list[Told]) -> None:
    meta = {
        "correlation_id": "c", "causation_id": "c", "project": project, "actor": "ward",
    }  # fmt: skip
    for payload, at in told:
        entry: dict[str, Any] = {
            "Source": payload.source, "DetailType": type(payload).__name__,
            "EventBusName": lab.target.output("BusName"),
            "Detail": json.dumps({"meta": meta, "data": payload.model_dump(mode="json")}),
        }  # fmt: skip
        if at is not None:
            entry["Time"] = at
        lab.target.client("events").put_events(Entries=[entry])


def history(project: str, bucket: str) -> list[Told]:
    """Return what is told of a delivery, a group, a run and its dataset (manifest gone)."""
    began = datetime(2026, 1, 5, 9, tzinfo=UTC)
    told: list[e.Payload] = [
        e.DeliveryReceived(delivery_id="d1", bucket="b", key=f"deliveries/{project}/d1.csv"),
        e.DeliveryReceived(
            delivery_id="l1", bucket="b", key=f"deliveries/{project}/lab/l1.csv", table="lab"
        ),
        e.FeaturesMaterialised(
            group="labs", version=1, delivery_id="l1", rows=3, online_rows=3, files=[]
        ),
        e.TrainingStarted(
            run_id="0123456789ab-1", run_key="k", trigger="delivery", execution_arn="arn:x"
        ),
        e.DatasetBuilt(
            dataset_id="set1", manifest_uri=f"s3://{bucket}/datasets/{project}/gone.json",
            deliveries=["d1"], train_rows=1,
            heldout_rows=1, run_id="0123456789ab-1", features=["labs/v1"],
        ),
    ]  # fmt: skip
    return [(payload, began + timedelta(minutes=n)) for n, payload in enumerate(told)]


def test_lineage_events_out_of_order_and_twice_give_the_same_graph(lab: Laboratory) -> None:
    bucket = lab.target.output("DataBucketName")
    in_order, shuffled = history("in-order", bucket), history("shuffled", bucket)
    put_events(lab, "in-order", in_order)
    put_events(lab, "shuffled", [*reversed(shuffled), *shuffled, shuffled[2]])

    def graph(project: str) -> list[str]:
        node = f"run:{project}/0123456789ab-1"
        if not lab.state.store.query(Table.LINEAGE, key_of(node), prefix="up#"):
            return []
        found = lab.steward("lineage", "up", node)
        # The embedded bus stamps an event itself (docs/parity.md), so the times are of this run.
        text = json.dumps(found, sort_keys=True).replace(project, "PROJECT")
        return sorted(re.sub(r'"(first_at|last_at)": "[^"]*"', "", text).split(","))

    def is_whole_and_same() -> bool:
        one, other = graph("in-order"), graph("shuffled")
        told = ("d1.csv", "l1.csv", "arn:x", "DatasetBuilt")
        return one == other and all(part in ",".join(one) for part in told)

    eventually(is_whole_and_same, "the same graph of both")
