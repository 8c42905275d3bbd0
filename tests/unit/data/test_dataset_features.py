"""Datasets with features: as they were known, the same bytes again, everything in the manifest."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from steward.contracts.events import DatasetBuilt
from steward.domain.datasets import canonical_row, multiset_digest
from steward.domain.delivery_lists import list_of
from steward.domain.errors import FeaturesPendingError, InvalidProjectError
from steward.service.delivery_lists import read_list
from support.dataset_scene import START, DatasetScene, asked, lab, lab_rows
from support.feature_scene import labs, project_of

ROWS = lab_rows(300)


def built(tmp_path: Path, **changes: Any) -> tuple[DatasetScene, Any, dict[str, Any]]:
    scene = DatasetScene(tmp_path, **changes)
    half = len(ROWS) // 2
    for part in (ROWS[:half], ROWS[half:]):
        scene.materialise(scene.put_source(lab(part)))
    dataset = scene.build(scene.accept(asked(1, 320)))
    return scene, dataset, json.loads(scene.scene.objects.read(dataset.manifest_uri))


def read_csv(scene: DatasetScene, uri: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(scene.scene.objects.read(uri).decode(), newline="")))


def parquet_rows(scene: DatasetScene, manifest: dict[str, Any], part: str) -> list[dict[str, Any]]:
    path = scene.folder / "read.parquet"
    base = f"s3://data-bucket/datasets/clinic/{manifest['dataset_id']}"
    path.write_bytes(scene.scene.objects.read(f"{base}/parquet/{part}.parquet"))
    cursor = duckdb.execute(f"SELECT * FROM '{path}'")
    names = [column[0] for column in cursor.description or []]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def test_features_are_those_that_were_known_when_the_prediction_was_asked(
    tmp_path: Path,
) -> None:
    scene, dataset, manifest = built(tmp_path)
    history: dict[int, list[tuple[datetime, datetime, float]]] = {}
    for line in ROWS:
        patient, taken, reported, _, glucose, *_ = line.split(",")
        history.setdefault(int(patient), []).append(
            (datetime.fromisoformat(taken), datetime.fromisoformat(reported), float(glucose))
        )
    seen = late = 0
    for row in read_csv(scene, dataset.train_uri) + read_csv(scene, dataset.heldout_uri):
        moment = datetime.fromisoformat(row["asked_at"])
        usable = [h for h in history.get(int(row["patient"]), []) if max(h[:2]) <= moment]
        by_event = [h for h in history.get(int(row["patient"]), []) if h[0] <= moment]
        expected = max(usable)[2] if usable else None
        assert row["glucose"] == ("" if expected is None else str(expected))
        if expected is not None:
            assert float(row["glucose_per_age"]) == pytest.approx(expected / int(row["age"]))
            week = {h[0] for h in usable if h[0] > moment - timedelta(days=7)}
            assert int(row["measurements"]) == len(week)
        seen += expected is not None
        late += bool(by_event) and max(by_event)[2] != expected
    assert seen > 100
    assert late > 0
    assert manifest["knowledge"]["rows_with_later_knowledge"] >= late
    assert list(read_csv(scene, dataset.train_uri)[0]) == [
        "patient", "asked_at", "age", "returned", "glucose", "glucose_mmol", "log_glucose",
        "visits", "ward", "is_high", "day_of", "measurements", "glucose_sum", "glucose_mean",
        "most_visits", "glucose_per_age",
    ]  # fmt: skip


def test_parquet_and_csv_hold_the_same_rows_and_the_digest_is_of_every_value(
    tmp_path: Path,
) -> None:
    scene, dataset, manifest = built(tmp_path)
    rows = parquet_rows(scene, manifest, "train")
    texts = read_csv(scene, dataset.train_uri)
    assert len(rows) == len(texts) == dataset.train_rows
    assert [str(row["patient"]) for row in rows] == [text["patient"] for text in texts]
    assert [row["glucose_sum"] for row in rows] == [
        float(text["glucose_sum"]) if text["glucose_sum"] else None for text in texts
    ]
    assert all(text["day_of"].endswith("T00:00:00.000Z") for text in texts if text["day_of"])

    def canonical(row: dict[str, Any]) -> str:
        epoch = datetime(1970, 1, 1, tzinfo=UTC)
        return canonical_row(
            (value.replace(tzinfo=UTC) - epoch) // timedelta(milliseconds=1)
            if isinstance(value, datetime)
            else value
            for value in row.values()
        )

    digest = manifest["parts"]["train"]["logical_digest"]
    assert multiset_digest(map(canonical, rows)) == digest
    changed = [{**rows[0], "glucose_mean": 1.0}, *rows[1:]]
    assert multiset_digest(map(canonical, changed)) != digest


def test_the_same_deliveries_give_the_same_bytes(tmp_path: Path) -> None:
    one, a, first = built(tmp_path)
    two, b, second = built(tmp_path)
    assert a.dataset_id == b.dataset_id
    assert first == second
    base = f"s3://data-bucket/datasets/clinic/{a.dataset_id}"
    for name in ("parquet/train.parquet", "parquet/heldout.parquet", "train/train.csv",
                 "examples.json"):  # fmt: skip
        assert one.scene.objects.read(f"{base}/{name}") == two.scene.objects.read(f"{base}/{name}")


def test_the_manifest_names_all_that_decides_a_dataset(tmp_path: Path) -> None:
    scene, dataset, manifest = built(tmp_path)
    [feature] = manifest["features"]
    assert feature["view"] == "labs/v1"
    assert feature["definition_digest"] == scene.project.feature_groups[0].definition_digest
    assert feature["definition"]["keys"] == ["patient"]
    assert feature["ttl_s"] == 86_400 * 30
    assert len(feature["files"]) == 4
    assert all(len(file["sha256"]) == 64 for file in feature["files"])
    assert [source["table"] for source in feature["sources"]] == ["lab", "lab"]
    assert all(source["version_id"] for source in feature["sources"] + manifest["sources"])
    received = [s["received_at"] for s in feature["sources"] + manifest["sources"]]
    assert datetime.fromisoformat(manifest["cutoff"]) == max(map(datetime.fromisoformat, received))
    assert manifest["rules"]["ttl"].startswith("inclusive")
    assert len(manifest["code"]["sha256"]) == 64
    assert set(manifest["engine"]) == {"name", "version"}
    assert manifest["rows"] == dataset.train_rows + dataset.heldout_rows
    counts = manifest["counts"]
    assert counts["traffic"] + manifest["rows"] == counts["rows"]
    assert len(manifest["spine_digest"]) == len(manifest["logical_digest"]) == 64
    [told] = [e for e in scene.events("DatasetBuilt") if isinstance(e, DatasetBuilt)]
    assert told.features == ["labs/v1"]
    assert told.cutoff == manifest["cutoff"]
    knowledge = manifest["knowledge"]
    assert told.rows_with_later_knowledge == knowledge["rows_with_later_knowledge"] > 0
    [view] = knowledge["views"]
    total = view["found"] + view["missing"] + view["deleted"] + view["expired"]
    assert total == counts["train"] + counts["heldout"] + counts["traffic"]


def test_jobs_and_smoke_examples_know_the_joined_features(tmp_path: Path) -> None:
    scene, dataset, _ = built(tmp_path)
    job = json.loads(scene.scene.objects.read(f"{dataset.config_uri}job.json"))
    features = {feature["name"]: feature for feature in job["features"]}
    assert features["glucose"]["nullable"] is True
    assert features["day_of"]["type"] == "string"
    recorded = json.loads(scene.scene.objects.read(dataset.examples_uri))
    row = next(c for c in recorded["cases"] if c["name"] == "row-1")["body"]["instances"][0]
    assert set(row) == set(features)


def test_a_label_that_was_not_known_at_the_cutoff_is_left_out_and_counted(
    tmp_path: Path,
) -> None:
    declared = project_of().model_dump(mode="json")
    declared["data"]["label_known_at"] = "settled_at"
    declared["data"]["columns"].append(
        {"name": "settled_at", "type": "timestamp", "nullable": True}
    )
    project = project_of(data=declared["data"])
    lines = asked(1, 320).decode().splitlines()
    known = {0: "2026-01-20T00:00:00Z", 1: "2026-06-01T00:00:00Z", 2: ""}
    rows = [f"{lines[0]},settled_at"] + [
        f"{line},{known[n % 3 if n < 60 else 0]}" for n, line in enumerate(lines[1:])
    ]
    scene = DatasetScene(tmp_path, project=project)
    scene.materialise(scene.put_source(lab(ROWS)))
    dataset = scene.build(scene.accept(("\n".join(rows) + "\n").encode()))
    manifest = json.loads(scene.scene.objects.read(dataset.manifest_uri))
    assert manifest["counts"]["labels_unknown"] == 40
    [told] = scene.events("DatasetBuilt")
    assert told.labels_unknown == 40
    left = {int(r["patient"]) - 1 for r in read_csv(scene, dataset.train_uri)}
    assert all(n >= 60 or n % 3 == 0 for n in left)


def test_every_row_is_an_example_where_all_are_kept(tmp_path: Path) -> None:
    data = project_of().model_dump(mode="json")["data"]
    scene = DatasetScene(tmp_path, project=project_of(data={**data, "keep": "all"}))
    scene.materialise(scene.put_source(lab(ROWS)))
    dataset = scene.build(scene.accept(asked(1, 200), asked(1, 200, seed=9)))
    manifest = json.loads(scene.scene.objects.read(dataset.manifest_uri))
    assert manifest["counts"]["superseded"] == 0
    assert manifest["rows"] + manifest["counts"]["traffic"] == 400


def test_a_run_pins_versions_and_feature_deliveries_and_its_key_tells_them_apart(
    tmp_path: Path,
) -> None:
    scene = DatasetScene(tmp_path)
    delivery = scene.put_source(lab(ROWS))
    run = scene.scene.run(scene.accept(asked(1, 320)))
    assert run["feature_views"] == [{"group": "labs", "version": 1}]
    assert read_list(scene.scene.objects, list_of(run["feature_deliveries"])) == [delivery]
    other = DatasetScene(tmp_path)
    without = other.scene.run(other.accept(asked(1, 320)))
    assert without["feature_deliveries"] is None
    assert without["run_key"] != run["run_key"]


def test_a_run_waits_for_features_of_its_deliveries(tmp_path: Path) -> None:
    scene = DatasetScene(tmp_path)
    delivery = scene.put_source(lab(ROWS))
    run_id = scene.accept(asked(1, 320))
    with pytest.raises(FeaturesPendingError, match="labs/v1"):
        scene.build(run_id)
    scene.materialise(delivery)
    scene.put_source(lab(lab_rows(5, seed=77)))  # Received after the run began: not waited for.
    assert scene.build(run_id).train_rows > 0


def test_a_rejected_feature_delivery_is_not_waited_for(tmp_path: Path) -> None:
    scene = DatasetScene(tmp_path)
    scene.materialise(scene.put_source(lab(ROWS)))
    broken = scene.put_source(lab(ROWS[:3]), status="received")
    run_id = scene.accept(asked(1, 320))
    key = {"project": "clinic", "delivery_id": broken}
    from steward.ports import Table

    item = scene.scene.state.get(Table.DELIVERIES, key)
    assert item is not None
    scene.scene.state.put(Table.DELIVERIES, {**item, "status": "rejected"})
    assert scene.build(run_id).train_rows > 0


def test_a_retired_or_unregistered_version_starts_no_run(tmp_path: Path) -> None:
    scene = DatasetScene(tmp_path)
    scene.register("labs", 1, status="retired")
    with pytest.raises(InvalidProjectError, match="labs"):
        scene.accept(asked(1, 320))


def test_the_model_sees_nulls_where_a_group_has_no_files_at_all(tmp_path: Path) -> None:
    scene = DatasetScene(tmp_path)
    dataset = scene.build(scene.accept(asked(1, 320)))
    rows = read_csv(scene, dataset.train_uri)
    assert {row["glucose"] for row in rows} == {""}
    assert {row["measurements"] for row in rows} == {""}


def test_groups_with_features_of_one_name_keep_them_apart(tmp_path: Path) -> None:
    second = labs(
        feature_group="wards", on_demand=[], aggregates=[],
        features=[{"name": "glucose", "type": "float", "expression": "glucose * 10"}],
    )  # fmt: skip
    project = project_of(
        labs(), second,
        features=[{"group": "labs", "select": ["glucose"]}, {"group": "wards"}],
    )  # fmt: skip
    scene = DatasetScene(tmp_path, project=project)
    delivery = scene.put_source(lab(ROWS))
    for group in ("labs", "wards"):
        scene.materialise(delivery, group)
    dataset = scene.build(scene.accept(asked(1, 320)))
    rows = [row for row in read_csv(scene, dataset.train_uri) if row["labs__glucose"]]
    assert len(rows) > 50
    for row in rows:
        assert float(row["wards__glucose"]) == float(row["labs__glucose"]) * 10


def test_a_backfilled_known_at_is_flagged(tmp_path: Path) -> None:
    project = project_of(labs(known_at={"backfill_delay_s": 3600}))
    scene, _, manifest = built(tmp_path, project=project)
    assert manifest["features"][0]["known_at_is_backfilled"] is True
    assert any("backfill" in warning for warning in manifest["knowledge"]["warnings"])
    assert START.tzinfo is not None
    assert scene.project.feature_groups[0].is_backfill
