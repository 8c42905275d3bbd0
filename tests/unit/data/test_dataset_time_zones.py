"""A spine and features whose times are written in several zones: one instant is one instant."""

from __future__ import annotations

import json
import tempfile
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import duckdb
import pytest

from steward.domain.project import Project
from support.dataset_scene import LAB_HEADER, DatasetScene
from support.feature_scene import project_of

NOON = datetime(2026, 1, 13, 12, tzinfo=UTC)
PATIENTS = 60


def with_zone(moment: datetime, number: int) -> str:
    """Write a moment as +02:00, as Z, without an offset, or as -0530, by turns."""
    if number % 4 == 0:
        return moment.astimezone(timezone(timedelta(hours=2))).isoformat()
    if number % 4 == 1:
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    if number % 4 == 2:
        return moment.strftime("%Y-%m-%d %H:%M:%S")
    return moment.astimezone(timezone(-timedelta(hours=5, minutes=30))).strftime("%FT%T%z")


def in_utc(moment: datetime, number: int) -> str:
    return with_zone(moment, 1)


def project() -> Project:
    changed = project_of()
    document = changed.model_dump(mode="json", exclude_defaults=True)
    document["data"]["label_known_at"] = "known_at"
    document["data"]["columns"].append({"name": "known_at", "type": "timestamp"})
    return Project.model_validate(document)


def visits(write: Any, kind: str) -> bytes:
    """Each patient is asked for at noon; the label of every tenth is known a year later."""
    columns = ("patient", "asked_at", "age", "returned", "known_at")
    rows = []
    for n in range(PATIENTS):
        known = NOON + timedelta(days=365 if n % 10 == 9 else 1)
        rows.append((n, write(NOON, n), 40 + n % 9, n // 4 % 2, write(known, n + 1)))
    if kind == "jsonl":
        lines = [json.dumps(dict(zip(columns, row, strict=True))) for row in rows]
        return ("\n".join(lines) + "\n").encode()
    lines = [",".join(map(str, row)) for row in (columns, *rows)]
    if kind == "parquet":
        with tempfile.TemporaryDirectory() as folder:
            text, made = Path(folder) / "made.csv", Path(folder) / "made.parquet"
            text.write_text("\n".join(lines) + "\n", encoding="utf-8")
            types = "{'asked_at': 'VARCHAR', 'known_at': 'VARCHAR'}"
            duckdb.sql(f"FROM read_csv('{text}', types = {types})").write_parquet(str(made))
            return made.read_bytes()
    return ("\n".join(lines) + "\n").encode()


def values(write: Any) -> bytes:
    """Known one minute before noon: 100. Known one minute after: 200, which nobody may see."""
    lines = []
    for n in range(PATIENTS):
        taken = write(NOON - timedelta(hours=3), n + 2)
        for minutes, glucose in ((-1, 100), (1, 200)):
            known = write(NOON + timedelta(minutes=minutes), n + 3)
            lines.append(f"{n},{taken},{known},false,{glucose},1,icu\n")
    return (LAB_HEADER + "".join(lines)).encode()


def built(folder: Path, write: Any, kind: str = "csv") -> tuple[DatasetScene, dict[str, Any]]:
    folder.mkdir()
    declared = project()
    declared = declared.model_copy(
        update={"data": declared.data.model_copy(update={"format": kind})}
    )
    scene = DatasetScene(folder, project=declared)
    scene.materialise(scene.put_source(values(write)))
    dataset = scene.build(scene.accept(visits(write, kind)))
    return scene, json.loads(scene.scene.objects.read(dataset.manifest_uri))


def rows_of(scene: DatasetScene, manifest: dict[str, Any]) -> list[tuple[Any, ...]]:
    rows = []
    for part in ("train", "heldout"):
        base = f"s3://data-bucket/datasets/clinic/{manifest['dataset_id']}"
        path = scene.folder / "read.parquet"
        path.write_bytes(scene.scene.objects.read(f"{base}/parquet/{part}.parquet"))
        rows += duckdb.execute(f"SELECT patient, asked_at, glucose FROM '{path}'").fetchall()
    return rows


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_spine_of_several_zones_is_joined_at_its_instants(tmp_path: Path, kind: str) -> None:
    scene, manifest = built(tmp_path / "mixed", with_zone, kind)
    rows = rows_of(scene, manifest)
    assert len(rows) == manifest["rows"] > 20
    assert {row[1] for row in rows} == {NOON.replace(tzinfo=None)}
    assert {row[2] for row in rows} == {100.0}
    assert {row[0] % 4 for row in rows} == {0, 1, 2, 3}
    assert manifest["counts"]["labels_unknown"] == PATIENTS // 10
    assert manifest["rules"]["time_zone"] == "an offset is converted, none is UTC; milliseconds"


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_the_same_instants_are_the_same_bytes_however_they_are_written(
    tmp_path: Path, kind: str
) -> None:
    _, mixed = built(tmp_path / "mixed", with_zone, kind)
    _, plain = built(tmp_path / "plain", in_utc, kind)
    assert mixed["sources"][0]["sha256"] != plain["sources"][0]["sha256"]
    for name in ("spine_digest", "logical_digest", "parts", "counts", "knowledge"):
        assert mixed[name] == plain[name], name
