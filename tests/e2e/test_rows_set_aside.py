"""Rows that a rule sets aside, on the deployed stack: kept, counted, and nowhere else."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import dataclass
from typing import Any

import duckdb
import pytest

from support.dataset_scene import asked, lab_rows
from support.dataset_scene import lab as lab_file
from support.feature_scene import declaration, labs
from support.laboratory_stack import Laboratory, eventually

pytestmark = pytest.mark.e2e

PROJECT = "set-aside"
BAD_VISITS = ["9001,2026-01-20T10:00:00Z,-3,1", "9002,2026-01-20T10:00:00Z,old,0"]
BAD_VALUES = [
    "1,2026-01-14T23:00:00Z,2026-01-14T23:30:00Z,false,-5,1,icu",  # patient 1's newest
    "9001,2026-01-10T10:00:00Z,2026-01-10T10:30:00Z,false,-7,1,icu",
    "9003,2026-01-10T10:00:00Z,2026-01-10T10:30:00Z,false,high,1,icu",
    ",2026-01-10T10:00:00Z,2026-01-10T10:30:00Z,false,95,1,icu",
]


@dataclass
class Played:
    """The two deliveries as they were judged, and the dataset that was built of them."""

    visits: dict[str, Any]
    values: dict[str, Any]
    manifest: dict[str, Any]
    good_values: int


def declared() -> dict[str, Any]:
    document = {**declaration(labs()), "project": PROJECT}
    for columns, name, rules in (
        (document["data"]["columns"], "age", {"min": 0}),
        (document["data"]["sources"]["lab"]["columns"], "glucose", {"min": 0}),
        (document["data"]["sources"]["lab"]["columns"], "patient", {}),
    ):
        [column] = [column for column in columns if column["name"] == name]
        column.update(rules, severity="quarantine_rows")
    return document


@pytest.fixture(scope="module")
def played(lab: Laboratory) -> Played:
    lab.add_declared(declared(), labs())
    good = lab_rows(60)
    lines = [*good[:50], *(f"{line}\n" for line in BAD_VALUES), *good[50:]]
    values_id = lab.put_delivery(PROJECT, "lab/values.csv", lab_file(lines))
    values = lab.delivery(PROJECT, values_id, "accepted", "rejected")

    def materialised() -> bool:
        found = lab.state.features(PROJECT, "materialisation#labs#v0001#")
        return [item["status"] for item in found] == ["done"]

    eventually(materialised, "the features")
    visits = asked(1, 80) + "".join(f"{line}\n" for line in BAD_VISITS).encode()
    visits_id = lab.put_delivery(PROJECT, "visits.csv", visits)
    run = lab.run(PROJECT, "failed", "succeeded")
    assert run["failed_state"] == "TrainCandidate", run
    [manifest] = lab.steward("dataset", "list", PROJECT)
    judged = lab.delivery(PROJECT, visits_id, "accepted", "rejected")
    return Played(judged, values, manifest, len(good))


def test_the_rows_are_kept_beside_the_report_with_their_reasons(
    lab: Laboratory, played: Played
) -> None:
    for item, bad, first in ((played.visits, BAD_VISITS, 81), (played.values, BAD_VALUES, 51)):
        assert item["status"] == "accepted"
        kept = lab.read(item["quarantine_uri"]).decode().splitlines()
        assert kept[1:] == bad
        beside = item["quarantine_uri"].rpartition("/")[0]
        reasons = list(csv.DictReader(io.StringIO(lab.read(f"{beside}/reasons.csv").decode())))
        rows = [int(reason["row"]) for reason in reasons]
        assert rows == list(range(first, first + len(bad)))
        report = json.loads(lab.read(item["report_uri"]))
        assert report["quarantine_uri"] == item["quarantine_uri"]
        tile = rf"<b class='warn'>{len(bad)}</b>[^/]*rows set aside"
        assert re.search(tile, lab.read(item["page_uri"]).decode())
    rules = [reason["rule"] for reason in reasons]
    assert rules == ["min", "min", "type", "null"]


def test_the_counts_are_in_the_verdict_the_report_the_event_and_the_manifest(
    lab: Laboratory, played: Played
) -> None:
    for item, bad, good in (
        (played.visits, BAD_VISITS, 80), (played.values, BAD_VALUES, played.good_values),
    ):  # fmt: skip
        assert (int(item["rows"]), int(item["quarantined_rows"])) == (good, len(bad))
        report = lab.steward("data", "report", PROJECT, item["delivery_id"])
        assert (report["rows"], report["quarantined_rows"]) == (good + len(bad), len(bad))
    [source] = played.manifest["sources"]
    [feature] = played.manifest["features"]
    [of_feature] = feature["sources"]
    assert (source["rows"], source["quarantined_rows"]) == (80, 2)
    assert (of_feature["rows"], of_feature["quarantined_rows"]) == (played.good_values, 4)
    assert played.manifest["counts"]["rows"] == 80
    shown = lab.steward("data", "report", PROJECT, played.visits["delivery_id"], as_json=False)
    assert "2 rows are set aside" in shown
    assert "6 rows of 2 deliveries" in " ".join(
        lab.steward("dataset", "show", played.manifest["dataset_id"], as_json=False).split()
    )


def test_no_row_set_aside_is_in_the_dataset_or_the_features_or_online(
    lab: Laboratory, played: Played
) -> None:
    s3, bucket = lab.target.client("s3"), lab.target.output("DataBucketName")
    base = f"datasets/{PROJECT}/{played.manifest['dataset_id']}/parquet"
    of_dataset = [rows_of(lab, f"s3://{bucket}/{base}/{part}.parquet") for part in ("train",
                  "heldout")]  # fmt: skip
    rows = [row for part in of_dataset for row in part]
    assert len(rows) == played.manifest["rows"]
    assert {row["patient"] for row in rows} <= set(range(1, 81))
    assert all(row["age"] >= 0 for row in rows)
    assert all(row["glucose"] is None or row["glucose"] > 0 for row in rows)

    listed = s3.list_objects_v2(Bucket=bucket, Prefix=f"features/{PROJECT}/labs/v1/")["Contents"]
    features = [row for one in listed for row in rows_of(lab, f"s3://{bucket}/{one['Key']}")]
    assert len(features) == played.good_values
    assert {row["patient"] for row in features} == set(range(1, 61))
    assert all(row["glucose"] > 0 for row in features)

    assert online(lab, 9001) == online(lab, 9003) == {}
    newest = max(
        (row for row in features if row["patient"] == 1),
        key=lambda row: (row["event_time_"], row["known_at_"]),
    )
    assert float(online(lab, 1)["glucose"]) == newest["glucose"]


def rows_of(lab: Laboratory, uri: str) -> list[dict[str, Any]]:
    path = lab.folder / "read.parquet"
    path.write_bytes(lab.read(uri))
    relation = duckdb.sql(f"FROM read_parquet('{path}')")
    return [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]


def online(lab: Laboratory, patient: int) -> dict[str, str]:
    found = lab.target.client("sagemaker-featurestore-runtime").get_record(
        FeatureGroupName=f"steward-{lab.target.environment_name}-{PROJECT}-labs-v1",
        RecordIdentifierValueAsString=str(patient),
    )
    return {v["FeatureName"]: v["ValueAsString"] for v in found.get("Record", [])}


def test_the_dataset_is_built_again_to_equal_digests(lab: Laboratory, played: Played) -> None:
    outcome = lab.steward("dataset", "rebuild", played.manifest["dataset_id"])
    assert outcome["differences"] == []
    assert (outcome["equal"], outcome["rows"], outcome["bytes"]) == (True, True, True)


def test_a_file_of_accepted_rows_that_was_changed_is_named_by_the_rebuild(
    lab: Laboratory, played: Played
) -> None:
    uri = played.manifest["sources"][0]["accepted_uri"]
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    before, s3 = lab.read(uri), lab.target.client("s3")
    s3.put_object(Bucket=bucket, Key=key, Body=before + f"{BAD_VISITS[0]}\n".encode())
    try:
        outcome = lab.steward("dataset", "rebuild", played.manifest["dataset_id"], exit_code=1)
    finally:
        s3.put_object(Bucket=bucket, Key=key, Body=before)
    [difference] = outcome["differences"]
    assert difference["cause"] == "source object changed"
    assert uri in difference["about"]
