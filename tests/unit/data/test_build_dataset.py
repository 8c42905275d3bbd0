"""The same deliveries give the same bytes; every entity is in one part for good."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import pytest

from steward.contracts.events import MAX_EVENT_BYTES, NAMED_DELIVERIES, DatasetBuilt
from steward.contracts.steps.data import BuildDataset, BuiltDataset
from steward.domain.datasets import canonical_row, multiset_digest
from steward.domain.errors import DatasetRejectedError, DatasetTooSmallError
from steward.domain.project import parse_project
from steward.domain.splits import part_of
from steward.domain.workspace import Limits
from steward.ports import Table
from steward.service.data.dataset import build_dataset
from steward.service.delivery_lists import write_list
from support.training_scene import ARTIFACTS, DATA, HEADER, Scene, csv_of, declaration

FIRST, SECOND = csv_of(1, 60), csv_of(41, 120, seed=8)


def build(scene: Scene, tmp_path: Path, run_id: str) -> BuiltDataset:
    command = BuildDataset(
        project="diabetes", run_id=run_id, correlation_id=run_id,
        deliveries=scene.run(run_id)["deliveries"],
    )  # fmt: skip
    built = build_dataset(
        command, state=scene.state, objects=scene.objects, clock=scene.clock, ids=scene.ids,
        limits=Limits(tmp_path, 300), data_bucket=DATA,
    )  # fmt: skip
    assert isinstance(built, BuiltDataset)
    return built


def accepted(*contents: bytes) -> tuple[Scene, str]:
    """Return a scene whose last run has these accepted deliveries, received in this order."""
    scene = Scene()
    for content in contents[:-1]:
        scene.end(scene.deliver(content)["run_id"], "FAILED")
    run_id = scene.deliver(contents[-1])["run_id"]
    scene.mark("accepted", *contents)
    return scene, run_id


def rows_of(scene: Scene, uri: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(scene.objects.read(uri).decode(), newline="")))


def test_entities_are_split_for_good_and_traffic_is_written_nowhere(tmp_path: Path) -> None:
    scene, run_id = accepted(FIRST, SECOND)
    built = build(scene, tmp_path, run_id)
    seen: set[str] = set()
    for part, uri, rows in (
        ("train", built.train_uri, built.train_rows),
        ("heldout", built.heldout_uri, built.heldout_rows),
    ):
        found = rows_of(scene, uri)
        assert len(found) == rows
        for row in found:
            entity = row["patient_id"]
            assert part_of(entity, salt="steward", traffic=0.3, heldout=0.3) == part
        seen |= {row["patient_id"] for row in found}
    manifest = json.loads(scene.objects.read(built.manifest_uri))
    counts = manifest["counts"]
    assert counts["rows"] == 140
    assert counts["superseded"] == 20
    assert len(seen) + counts["traffic"] == 120


def test_the_latest_row_of_an_entity_wins_by_order_of_receipt(tmp_path: Path) -> None:
    scene, run_id = accepted(SECOND, FIRST)
    built = build(scene, tmp_path, run_id)
    latest = {row["patient_id"]: row for row in csv.DictReader(io.StringIO(FIRST.decode()))}
    shared = [r for r in rows_of(scene, built.train_uri) if r["patient_id"] in latest]
    assert shared
    assert all(row["age"] == latest[row["patient_id"]]["age"] for row in shared)


def test_the_same_inputs_give_the_same_place_and_bytes(tmp_path: Path) -> None:
    one, first = accepted(FIRST, SECOND)
    two, second = accepted(FIRST, SECOND)
    a, b = build(one, tmp_path, first), build(two, tmp_path, second)
    assert a.dataset_id == b.dataset_id
    for uri in (a.train_uri, a.heldout_uri, a.examples_uri, a.manifest_uri):
        assert one.objects.read(uri) == two.objects.read(uri)
    other, third = accepted(FIRST)
    assert build(other, tmp_path, third).dataset_id != a.dataset_id


def test_the_manifest_names_sources_split_rows_and_digests(tmp_path: Path) -> None:
    scene, run_id = accepted(FIRST, SECOND)
    built = build(scene, tmp_path, run_id)
    manifest = json.loads(scene.objects.read(built.manifest_uri))
    assert [s["sha256"] for s in manifest["sources"]] == [
        hashlib.sha256(content).hexdigest() for content in (FIRST, SECOND)
    ]
    assert all(source["version_id"] for source in manifest["sources"])
    assert manifest["split"]["salt"] == "steward"
    assert manifest["seed"] == 20
    train = scene.objects.read(built.train_uri)
    assert manifest["parts"]["train"]["csv_sha256"] == hashlib.sha256(train).hexdigest()
    parquet = scene.objects.read(
        built.manifest_uri.replace("manifest.json", "parquet/train.parquet")
    )
    assert manifest["parts"]["train"]["sha256"] == hashlib.sha256(parquet).hexdigest()
    assert manifest["engine"]["name"] == "duckdb"
    assert built.manifest_uri.endswith(f"/datasets/diabetes/{built.dataset_id}/manifest.json")


def test_an_event_of_very_many_deliveries_names_the_first_and_counts_the_others(
    tmp_path: Path,
) -> None:
    scene, run_id = accepted(FIRST)
    [known] = scene.state.query(Table.DELIVERIES, "diabetes")
    ids = [known["delivery_id"]]
    for number in range(NAMED_DELIVERIES + 40):
        content = csv_of(1000 + number, 1000 + number)
        ids.append(hashlib.sha256(content).hexdigest())
        key = f"deliveries/diabetes/many-{number:04d}.csv"
        scene.objects.write(f"s3://{DATA}/{key}", content)
        received_at = f"2027-01-01T00:{number // 60:02d}:{number % 60:02d}.000+00:00"
        item = {**known, "delivery_id": ids[-1], "key": key, "version_id": None, "rows": 1}
        scene.state.put(Table.DELIVERIES, {**item, "received_at": received_at})
    listed = write_list(scene.objects, ARTIFACTS, "diabetes", ids)
    run = scene.run(run_id)
    scene.state.put(Table.RUNS, {**run, "deliveries": listed.as_item()})
    built = build(scene, tmp_path, run_id)
    [told] = scene.state.named("DatasetBuilt")
    payload = told.data
    assert isinstance(payload, DatasetBuilt)
    assert (payload.deliveries, payload.more_deliveries) == (ids[:NAMED_DELIVERIES], 41)
    assert len(told.detail_json()) < MAX_EVENT_BYTES
    manifest = json.loads(scene.objects.read(built.manifest_uri))
    assert [source["sha256"] for source in manifest["sources"]] == ids


def test_the_logical_digest_does_not_depend_on_the_order_of_rows(tmp_path: Path) -> None:
    scene, run_id = accepted(FIRST)
    built = build(scene, tmp_path, run_id)
    manifest = json.loads(scene.objects.read(built.manifest_uri))
    canonical = [
        canonical_row(
            [row["patient_id"], int(row["age"]), float(row["bmi"]) if row["bmi"] else None,
             row["sex"], int(row["outcome"])]
        )
        for row in rows_of(scene, built.train_uri)
    ]  # fmt: skip
    digest = manifest["parts"]["train"]["logical_digest"]
    assert multiset_digest(canonical) == digest
    assert multiset_digest(reversed(canonical)) == digest
    assert multiset_digest([*canonical, canonical[0], canonical[0]]) != digest


def test_canonical_rows_tell_values_kinds_and_borders_apart() -> None:
    assert canonical_row([-0.0]) == canonical_row([0.0])
    assert canonical_row([0.1]) == "f19:0.10000000000000001"
    texts: list[list[Any]] = [["ab", "c"], ["a", "bc"], [1], [1.0], ["1"], [True], [None], [""]]
    assert len({canonical_row(values) for values in texts}) == len(texts)


def test_the_job_description_names_features_label_and_plan(tmp_path: Path) -> None:
    scene, run_id = accepted(FIRST)
    built = build(scene, tmp_path, run_id)
    job = json.loads(scene.objects.read(f"{built.config_uri}job.json"))
    assert built.config_uri.endswith(f"/runs/{run_id}/")
    assert job["run_id"] == run_id
    assert job["label"] == {"name": "outcome", "task": "binary", "positive": 1}
    assert [f["name"] for f in job["features"]] == ["age", "bmi", "sex"]
    assert job["features"][1]["nullable"] is True
    assert job["evaluation"]["loss"] == "brier"


def test_smoke_examples_are_training_rows_and_bad_input_that_names_its_field(
    tmp_path: Path,
) -> None:
    scene, run_id = accepted(FIRST)
    built = build(scene, tmp_path, run_id)
    recorded = json.loads(scene.objects.read(built.examples_uri))
    train = rows_of(scene, built.train_uri)
    cases = {case["name"]: case for case in recorded["cases"]}
    first = cases["row-1"]["body"]["instances"][0]
    assert any(
        (int(r["age"]), r["sex"]) == (first["age"], first["sex"]) for r in train
    )  # fmt: skip
    assert cases["batch"]["expect"] == {"status": 200, "predictions": 8}
    assert isinstance(cases["csv"]["body"], str)
    bad = {n: c["expect"]["field"] for n, c in cases.items() if c["kind"] == "bad_input"}
    assert bad == {
        "missing-field": "age", "unknown-field": "unknown_field", "wrong-type": "age",
        "null-value": "age", "below-minimum": "age", "above-maximum": "age", "not-allowed": "sex",
    }  # fmt: skip


def test_a_delivery_that_is_not_accepted_is_refused(tmp_path: Path) -> None:
    scene = Scene()
    run_id = scene.deliver(FIRST)["run_id"]
    with pytest.raises(DatasetRejectedError):
        build(scene, tmp_path, run_id)


def test_a_part_without_both_labels_is_too_small(tmp_path: Path) -> None:
    rows = "".join(f"p{n},40,22.5,F,1\n" for n in range(60))
    scene, run_id = accepted((HEADER + rows).encode())
    with pytest.raises(DatasetTooSmallError) as refused:
        build(scene, tmp_path, run_id)
    assert refused.value.field == "split.train"


def test_rows_with_quotes_commas_and_newlines_come_through(tmp_path: Path) -> None:
    rows = "".join(f"p{n},{20 + n % 60},,{'FM'[n % 2]},{n // 2 % 2}\n" for n in range(80))
    scene, run_id = accepted((HEADER + rows).encode().replace(b"\n", b"\r\n"))
    built = build(scene, tmp_path, run_id)
    assert all(row["bmi"] == "" for row in rows_of(scene, built.train_uri))


def _of_numbers(*contents: bytes) -> tuple[Scene, str]:
    """A scene as :func:`accepted` gives it, whose label is a number."""
    declared = declaration()
    declared["data"]["label"] = {"name": "outcome", "task": "regression"}
    scene = Scene(project=parse_project(declared))
    run_id = scene.deliver(contents[-1])["run_id"]
    scene.mark("accepted", *contents)
    return scene, run_id


def _with_outcomes(content: bytes, outcome: Any) -> bytes:
    lines = content.decode().splitlines()
    changed = [
        f"{line.rpartition(',')[0]},{outcome(number)}" for number, line in enumerate(lines[1:])
    ]
    return "\n".join([lines[0], *changed, ""]).encode()


def test_a_dataset_of_numbers_counts_no_positives(tmp_path: Path) -> None:
    scene, run_id = _of_numbers(_with_outcomes(FIRST, lambda number: number * 7 - 100))
    built = build(scene, tmp_path, run_id)
    manifest = json.loads(scene.objects.read(built.manifest_uri))
    assert manifest["parts"]["train"]["positives"] is None
    job = json.loads(scene.objects.read(f"{built.config_uri}job.json"))
    assert job["label"] == {"name": "outcome", "task": "regression", "positive": None}
    cases = json.loads(scene.objects.read(built.examples_uri))["cases"]
    assert {case["expect"].get("task") for case in cases if case["kind"] == "valid"} == {
        "regression"
    }


def test_one_number_for_all_is_nothing_to_learn(tmp_path: Path) -> None:
    scene, run_id = _of_numbers(_with_outcomes(FIRST, lambda _: 5))
    with pytest.raises(DatasetTooSmallError, match="1 different values of outcome") as refused:
        build(scene, tmp_path, run_id)
    assert refused.value.field in ("split.heldout", "split.train")
