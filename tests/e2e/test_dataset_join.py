"""A dataset that Athena joins, on the deployed stack: the machines, roles and work group."""

from __future__ import annotations

import json
from typing import Any

import pytest

from support.joined_project import build_joined_dataset
from support.laboratory_stack import Laboratory, eventually

pytestmark = pytest.mark.e2e


def built(lab: Laboratory, name: str, engine: str) -> dict[str, Any]:
    """Let a project's machine build a dataset of the same files; return the manifest."""
    key = build_joined_dataset(lab, name, dataset={"engine": engine})
    bucket = lab.target.output("DataBucketName")
    body = lab.target.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    manifest: dict[str, Any] = json.loads(body)
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
