"""Project templates as Service Catalog products: seeds, product templates and the stack."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
import yaml
from botocore.stub import ANY, Stubber

from steward_cli.catalogue import Seed, catalogue_template, product_template, zipped
from steward_cli.commands.project_publish import seeds_of
from steward_cli.project_templates import templates_of
from steward_cli.stacks import deploy
from support.linting import findings
from support.rendered import ROOT, TEMPLATES, plain_templates

BUCKET = "steward-artifacts"


@pytest.fixture(scope="module")
def seeds() -> list[Seed]:
    return seeds_of(plain_templates())


def stack(seeds: list[Seed]) -> dict[str, Any]:
    urls = {s.template.name: f"https://s3.eu-west-1.amazonaws.com/{BUCKET}/{s.key}" for s in seeds}
    return catalogue_template(seeds, urls, ["arn:aws:iam::000000000000:role/scientist"], BUCKET)


def test_a_seed_is_the_rendered_project_without_a_path_of_this_machine(seeds: list[Seed]) -> None:
    assert [seed.template.name for seed in seeds] == list(TEMPLATES)
    for seed in seeds:
        with zipfile.ZipFile(io.BytesIO(seed.archive)) as archive:
            names = set(archive.namelist())
            declared = yaml.safe_load(archive.read("project.yaml"))
            assert not any(str(ROOT).encode() in archive.read(name) for name in names)
        assert {"README.md", "tests/test_project.py", ".gitignore"} <= names
        assert declared["project"] == "my-project"


def test_the_same_files_give_the_same_seed(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.txt").write_text("one")
    assert zipped(tmp_path / "a") == zipped(tmp_path / "b")
    (tmp_path / "b" / "x.txt").write_text("two")
    assert zipped(tmp_path / "a") != zipped(tmp_path / "b")


def test_the_stacks_keep_cloudformations_rules(seeds: list[Seed]) -> None:
    files = {"catalogue.json": json.dumps(stack(seeds), indent=1)}
    files |= {f"{s.template.name}.json": product_template(s, BUCKET) for s in seeds[:1]}
    for text in files.values():
        assert findings(text) == []


def test_studio_shows_each_product_and_a_role_launches_it(seeds: list[Seed]) -> None:
    resources = stack(seeds)["Resources"]
    products = {
        name: resource["Properties"]
        for name, resource in resources.items()
        if resource["Type"] == "AWS::ServiceCatalog::CloudFormationProduct"
    }
    assert len(products) == len(templates_of(ROOT))
    for name, product in products.items():
        assert {"Key": "sagemaker:studio-visibility", "Value": "true"} in product["Tags"]
        launch = resources[name.removesuffix("Product") + "Launch"]["Properties"]
        assert launch["ProductId"] == {"Ref": name}
        assert launch["RoleArn"] == {"Fn::GetAtt": ["LaunchRole", "Arn"]}
    role = resources["LaunchRole"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]
    assert not [action for statement in role for action in statement["Action"] if "*" in action]


def test_a_product_seeds_the_repository_it_makes(seeds: list[Seed]) -> None:
    found = json.loads(product_template(seeds[0], BUCKET))
    code = found["Resources"]["Repository"]["Properties"]["Code"]
    assert code == {"BranchName": "main", "S3": {"Bucket": BUCKET, "Key": seeds[0].key}}
    assert set(found["Parameters"]) == {"SageMakerProjectName", "SageMakerProjectId"}


@pytest.mark.parametrize("again", [False, True], ids=["unchanged", "changed"])
def test_publishing_again_updates_the_stack_or_leaves_it(again: bool) -> None:
    client = boto3.client("cloudformation", region_name="eu-west-1", aws_access_key_id="x",
                          aws_secret_access_key="x")  # fmt: skip
    with Stubber(client) as stub:
        request = {"StackName": "s-catalogue", "TemplateBody": "{}",
                   "Capabilities": ["CAPABILITY_IAM"], "Parameters": [],
                   "Tags": ANY}  # fmt: skip
        stub.add_client_error("create_stack", "AlreadyExistsException", expected_params=request)
        if again:
            stub.add_response("update_stack", {"StackId": "x"}, request)
            described = {"StackName": "s", "CreationTime": "2026-01-01T00:00:00Z",
                         "StackStatus": "UPDATE_COMPLETE"}  # fmt: skip
            stub.add_response("describe_stacks", {"Stacks": [described]}, {"StackName": ANY})
        else:
            stub.add_client_error(
                "update_stack", "ValidationError", "No updates are to be performed."
            )
        target: Any = SimpleNamespace(
            client=lambda _name: client, stack="s", environment_name="dev", engine=None
        )
        deploy(target, "s-catalogue", None, "{}", {}, ("CAPABILITY_IAM",))
        stub.assert_no_pending_responses()
