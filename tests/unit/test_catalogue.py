"""Project templates as Service Catalog products: seeds, product templates and the stack."""

from __future__ import annotations

import io
import json
import re
import urllib.request
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import botocore.session
import pytest
import yaml
from botocore.stub import ANY, Stubber

from steward.domain.names import check_project
from steward.domain.project import parse_project
from steward_cli.catalogue import Place, Seed, catalogue_template, product_template, zipped
from steward_cli.catalogue_roles import renderer
from steward_cli.commands.project_publish import SEED_NAME, seeds_of
from steward_cli.project_templates import templates_of
from steward_cli.stacks import deploy
from support.linting import findings
from support.rendered import ROOT, TEMPLATES, plain_templates
from support.templates import load

BUCKET = "steward-artifacts"
_HERE = "eu-west-1:000000000000"
PLACE = Place(
    BUCKET,
    "dev",
    "steward-catalogue",
    f"https://s3.eu-west-1.amazonaws.com/{BUCKET}/catalogue/pipeline/{'a' * 64}.yaml",
    {
        "DrivePipelineFunctionArn": f"arn:aws:lambda:{_HERE}:function:drive",
        "ArtifactsBucket": BUCKET,
        "KeyArn": f"arn:aws:kms:{_HERE}:key/1f0c",
        "UseKeyPolicyArn": "arn:aws:iam::000000000000:policy/use-key",
        "OwnerTopic": f"arn:aws:sns:{_HERE}:owner",
        "FailureQueueArn": f"arn:aws:sqs:{_HERE}:failures",
    },
)


@pytest.fixture(scope="module")
def seeds() -> list[Seed]:
    return seeds_of(plain_templates())


def stack(seeds: list[Seed]) -> dict[str, Any]:
    urls = {s.template.name: f"https://s3.eu-west-1.amazonaws.com/{BUCKET}/{s.key}" for s in seeds}
    return catalogue_template(seeds, urls, ["arn:aws:iam::000000000000:role/scientist"], PLACE)


def test_a_seed_is_the_rendered_project_without_a_path_of_this_machine(seeds: list[Seed]) -> None:
    assert [seed.template.name for seed in seeds] == list(TEMPLATES)
    for seed in seeds:
        with zipfile.ZipFile(io.BytesIO(seed.archive)) as archive:
            names = set(archive.namelist())
            declared = yaml.safe_load(archive.read("project.yaml"))
            assert not any(str(ROOT).encode() in archive.read(name) for name in names)
        assert {"README.md", "tests/test_project.py", ".gitignore"} <= names
        assert declared["project"] == SEED_NAME


