"""The machine's own file with its role's own rights: Athena joins what DuckDB joins."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from steward.adapters.objects import S3ObjectStore
from steward.contracts.steps.data import BuiltDataset, MadeJoin, PlannedJoin
from steward.domain.project import parse_project
from steward_cli.datasets import Datasets
from support.dataset_scene import DatasetScene, asked, lab, lab_rows
from support.embedded import Account, unique
from support.feature_scene import declaration
from support.machines import Machines
from support.templates import ROOT, load_child
from support.training_scene import ARTIFACTS, DATA, Scene

pytestmark = pytest.mark.integration

ROWS = lab_rows(120)
MACHINE = ROOT / "statemachines/data/join_with_athena.asl.json"


@pytest.fixture(scope="module")
def objects(account: Account) -> S3ObjectStore:
    s3 = account.client("s3")
    for bucket in (DATA, ARTIFACTS):
        s3.create_bucket(Bucket=bucket)
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    return S3ObjectStore(s3)


class Joins:
    """A database, a work group as the stack makes them, and the machine over both."""

    def __init__(self, account: Account) -> None:
        resources = load_child("data")["Resources"]
        self.glue = account.client("glue")
        self.database, group = unique("joins").replace("-", "_"), unique("joins")
        self.glue.create_database(DatabaseInput={"Name": self.database})
        names = {
            "AWS::Partition": "aws", "AWS::Region": "us-east-1", "AWS::AccountId": "000000000000",
            "DataBucket": DATA, "JoinDatabase": self.database, "JoinWorkGroup": group,
        }  # fmt: skip
        declared = resources["JoinWorkGroup"]["Properties"]["WorkGroupConfiguration"]
        location = resolved(declared["ResultConfiguration"]["OutputLocation"], names)
        account.client("athena").create_work_group(
            Name=group,
            Configuration={
                "EnforceWorkGroupConfiguration": declared["EnforceWorkGroupConfiguration"],
                "ResultConfiguration": {"OutputLocation": location},
            },
        )
        [_, policy] = resources["JoinWithAthenaWorkflow"]["Properties"]["Policies"]
        statements = [resolved(statement, names) for statement in policy["Statement"]]
        text = MACHINE.read_text().replace("${Database}", self.database)
        self.machines = Machines(account)
        self.machine = self.machines.create(
            json.loads(text.replace("${WorkGroup}", group)), *statements
        )

    def run(self, plan: PlannedJoin) -> Any:
        data = {"plan": plan.model_dump(), "project": "clinic"}
        return self.machines.ended(self.machines.start(self.machine, data))

    def tables(self) -> list[str]:
        found = self.glue.get_tables(DatabaseName=self.database)["TableList"]
        return [table["Name"] for table in found]


def resolved(node: Any, names: dict[str, str]) -> Any:
    """Return a part of a template with its references in place."""
    if isinstance(node, dict) and set(node) == {"Fn::Sub"}:
        return re.sub(r"\$\{([\w:]+)\}", lambda found: names[found[1]], node["Fn::Sub"])
    if isinstance(node, dict):
        return {key: resolved(value, names) for key, value in node.items()}
    if isinstance(node, list):
        return [resolved(item, names) for item in node]
    return node


@pytest.fixture(scope="module")
def joins(account: Account, objects: S3ObjectStore) -> Joins:
    return Joins(account)


class OnEngine(DatasetScene):
    """A scene with its objects in the embedded S3."""

    def __init__(self, folder: Path, engine: str, objects: S3ObjectStore) -> None:
        folder.mkdir()
        declared = {**declaration(), "dataset": {"engine": engine}}
        self.folder, self.project = folder, parse_project(declared)
        self.scene = Scene(project=self.project, objects=objects)  # type: ignore[arg-type]
        self.scene.clock.advance(86_400 * 40)
        self.register("labs", 1)

    def manifest(self, built: BuiltDataset | PlannedJoin) -> dict[str, Any]:
        assert isinstance(built, BuiltDataset)
        found: dict[str, Any] = json.loads(self.scene.objects.read(built.manifest_uri))
        return found


def ready(folder: Path, engine: str, objects: S3ObjectStore) -> tuple[OnEngine, str]:
    scene = OnEngine(folder, engine, objects)
    half = len(ROWS) // 2
    for part in (ROWS[:half], ROWS[half:]):
        scene.materialise(scene.put_source(lab(part)))
    return scene, scene.accept(asked(1, 130))


def test_both_engines_give_equal_digests_and_duckdb_builds_it_again(
    tmp_path: Path, objects: S3ObjectStore, joins: Joins
) -> None:
    one, run_id = ready(tmp_path / "one", "duckdb", objects)
    of_duckdb = one.manifest(one.answer(run_id))
    two, run_id = ready(tmp_path / "two", "athena", objects)
    plan = two.answer(run_id)
    assert isinstance(plan, PlannedJoin)
    ended = joins.run(plan)
    assert ended["status"] == "SUCCEEDED", ended
    assert joins.tables() == []
    of_athena = two.manifest(two.answer(run_id, MadeJoin.model_validate_json(ended["output"])))
    assert of_athena["engine"]["name"] == "athena"
    for name in ("logical_digest", "parts", "knowledge", "counts", "spine_digest"):
        assert of_athena[name] == of_duckdb[name], name
    assert of_athena["knowledge"]["views"][0]["found"] > 50
    outcome = Datasets(two.scene.state, objects, DATA).rebuild(of_athena, False)
    assert outcome.equal


def test_a_query_that_fails_leaves_no_table_and_fails_the_join(
    tmp_path: Path, objects: S3ObjectStore, joins: Joins
) -> None:
    scene, run_id = ready(tmp_path / "one", "athena", objects)
    plan = scene.answer(run_id)
    assert isinstance(plan, PlannedJoin)
    broken = plan.model_copy(update={"unload": plan.unload.replace("_spine", "_nothing")})
    ended = joins.run(broken)
    assert (ended["status"], ended["error"]) == ("FAILED", "States.TaskFailed")
    assert ended["cause"].startswith("UnloadJoin: ")
    assert "TABLE_NOT_FOUND" in ended["cause"]
    assert joins.tables() == []
