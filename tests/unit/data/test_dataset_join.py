"""A dataset that Athena joins is the one that DuckDB joins, byte for byte."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from steward.contracts.steps.data import BuiltDataset, MadeJoin, PlannedJoin
from steward.domain.dataset_engine import DatasetEngine
from steward.domain.errors import EvidenceIncompleteError
from steward.domain.project import parse_project
from steward_cli.datasets import Datasets
from support import athena_stand_in
from support.dataset_scene import DatasetScene, asked, lab, lab_rows
from support.feature_scene import declaration, labs, project_of
from support.training_scene import DATA

ROWS = lab_rows(300)
ATHENA = {"dataset": {"engine": "athena"}}


def scene_of(folder: Path, **changes: Any) -> tuple[DatasetScene, str]:
    folder.mkdir(exist_ok=True)
    scene = DatasetScene(folder, project=parse_project({**declaration(), **changes}))
    half = len(ROWS) // 2
    for part in (ROWS[:half], ROWS[half:]):
        scene.materialise(scene.put_source(lab(part)))
    return scene, scene.accept(asked(1, 320))


def planned(scene: DatasetScene, run_id: str) -> PlannedJoin:
    plan = scene.answer(run_id)
    assert isinstance(plan, PlannedJoin)
    return plan


def finished(scene: DatasetScene, run_id: str, join: MadeJoin) -> dict[str, Any]:
    built = scene.answer(run_id, join)
    assert isinstance(built, BuiltDataset)
    manifest: dict[str, Any] = json.loads(scene.scene.objects.read(built.manifest_uri))
    return manifest


def made(scene: DatasetScene, run_id: str) -> dict[str, Any]:
    plan = planned(scene, run_id)
    join = athena_stand_in.run(plan, scene.scene.objects, scene.folder / "athena")
    return finished(scene, run_id, join)


def test_both_engines_build_the_same_bytes_and_tell_the_same(tmp_path: Path) -> None:
    one, run_id = scene_of(tmp_path / "one")
    built = one.build(run_id)
    of_duckdb = json.loads(one.scene.objects.read(built.manifest_uri))
    two, run_id = scene_of(tmp_path / "two", **ATHENA)
    of_athena = made(two, run_id)
    assert of_duckdb["knowledge"]["rows_with_later_knowledge"] > 10
    assert of_athena["engine"]["name"] == "athena"
    for manifest in (of_duckdb, of_athena):
        del manifest["engine"], manifest["dataset_id"]
    assert of_athena == of_duckdb
    [event] = two.events("DatasetBuilt")
    assert event.rows_with_later_knowledge > 10


@pytest.mark.parametrize("filled", [True, False])
def test_several_views_with_and_without_files_are_joined_alike(
    tmp_path: Path, filled: bool
) -> None:
    manifests = []
    for engine in ("duckdb", "athena"):
        folder = tmp_path / engine
        folder.mkdir()
        declared = declaration(
            labs(), labs(feature_group="checks", ttl_s=86_400 * 2, on_demand=[]),
            features=[{"group": "labs"}, {"group": "checks", "select": ["glucose", "ward"]}],
        )  # fmt: skip
        project = parse_project({**declared, "dataset": {"engine": engine}})
        scene = DatasetScene(folder, project=project)
        if filled:
            delivery = scene.put_source(lab(ROWS))
            for group in ("labs", "checks"):
                scene.materialise(delivery, group)
        run_id = scene.accept(asked(1, 320))
        if engine == "athena":
            manifests.append(made(scene, run_id))
        else:
            built = scene.build(run_id)
            manifests.append(json.loads(scene.scene.objects.read(built.manifest_uri)))
    of_duckdb, of_athena = manifests
    for name in ("logical_digest", "parts", "knowledge"):
        assert of_athena[name] == of_duckdb[name], name
    found = [view["found"] for view in of_athena["knowledge"]["views"]]
    assert (min(found) > 0) == filled
    assert len(found) == 2


def test_it_is_built_again_by_duckdb_with_the_same_rows_and_bytes(tmp_path: Path) -> None:
    scene, run_id = scene_of(tmp_path, **ATHENA)
    manifest = made(scene, run_id)
    outcome = Datasets(scene.scene.state, scene.scene.objects, DATA).rebuild(manifest, False)
    assert outcome.equal
    assert outcome.differences == []


def test_nothing_is_built_or_told_before_athena_has_joined(tmp_path: Path) -> None:
    scene, run_id = scene_of(tmp_path, **ATHENA)
    planned(scene, run_id)
    assert scene.events("DatasetBuilt") == []
    assert list(scene.scene.objects.list(DATA, "datasets/")) == []


def test_each_plan_has_tables_and_places_of_its_own(tmp_path: Path) -> None:
    scene, run_id = scene_of(tmp_path, **ATHENA)
    one, two = planned(scene, run_id), planned(scene, run_id)
    assert one.joined_uri != two.joined_uri
    assert {table.drop for table in one.tables}.isdisjoint(table.drop for table in two.tables)
    assert one.unload.count("{attempt}") == one.joined_uri.count("{attempt}") == 1


def test_rows_that_come_after_the_plan_take_no_part(tmp_path: Path) -> None:
    scene, run_id = scene_of(tmp_path, **ATHENA)
    plan = planned(scene, run_id)
    join = athena_stand_in.run(plan, scene.scene.objects, tmp_path / "athena")
    before = finished(scene, run_id, join)
    scene.scene.clock.advance(-86_400)
    scene.stream("1,2026-01-02T00:00:00+00:00,2026-01-02T00:00:00+00:00,false,90,1,w1\n")
    assert finished(scene, run_id, join) == before


@pytest.mark.parametrize("files", [0, 1])
def test_a_join_that_lacks_rows_is_refused(tmp_path: Path, files: int) -> None:
    scene, run_id = scene_of(tmp_path, **ATHENA)
    plan = planned(scene, run_id)
    join = athena_stand_in.run(plan, scene.scene.objects, tmp_path / "athena")
    bucket, _, prefix = join.joined_uri.removeprefix("s3://").partition("/")
    part = next(iter(scene.scene.objects.list(bucket, prefix)))
    elsewhere = join.joined_uri.replace("joined-1", "joined-2")
    if files:
        scene.scene.objects.copy(f"s3://{bucket}/{part.key}", f"{elsewhere}0")
    with pytest.raises(EvidenceIncompleteError, match="the join has"):
        scene.answer(run_id, MadeJoin(plan_uri=plan.plan_uri, joined_uri=elsewhere))


def test_a_feature_file_that_changed_is_not_joined(tmp_path: Path) -> None:
    scene, run_id = scene_of(tmp_path, **ATHENA)
    objects = scene.scene.objects
    found = next(i for i in objects.list(DATA, "features/"))
    stored = objects._objects[DATA, found.key][-1]
    objects._objects[DATA, found.key] = [type(stored)(b"x", stored.content_type, stored.version_id)]
    with pytest.raises(EvidenceIncompleteError, match="not what was materialised"):
        scene.answer(run_id)


def test_the_engine_is_chosen_by_the_rows_of_the_views() -> None:
    auto = DatasetEngine(athena_above_rows=100)
    assert not auto.takes_athena([40, 60])
    assert auto.takes_athena([40, 61])
    assert not DatasetEngine(engine="duckdb", athena_above_rows=0).takes_athena([10])
    assert DatasetEngine(engine="athena").takes_athena([0])
    assert not DatasetEngine(engine="athena").takes_athena([])
    assert project_of().dataset.engine == "auto"
