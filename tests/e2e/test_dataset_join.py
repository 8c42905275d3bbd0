"""A dataset that Athena joins, on the deployed stack: the machines, roles and work group."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from steward_cli.commands.project import deploy_project_stack, push
from steward_cli.sources import read_source
from support.dataset_scene import asked, lab_rows
from support.dataset_scene import lab as lab_file
from support.feature_scene import declaration, labs
from support.laboratory_stack import Laboratory, eventually

pytestmark = pytest.mark.e2e


def built(lab: Laboratory, name: str, engine: str) -> dict[str, Any]:
    """Let a project's machine build a dataset of the same files; return the manifest."""
    home = lab.folder / name
    (home / "features").mkdir(parents=True)
    (home / "src").mkdir()
    (home / "src" / "train.py").write_text("raise SystemExit('far enough')", encoding="utf-8")
    declared = {**declaration(labs()), "project": name, "dataset": {"engine": engine}}
    del declared["feature_groups"]
    (home / "project.yaml").write_text(yaml.safe_dump(declared), encoding="utf-8")
    (home / "features" / "labs.yaml").write_text(yaml.safe_dump(labs()), encoding="utf-8")
    source = read_source(home)
    deploy_project_stack(lab.target, source.project)
    push(lab.theo, source)
    s3, bucket = lab.target.client("s3"), lab.target.output("DataBucketName")
    s3.put_object(Bucket=bucket, Key=f"deliveries/{name}/lab/one.csv", Body=lab_file(lab_rows(60)))

    def materialised() -> bool:
        found = lab.state.features(name, "materialisation#labs#v0001#")
        return [item["status"] for item in found] == ["done"]

    eventually(materialised, "the features", within=120)
    s3.put_object(Bucket=bucket, Key=f"deliveries/{name}/visits.csv", Body=asked(1, 80))
    run = lab.run(name, "failed", within=120)
    assert run["failed_state"] == "TrainCandidate", run
    listed = s3.list_objects_v2(Bucket=bucket, Prefix=f"datasets/{name}/")["Contents"]
    [key] = [found["Key"] for found in listed if found["Key"].endswith("/manifest.json")]
    manifest: dict[str, Any] = json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    return manifest


def test_a_run_whose_features_athena_joins_trains_on_the_rows_of_duckdb(lab: Laboratory) -> None:
    of_athena, of_duckdb = built(lab, "by-athena", "athena"), built(lab, "by-duckdb", "duckdb")
    assert (of_athena["engine"]["name"], of_duckdb["engine"]["name"]) == ("athena", "duckdb")
    for name in ("logical_digest", "parts", "counts", "knowledge"):
        assert of_athena[name] == of_duckdb[name], name
    assert of_athena["knowledge"]["views"][0]["found"] > 20
    tables = lab.target.client("glue").get_tables(
        DatabaseName=f"steward_joins_{lab.target.environment_name}"
    )
    assert tables["TableList"] == []
    run = lab.run("by-athena", "failed")

    def cost() -> dict[str, Any] | None:
        found = [c for c in lab.state.costs("by-athena") if "query_dollars" in c["detail"]]
        return found[0] if found else None

    entry = eventually(cost, "the cost of the join")
    assert entry["run_id"] == run["run_id"]
    # A table of the spine and one of the view, made and dropped, and one query that read them.
    assert (entry["detail"]["queries"], entry["detail"]["scanned_bytes"] > 0) == (5, True)
    assert entry["detail"]["query_dollars"] == pytest.approx(10 * 5 / 1024**2)
