"""Two accounts on one embedded AWS: keys, buses and objects across the border."""

import base64
import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from steward.adapters.objects import S3ObjectStore
from steward.domain.errors import AccessDeniedError
from steward_local.engine import Engine
from support.embedded import Account, Keys, eventually, unique

pytestmark = pytest.mark.integration
OTHER = "222222222222"
_TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}


@pytest.fixture(scope="module")
def other(engine: Engine) -> Iterator[Account]:
    """Another account of the same AWS."""
    with Account(engine.seen_by(OTHER)) as account:
        yield account


def test_an_accounts_number_is_its_roots_key_and_needs_the_secret(
    account: Account, other: Account
) -> None:
    def identity(keys: Keys | None = None) -> str:
        return str(account.client("sts", keys).get_caller_identity()["Account"])

    assert identity(other.root) == OTHER
    for forged in (Keys(OTHER, "guess"), Keys(account.engine.account, account.root.secret_key)):
        with pytest.raises(ClientError):
            identity(forged)


def test_a_version_is_described_by_another_account_where_its_groups_policy_says_so(
    account: Account, other: Account
) -> None:
    sagemaker, group = account.client("sagemaker"), unique("group")
    sagemaker.create_model_package_group(ModelPackageGroupName=group)
    arn = sagemaker.create_model_package(ModelPackageGroupName=group)["ModelPackageArn"]
    theirs = other.client("sagemaker")

    def refused() -> bool:
        with pytest.raises(ClientError) as error:
            theirs.describe_model_package(ModelPackageName=arn)
        return bool(error.value.response["Error"]["Code"] == "AccessDeniedException")

    assert refused()
    statement = {
        "Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{OTHER}:root"},
        "Action": "sagemaker:DescribeModelPackage", "Resource": f"{arn.rsplit('/', 1)[0]}/*",
    }  # fmt: skip
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    sagemaker.put_model_package_group_policy(ModelPackageGroupName=group, ResourcePolicy=policy)
    kept = sagemaker.get_model_package_group_policy(ModelPackageGroupName=group)
    assert kept["ResourcePolicy"] == policy
    assert theirs.describe_model_package(ModelPackageName=arn)["ModelPackageVersion"] == 1
    sagemaker.delete_model_package_group_policy(ModelPackageGroupName=group)
    assert refused()


