"""What holds for all stacks: order, sections, Globals, parameters, outputs, retention."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from steward.service.training.source import code_key
from support.templates import (
    CHILDREN,
    ORDER,
    ROOT,
    ROOT_TEMPLATE,
    load,
    load_child,
    of_type,
    references,
    strings,
)

_SECTIONS = [
    "AWSTemplateFormatVersion", "Description", "Transform", "Parameters", "Conditions",
    "Globals", "Resources", "Outputs",
]  # fmt: skip
_STATEFUL = ("AWS::S3::Bucket", "AWS::DynamoDB::Table", "AWS::KMS::Key", "AWS::ECR::Repository")
_EPHEMERAL = {"IdempotencyTable"}


def _applications() -> dict[str, dict[str, Any]]:
    return of_type(load(ROOT_TEMPLATE), "AWS::Serverless::Application")


def test_the_root_is_short_and_holds_applications_alone() -> None:
    assert len(ROOT_TEMPLATE.read_text(encoding="utf-8").splitlines()) < 150
    assert set(_applications()) == set(load(ROOT_TEMPLATE)["Resources"])


def test_each_domain_is_one_nested_stack() -> None:
    locations = {name: app["Properties"]["Location"] for name, app in _applications().items()}
    assert locations == {domain.title(): f"stacks/{domain}.yaml" for domain in ORDER}


def test_stacks_depend_in_one_direction() -> None:
    rank = {domain.title(): place for place, domain in enumerate(ORDER)}
    backward = [
        f"{name} needs {other}"
        for name, app in _applications().items()
        for other in references(app["Properties"])
        if other in rank and rank[other] >= rank[name]
    ]
    assert backward == []


@pytest.mark.parametrize("domain", ORDER)
def test_the_root_gives_a_child_exactly_its_parameters(domain: str) -> None:
    given = set(_applications()[domain.title()]["Properties"]["Parameters"])
    assert given == set(load_child(domain)["Parameters"])


@pytest.mark.parametrize("domain", ORDER)
def test_what_the_root_takes_from_a_child_is_an_output_there(domain: str) -> None:
    outputs = load_child(domain).get("Outputs", {})
    taken = re.findall(
        rf"{domain.title()}\.Outputs\.(\w+)", ROOT_TEMPLATE.read_text(encoding="utf-8")
    )
    assert set(taken) <= set(outputs)


@pytest.mark.parametrize("path", CHILDREN, ids=lambda path: path.stem)
def test_a_childs_sections_are_in_the_one_order(path: Path) -> None:
    found = list(load(path))
    assert found == [section for section in _SECTIONS if section in found]


@pytest.mark.parametrize("path", CHILDREN, ids=lambda path: path.stem)
def test_globals_are_the_same_in_each_child_with_functions(path: Path) -> None:
    if not of_type(load(path), "AWS::Serverless::Function"):
        assert "Globals" not in load(path)
        return
    assert load(path)["Globals"] == load_child("foundation")["Globals"]


@pytest.mark.parametrize("path", CHILDREN, ids=lambda path: path.stem)
def test_a_child_declares_its_own_layers(path: Path) -> None:
    """A layer that comes as a parameter breaks `sam local invoke`."""
    layers = of_type(load(path), "AWS::Serverless::LayerVersion")
    folders = {name: layer["Properties"]["ContentUri"] for name, layer in layers.items()}
    expected = {"CoreLayer": "../layers/core"}
    if not of_type(load(path), "AWS::Serverless::Function"):
        expected = {}
    if path.stem in ("data", "monitoring", "serving", "training"):
        expected["AnalyticsLayer"] = "../layers/analytics"
    assert folders == expected
    for name, layer in layers.items():
        assert layer["Metadata"]["BuildMethod"] == "makefile"
        recipe = (ROOT / "stacks" / folders[name] / "Makefile").read_text(encoding="utf-8")
        assert f"\nbuild-{name}:\n" in recipe
        assert "--require-hashes" in recipe


def test_stateful_resources_outlive_their_stack_and_are_protected_where_it_counts() -> None:
    for path in CHILDREN:
        for name, resource in of_type(load(path), *_STATEFUL).items():
            if name in _EPHEMERAL:
                continue
            assert resource["DeletionPolicy"] == "RetainExceptOnCreate", name
            assert resource["UpdateReplacePolicy"] == "Retain", name
            if resource["Type"] == "AWS::DynamoDB::Table":
                protection = resource["Properties"]["DeletionProtectionEnabled"]
                assert protection == {"Fn::If": ["IsProtected", True, False]}, name


def test_tables_are_encrypted_on_demand_and_recoverable() -> None:
    for name, table in of_type(load_child("foundation"), "AWS::DynamoDB::Table").items():
        properties = table["Properties"]
        assert properties["BillingMode"] == "PAY_PER_REQUEST", name
        assert properties["SSESpecification"]["SSEType"] == "KMS", name
        recovery = properties["PointInTimeRecoverySpecification"]
        assert recovery["PointInTimeRecoveryEnabled"] is True, name


def test_buckets_are_versioned_private_encrypted_and_tls_only() -> None:
    template = load_child("foundation")
    guarded = {
        policy["Properties"]["Bucket"]["Ref"]: policy["Properties"]["PolicyDocument"]["Statement"]
        for policy in of_type(template, "AWS::S3::BucketPolicy").values()
    }
    for name, bucket in of_type(template, "AWS::S3::Bucket").items():
        properties = bucket["Properties"]
        assert properties["VersioningConfiguration"]["Status"] == "Enabled"
        assert all(properties["PublicAccessBlockConfiguration"].values())
        assert len(properties["PublicAccessBlockConfiguration"]) == 4
        [rule] = properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
        assert any(
            statement["Effect"] == "Deny"
            and statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
            for statement in guarded[name]
        )


@pytest.mark.parametrize("path", CHILDREN, ids=lambda path: path.stem)
def test_log_groups_have_a_retention_and_the_key(path: Path) -> None:
    for name, group in of_type(load(path), "AWS::Logs::LogGroup").items():
        assert group["Properties"]["RetentionInDays"] == {"Ref": "LogRetentionDays"}, name
        assert "KmsKeyId" in group["Properties"], name


@pytest.mark.parametrize("path", CHILDREN, ids=lambda path: path.stem)
def test_arns_name_the_partition_and_no_account(path: Path) -> None:
    for text in strings(load(path)["Resources"]):
        assert "arn:aws" not in text, text
        assert not re.search(r"\b\d{12}\b", text), text


@pytest.mark.parametrize("layer", ["core", "analytics"])
def test_a_layers_requirements_are_the_lock(layer: str) -> None:
    lock = (ROOT / "requirements" / f"{layer}.txt").read_text(encoding="utf-8")
    assert (ROOT / "layers" / layer / "requirements.txt").read_text(encoding="utf-8") == lock


def test_samconfig_has_every_environment_and_nothing_of_one_account() -> None:
    text = (ROOT / "samconfig.toml").read_text(encoding="utf-8")
    environments = tomllib.loads(text)
    for name in ("local", "dev", "staging", "prod"):
        deploy = environments[name]["deploy"]["parameters"]
        assert f"Environment={name}" in deploy["parameter_overrides"]
        assert environments[name]["global"]["parameters"]["stack_name"] == f"steward-{name}"
        assert deploy["resolve_s3"] is True
    assert not re.search(r"\d{12}|s3_bucket|arn:|profile", text)


def test_files_of_commits_and_pipelines_expire_and_what_versions_name_does_not() -> None:
    properties = load_child("foundation")["Resources"]["ArtifactsBucket"]["Properties"]
    rules = {one["Id"]: one for one in properties["LifecycleConfiguration"]["Rules"]}
    expiring = {one["Prefix"] for one in rules.values() if "ExpirationInDays" in one}
    assert expiring == {"batch/", "commits/", "rehearsals/", "steward-"}
    assert rules["InputOfRehearsals"]["ExpirationInDays"] == 1
    for name in ("FilesOfCommits", "ArtifactsOfPipelines"):
        rule = rules[name]
        assert rule["Status"] == "Enabled"
        # What a pipeline waits for longest is an approval, which CodePipeline lets wait 60 days.
        assert rule["ExpirationInDays"] > 60
        assert rule["NoncurrentVersionExpiration"]["NoncurrentDays"] >= 1
    kept = code_key("diabetes", "d1" * 32)
    assert not kept.startswith(tuple(expiring))