def test_the_same_files_give_the_same_seed(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.txt").write_text("one")
    assert zipped(tmp_path / "a") == zipped(tmp_path / "b")
    (tmp_path / "b" / "x.txt").write_text("two")
    assert zipped(tmp_path / "a") != zipped(tmp_path / "b")


def test_the_stacks_keep_cloudformations_rules(seeds: list[Seed]) -> None:
    files = {"catalogue.json": json.dumps(stack(seeds), indent=1)}
    files |= {f"{s.template.name}.json": product_template(s, PLACE, SEED_NAME) for s in seeds[:1]}
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


def test_a_product_seeds_the_repository_it_makes_under_the_name_that_is_asked_for(
    seeds: list[Seed],
) -> None:
    found = json.loads(product_template(seeds[0], PLACE, SEED_NAME))
    resources = found["Resources"]
    code = resources["Repository"]["Properties"]["Code"]
    assert code["S3"] == {"Bucket": BUCKET, "Key": {"Fn::GetAtt": ["Project", "Key"]}}
    asked = resources["Project"]["Properties"]
    assert (asked["Seed"], asked["ProjectName"]) == (seeds[0].key, {"Ref": "SageMakerProjectName"})
    exported = stack(seeds)["Outputs"]["RenderSeedArn"]["Export"]["Name"]
    assert asked["ServiceToken"] == {"Fn::ImportValue": exported}


@pytest.mark.parametrize(
    ("name", "allowed"),
    [("churn", True), ("c2", True), ("a" * 20, True), ("c", False), ("a" * 21, False),
     ("Churn", False), ("1churn", False), ("churn-", False), ("chu_rn", False)],
)  # fmt: skip
def test_a_product_takes_the_names_that_projects_may_have(
    seeds: list[Seed], name: str, allowed: bool
) -> None:
    found = json.loads(product_template(seeds[0], PLACE, SEED_NAME))
    pattern = found["Parameters"]["SageMakerProjectName"]["AllowedPattern"]
    assert bool(re.fullmatch(pattern, name)) is allowed
    if allowed:
        assert check_project(name) == name


def test_a_product_carries_the_pipeline_that_the_command_deploys(seeds: list[Seed]) -> None:
    """Every parameter without a default is given, and none that the template has not."""
    found = json.loads(product_template(seeds[0], PLACE, SEED_NAME))
    given = found["Resources"]["Pipeline"]["Properties"]["Parameters"]
    declared = load(ROOT / "projects" / "pipeline.yaml")["Parameters"]
    needed = {key for key, about in declared.items() if "Default" not in about}
    assert needed <= set(given) <= set(declared)
    assert given["SourceKind"] in declared["SourceKind"]["AllowedValues"]
    repository = found["Resources"]["Repository"]["Properties"]["RepositoryName"]
    assert repository == {"Fn::Sub": "steward-dev-${SageMakerProjectName}"}


def test_the_launch_role_may_make_what_a_pipeline_is_made_of(seeds: list[Seed]) -> None:
    role = stack(seeds)["Resources"]["LaunchRole"]["Properties"]
    allowed = {a for s in role["Policies"][0]["PolicyDocument"]["Statement"] for a in s["Action"]}
    types = {r["Type"] for r in load(ROOT / "projects" / "pipeline.yaml")["Resources"].values()}
    makes = {
        "AWS::CodePipeline::Pipeline": "codepipeline:CreatePipeline",
        "AWS::CodeBuild::Project": "codebuild:CreateProject",
        "AWS::IAM::Role": "iam:CreateRole",
        "AWS::Logs::LogGroup": "logs:CreateLogGroup",
        "AWS::Events::Rule": "events:PutRule",
    }
    assert {makes[kind] for kind in types} <= allowed


def test_requests_of_the_launch_role_are_operations_of_the_services(seeds: list[Seed]) -> None:
    """By botocore's models; of S3 and IAM some actions are called otherwise than operations."""
    session = botocore.session.get_session()
    role = stack(seeds)["Resources"]["LaunchRole"]["Properties"]
    for statement in role["Policies"][0]["PolicyDocument"]["Statement"]:
        for action in statement["Action"]:
            service, _, name = action.partition(":")
            if action in ("iam:PassRole", "s3:GetObjectVersion", "lambda:InvokeFunction"):
                continue
            assert name in session.get_service_model(service).operation_names, action


class Store:
    """S3 with one object for each key."""

    def __init__(self, **objects: bytes) -> None:
        self.objects = objects

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803
        return {"Body": io.BytesIO(self.objects[Key])}

    def put_object(self, Bucket: str, Key: str, Body: bytes) -> None:  # noqa: N803
        self.objects[Key] = Body

    def delete_object(self, Bucket: str, Key: str) -> None:  # noqa: N803
        del self.objects[Key]


def launched(
    store: Store, monkeypatch: pytest.MonkeyPatch, kind: str = "Create", **about: Any
) -> dict[str, Any]:
    """What the function answers CloudFormation with, run from the inline code as Lambda would."""
    answers: list[dict[str, Any]] = []

    class Told:
        def close(self) -> None: ...

    def answered(request: urllib.request.Request, timeout: int) -> Told:
        answers.append(json.loads(request.data))  # type: ignore[arg-type]
        return Told()

    monkeypatch.setattr("boto3.client", lambda _service: store)
    monkeypatch.setattr("urllib.request.urlopen", answered)
    code: dict[str, Any] = {"__name__": "index"}
    source = renderer(BUCKET, "steward-catalogue", "arn")["RenderSeed"]["Properties"]["Code"]
    exec(compile(source["ZipFile"], "index.py", "exec"), code)
    asked = {"Bucket": BUCKET, "Seed": "seed", "Placeholder": SEED_NAME, "ProjectName": "churn"}
    event = {
        "RequestType": kind, "ResponseURL": "https://cloudformation.test/answer",
        "StackId": "s", "RequestId": "r", "LogicalResourceId": "Project",
        "ResourceProperties": {**asked, **about.pop("asked", {})}, **about,
    }  # fmt: skip
    code["handler"](event, None)
    (answer,) = answers
    return answer


def test_the_seed_of_a_launched_product_is_the_project_that_was_asked_for(
    seeds: list[Seed], monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = next(seed for seed in seeds if seed.template.name == "batch-scoring")
    store = Store(seed=batch.archive)
    answer = launched(store, monkeypatch)
    assert answer["Status"] == "SUCCESS", answer["Reason"]
    with zipfile.ZipFile(io.BytesIO(store.objects[answer["Data"]["Key"]])) as archive:
        declared = yaml.safe_load(archive.read("project.yaml"))
        texts = b"".join(archive.read(name) for name in archive.namelist())
    assert parse_project(declared).project == "churn"
    assert declared["split"]["salt"] == "churn"
    assert SEED_NAME.encode() not in texts
    launched(store, monkeypatch, "Delete", PhysicalResourceId=answer["PhysicalResourceId"])
    assert set(store.objects) == {"seed"}


@pytest.mark.parametrize("asked", [{"ProjectName": "No/../way"}, {"Seed": "gone"}])
def test_a_seed_that_cannot_be_rendered_is_answered_and_not_waited_for(
    asked: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = launched(Store(seed=b""), monkeypatch, asked=asked)
    assert answer["Status"] == "FAILED"
    assert next(iter(asked.values())) in answer["Reason"]


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