def _statement(policy: Account, bus: str, statement: dict[str, Any]) -> str:
    """Deploy a bus with a policy of one statement by CloudFormation; return the bus's ARN."""
    template = {
        "Resources": {
            "Bus": {"Type": "AWS::Events::EventBus", "Properties": {"Name": bus}},
            "Policy": {
                "Type": "AWS::Events::EventBusPolicy",
                "Properties": {
                    "EventBusName": {"Ref": "Bus"},
                    "StatementId": "Neighbour",
                    "Statement": {**statement, "Resource": {"Fn::GetAtt": ["Bus", "Arn"]}},
                },
            },
        },
        "Outputs": {"Arn": {"Value": {"Fn::GetAtt": ["Bus", "Arn"]}}},
    }
    cloudformation = policy.client("cloudformation")
    cloudformation.create_stack(StackName=bus, TemplateBody=json.dumps(template))
    cloudformation.get_waiter("stack_create_complete").wait(
        StackName=bus, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    [output] = cloudformation.describe_stacks(StackName=bus)["Stacks"][0]["Outputs"]
    return str(output["OutputValue"])


def test_a_bus_takes_what_its_policy_admits_of_another_account_and_keeps_whose_it_is(
    account: Account, other: Account
) -> None:
    bus, source = unique("border"), unique("steward.source")
    bus_arn = _statement(
        other,
        bus,
        {
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{account.engine.account}:root"},
            "Action": "events:PutEvents",
            "Condition": {"StringEquals": {"events:source": source, "events:detail-type": "Good"}},
        },
    )
    assert f":{OTHER}:" in bus_arn
    inbox, queue_arn = other.queue()
    rule_arn = other.client("events").put_rule(
        Name=bus, EventBusName=bus, EventPattern=json.dumps({"account": [account.engine.account]})
    )["RuleArn"]
    other.client("events").put_targets(
        Rule=bus, EventBusName=bus, Targets=[{"Id": "q", "Arn": queue_arn}]
    )
    _open(other, inbox, queue_arn, rule_arn)

    name, dead, dead_arn = unique("rule"), *account.queue()
    events = account.client("events")
    rule = events.put_rule(Name=name, EventPattern=json.dumps({"source": [source]}))["RuleArn"]
    _open(account, dead, dead_arn, rule)
    allowed = [{"Effect": "Allow", "Action": "events:PutEvents", "Resource": bus_arn}]
    _, role = account.role(allowed, _TRUST)
    target = {"Id": "bus", "Arn": bus_arn, "RoleArn": role, "DeadLetterConfig": {"Arn": dead_arn}}
    events.put_targets(Rule=name, Targets=[target])
    for kind in ("Good", "Bad"):
        entry = {"Source": source, "DetailType": kind, "Detail": "{}"}
        assert events.put_events(Entries=[entry])["FailedEntryCount"] == 0

    [got] = eventually(lambda: list(other.received(inbox)), what="the event there", within=60)
    assert (got["body"]["account"], got["body"]["detail-type"]) == (account.engine.account, "Good")
    [refused] = eventually(lambda: list(account.received(dead)), what="the refusal", within=60)
    assert refused["attributes"]["ERROR_CODE"] == "NO_PERMISSIONS"
    assert "no resource-based policy allows" in refused["attributes"]["ERROR_MESSAGE"]
    assert refused["body"]["detail-type"] == "Bad"


def _open(account: Account, url: str, queue_arn: str, rule_arn: str) -> None:
    statement = {
        "Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage", "Resource": queue_arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": rule_arn}},
    }  # fmt: skip
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    account.client("sqs").set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})


def test_objects_of_another_account_need_its_bucket_policy_and_an_own_permission(
    account: Account, other: Account
) -> None:
    bucket = unique("exports")
    s3 = account.client("s3")
    s3.create_bucket(Bucket=bucket)
    for key in (f"exports/{OTHER}/a", "models/a"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    place = f"arn:aws:s3:::{bucket}/exports/{OTHER}/*"
    _, reader = other.user([
        {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::*",
         "Condition": {"StringEquals": {"s3:ResourceAccount": account.engine.account}}}
    ])  # fmt: skip
    _, idle = other.user([])

    def read(keys: Keys, key: str) -> bytes:
        got = other.client("s3", keys).get_object(Bucket=bucket, Key=key)
        return bytes(got["Body"].read())

    def refused(keys: Keys, key: str) -> bool:
        with pytest.raises(ClientError) as error:
            read(keys, key)
        return bool(error.value.response["Error"]["Code"] == "AccessDenied")

    assert refused(reader, f"exports/{OTHER}/a")
    statement = {
        "Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{OTHER}:root"},
        "Action": "s3:GetObject", "Resource": place,
    }  # fmt: skip
    s3.put_bucket_policy(
        Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    )
    assert read(reader, f"exports/{OTHER}/a") == b"x"
    theirs = other.client("s3")
    theirs.create_bucket(Bucket=f"{bucket}-theirs")
    for _ in range(2):
        theirs.copy_object(
            Bucket=f"{bucket}-theirs", Key="b", ChecksumAlgorithm="SHA256",
            CopySource={"Bucket": bucket, "Key": f"exports/{OTHER}/a"},
        )  # fmt: skip
    copied = theirs.get_object(Bucket=f"{bucket}-theirs", Key="b", ChecksumMode="ENABLED")
    assert copied["Body"].read() == b"x"
    assert copied["ChecksumSHA256"] == base64.b64encode(hashlib.sha256(b"x").digest()).decode()
    with pytest.raises(ClientError):
        theirs.copy_object(
            Bucket=f"{bucket}-theirs", Key="c", CopySource={"Bucket": bucket, "Key": "models/a"}
        )
    assert refused(reader, "models/a")
    assert refused(idle, f"exports/{OTHER}/a")


