"""A project's template on the embedded CloudFormation, below and above what a request may hold."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from steward_cli.console import CommandError
from steward_cli.stacks import MOST_IN_BUCKET, MOST_IN_REQUEST, template_source
from steward_cli.target import Target
from support.embedded import Account, unique

pytestmark = pytest.mark.integration


def _template(size: int) -> str:
    """A template of exactly so many bytes."""
    made = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Metadata": {"filler": ""},
        "Resources": {"Log": {"Type": "AWS::Logs::LogGroup"}},
    }
    made["Metadata"] = {"filler": "x" * (size - len(json.dumps(made)))}
    assert len(json.dumps(made)) == size
    return json.dumps(made)


@pytest.fixture
def target(account: Account) -> Any:
    """Where a project is added; its artifacts bucket is there."""
    bucket = unique("artifacts")
    account.client("s3").create_bucket(Bucket=bucket)
    outputs = {"ArtifactsBucketName": bucket}
    return SimpleNamespace(client=account.client, output=outputs.__getitem__, region="us-east-1")


def _create(account: Account, **source: str) -> str:
    cloudformation = account.client("cloudformation")
    name = unique("project")
    cloudformation.create_stack(StackName=name, **source)
    cloudformation.get_waiter("stack_create_complete").wait(
        StackName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 120}
    )
    [stack] = cloudformation.describe_stacks(StackName=name)["Stacks"]
    return str(stack["StackStatus"])


def test_a_request_takes_51200_bytes_and_not_one_more(account: Account) -> None:
    assert _create(account, TemplateBody=_template(MOST_IN_REQUEST)) == "CREATE_COMPLETE"
    with pytest.raises(ClientError) as refused:
        _create(account, TemplateBody=_template(MOST_IN_REQUEST + 1))
    assert refused.value.response["Error"]["Code"] == "ValidationError"
    assert "51200" in str(refused.value)


@pytest.mark.parametrize("size", [MOST_IN_REQUEST, MOST_IN_REQUEST + 1, MOST_IN_BUCKET])
def test_a_template_of_any_size_that_aws_takes_is_deployed(
    account: Account, target: Any, size: int
) -> None:
    source = template_source(cast(Target, target), "ward", _template(size))
    assert list(source) == ["TemplateBody" if size == MOST_IN_REQUEST else "TemplateURL"]
    assert _create(account, **source) == "CREATE_COMPLETE"


def test_a_template_that_aws_takes_from_nowhere_is_refused_before(target: Any) -> None:
    with pytest.raises(CommandError, match="the stack of ward would have 1000001 bytes"):
        template_source(cast(Target, target), "ward", _template(MOST_IN_BUCKET + 1))


def test_the_same_template_is_stored_once_and_another_beside_it(
    account: Account, target: Any
) -> None:
    for size in (60_000, 60_000, 60_001):
        template_source(cast(Target, target), "ward", _template(size))
    bucket = target.output("ArtifactsBucketName")
    listed = account.client("s3").list_objects_v2(Bucket=bucket, Prefix="templates/ward/")
    assert listed["KeyCount"] == 2