def test_a_large_object_of_another_account_is_copied_in_parts_where_its_key_says_so_too(
    account: Account, other: Account
) -> None:
    bucket, source = unique("large"), f"exports/{OTHER}/model"
    s3, kms = account.client("s3"), account.client("kms")
    own = {
        "Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account.engine.account}:root"},
        "Action": "kms:*", "Resource": "*",
    }  # fmt: skip
    theirs = {"AWS": f"arn:aws:iam::{OTHER}:root"}

    def policy(*statements: dict[str, Any]) -> str:
        return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})

    def decrypting(service: str) -> dict[str, Any]:
        through = {"StringLike": {"kms:ViaService": f"{service}.*.amazonaws.com"}}
        return {"Effect": "Allow", "Principal": theirs, "Action": "kms:Decrypt", "Resource": "*",
                "Condition": through}  # fmt: skip

    key = kms.create_key(Policy=policy(own))["KeyMetadata"]["Arn"]
    _encrypted(account, bucket, key)
    content = bytes(range(256)) * (6 * 4096)
    s3.put_object(Bucket=bucket, Key=source, Body=content)
    s3.put_object(Bucket=bucket, Key="models/a", Body=b"x")
    reading = {"Effect": "Allow", "Principal": theirs, "Action": "s3:GetObject",
               "Resource": f"arn:aws:s3:::{bucket}/exports/{OTHER}/*"}  # fmt: skip
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(reading))
    mine = f"{bucket}-theirs"
    other.client("s3").create_bucket(Bucket=mine)
    rights: list[dict[str, Any]] = [
        {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"],
         "Resource": "arn:aws:s3:::*"},
        {"Effect": "Allow", "Action": "kms:Decrypt",
         "Resource": f"arn:aws:kms:*:{account.engine.account}:key/*"},
    ]  # fmt: skip
    _, reader = other.user(rights)
    _, keyless = other.user(rights[:1])

    def copy(keys: Keys, name: str = source) -> None:
        client = other.client("s3", keys)
        objects = S3ObjectStore(client, single_copy_bytes=1, part_bytes=5 * 1024**2)
        objects.copy(f"s3://{bucket}/{name}", f"s3://{mine}/{name}")

    for statements in ((), (decrypting("ec2"),)):
        kms.put_key_policy(KeyId=key, Policy=policy(own, *statements))
        with pytest.raises(AccessDeniedError, match="kms:Decrypt"):
            copy(reader)
        head = other.client("s3", reader).head_object
        head(Bucket=bucket, Key=source)
        with pytest.raises(ClientError):
            head(Bucket=bucket, Key=source, ChecksumMode="ENABLED")
    kms.put_key_policy(KeyId=key, Policy=policy(own, decrypting("s3")))
    with pytest.raises(AccessDeniedError, match="kms:Decrypt"):
        copy(keyless)
    with pytest.raises(AccessDeniedError):
        copy(reader, "models/a")
    assert "Uploads" not in other.client("s3").list_multipart_uploads(Bucket=mine)
    copy(reader)
    copied = other.client("s3").get_object(Bucket=mine, Key=source, ChecksumMode="ENABLED")
    assert copied["Body"].read() == content
    parts = [hashlib.sha256(content[: 5 * 1024**2]), hashlib.sha256(content[5 * 1024**2 :])]
    composite = hashlib.sha256(b"".join(part.digest() for part in parts)).digest()
    assert copied["ChecksumSHA256"] == f"{base64.b64encode(composite).decode()}-2"


def _encrypted(account: Account, bucket: str, key: str) -> None:
    """Make a bucket by a template that encrypts with a key by default."""
    by_default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
    rules = [{"ServerSideEncryptionByDefault": by_default}]
    properties = {
        "BucketName": bucket,
        "BucketEncryption": {"ServerSideEncryptionConfiguration": rules},
    }
    template = {"Resources": {"Bucket": {"Type": "AWS::S3::Bucket", "Properties": properties}}}
    cloudformation = account.client("cloudformation")
    cloudformation.create_stack(StackName=bucket, TemplateBody=json.dumps(template))
    cloudformation.get_waiter("stack_create_complete").wait(
        StackName=bucket, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
