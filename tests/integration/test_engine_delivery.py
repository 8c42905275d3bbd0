"""Logs, Firehose, streams, mail and TLS-only buckets on the embedded AWS."""

import gzip
import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest

from steward_local import engine as embedded
from support.embedded import Account, eventually, unique

pytestmark = pytest.mark.integration


def _trust(service: str) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    return {"Version": "2012-10-17", "Statement": [statement]}


def _allow(actions: str | list[str], resource: str | list[str]) -> list[dict[str, Any]]:
    return [{"Effect": "Allow", "Action": actions, "Resource": resource}]


def _stream(account: Account, bucket: str, seconds: int, role: str | None = None) -> str:
    if role is None:
        _, role = account.role(
            _allow("s3:PutObject", f"arn:aws:s3:::{bucket}/*"), _trust("firehose.amazonaws.com")
        )
    created = account.client("firehose").create_delivery_stream(
        DeliveryStreamName=unique("stream"),
        ExtendedS3DestinationConfiguration={
            "RoleARN": role,
            "BucketARN": f"arn:aws:s3:::{bucket}",
            "Prefix": "exposures/dt=!{timestamp:yyyy-MM-dd}/",
            "ErrorOutputPrefix": "errors/!{firehose:error-output-type}/",
            "BufferingHints": {"IntervalInSeconds": seconds, "SizeInMBs": 5},
        },
    )
    return str(created["DeliveryStreamARN"])


def _objects(account: Account, bucket: str) -> list[str]:
    listed = account.client("s3").list_objects_v2(Bucket=bucket).get("Contents", [])
    return [item["Key"] for item in listed]


def _bucket(account: Account) -> str:
    name = unique("bucket")
    account.client("s3").create_bucket(Bucket=name)
    return name


def _read(account: Account, bucket: str, key: str) -> bytes:
    body: bytes = account.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    return body


def test_records_are_joined_into_one_object_when_the_interval_has_passed(
    account: Account,
) -> None:
    bucket = _bucket(account)
    stream = _stream(account, bucket, 60).rpartition("/")[2]
    firehose = account.client("firehose")
    started = time.monotonic()
    for number in range(3):
        firehose.put_record(DeliveryStreamName=stream, Record={"Data": b"%d\n" % number})
    assert _objects(account, bucket) == []
    [key] = eventually(lambda: _objects(account, bucket))
    waited = time.monotonic() - started
    assert waited >= 60 / account.engine.time_scale - 0.2
    today = time.strftime("%Y-%m-%d", time.gmtime())
    assert re.fullmatch(rf"exposures/dt={today}/{stream}-1-{today}-[\d-]+-[0-9a-f-]+", key)
    assert _read(account, bucket, key) == b"0\n1\n2\n"


def test_stream_whose_role_may_not_write_writes_nothing(account: Account) -> None:
    bucket = _bucket(account)
    _, role = account.role([], _trust("firehose.amazonaws.com"))
    stream = _stream(account, bucket, 0, role).rpartition("/")[2]
    account.client("firehose").put_record(DeliveryStreamName=stream, Record={"Data": b"x"})
    eventually(
        lambda: f"Delivery stream {stream}: User:" in account.engine.log.read_text(),
        what="the refusal",
    )
    assert _objects(account, bucket) == []


def test_matching_log_lines_reach_s3_through_the_subscription(account: Account) -> None:
    bucket = _bucket(account)
    stream = _stream(account, bucket, 20)
    name = account.function("def handler(event, context):\n    for line in event: print(line)")
    account.invoke(name, [])
    _, role = account.role(_allow("firehose:PutRecordBatch", stream), _trust("logs.amazonaws.com"))
    account.client("logs").put_subscription_filter(
        logGroupName=f"/aws/lambda/{name}",
        filterName="exposures",
        filterPattern='{ $.kind = "exposure" }',
        destinationArn=stream,
        roleArn=role,
    )
    lines = [json.dumps({"kind": "exposure", "n": 1}), json.dumps({"kind": "other"}), "text"]
    account.invoke(name, lines)
    [key] = eventually(lambda: _objects(account, bucket))
    message = json.loads(gzip.decompress(_read(account, bucket, key)))
    assert message["messageType"] == "DATA_MESSAGE"
    assert message["logGroup"] == f"/aws/lambda/{name}"
    assert [event["message"] for event in message["logEvents"]] == [lines[0] + "\n"]


def test_failing_stream_consumer_sends_its_batch_to_the_destination(account: Account) -> None:
    dynamodb = account.client("dynamodb")
    table = unique("outbox")
    described = dynamodb.create_table(
        TableName=table,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
    )["TableDescription"]
    url, dead = account.queue()
    name = account.function(
        """
        def handler(event, context):
            for record in event["Records"]:
                item = record["dynamodb"]["NewImage"]
                print(item["id"]["S"])
                if "bad" in item:
                    raise ValueError("bad item")
        """,
        statements=[
            *_allow("sqs:SendMessage", dead),
            *_allow(
                [
                    "dynamodb:GetRecords",
                    "dynamodb:GetShardIterator",
                    "dynamodb:DescribeStream",
                    "dynamodb:ListStreams",
                ],
                "*",
            ),
        ],
    )
    account.client("lambda").create_event_source_mapping(
        EventSourceArn=described["LatestStreamArn"],
        FunctionName=name,
        StartingPosition="TRIM_HORIZON",
        MaximumRetryAttempts=0,
        DestinationConfig={"OnFailure": {"Destination": dead}},
    )
    dynamodb.put_item(TableName=table, Item={"id": {"S": "first"}})
    eventually(lambda: "first" in account.log_lines(f"/aws/lambda/{name}"))
    dynamodb.put_item(TableName=table, Item={"id": {"S": "second"}, "bad": {"BOOL": True}})
    [message] = eventually(lambda: list(account.received(url)))
    assert message["body"]["requestContext"]["condition"] == "RetryAttemptsExhausted"
    assert "DDBStreamBatchInfo" in message["body"]


def _mails(mailbox: Path, recipient: str) -> Iterator[Any]:
    for path in sorted(mailbox.glob("*.eml")):
        mail = message_from_bytes(path.read_bytes(), policy=policy.default)
        if mail["To"] == recipient:
            yield mail


def test_notification_arrives_as_the_text_that_sns_sends(account: Account) -> None:
    sns = account.client("sns")
    recipient = f"{unique('approver')}@example.com"
    topic = sns.create_topic(Name=unique("approver"))["TopicArn"]
    subscription = sns.subscribe(TopicArn=topic, Protocol="email", Endpoint=recipient)
    sns.publish(TopicArn=topic, Subject="Version 2 awaits approval", Message="Line 1\nLine 2")
    [mail] = eventually(lambda: list(_mails(account.engine.mailbox, recipient)))
    assert mail["Subject"] == "Version 2 awaits approval"
    assert mail["From"] == "AWS Notifications <no-reply@sns.amazonaws.com>"
    assert mail.get_content_type() == "text/plain"
    assert mail.get_content() == (
        "Line 1\nLine 2\n\n--\nIf you wish to stop receiving notifications from this topic, "
        "please click or visit the link below to unsubscribe:\n"
        "https://sns.us-east-1.amazonaws.com/unsubscribe.html?"
        f"SubscriptionArn={subscription['SubscriptionArn']}&Endpoint={recipient}\n\n"
        "Please do not reply directly to this email. If you have any questions or comments "
        "regarding this email, please contact us at https://aws.amazon.com/support\n"
    )


@pytest.mark.parametrize("subject", ["two\nlines", "x" * 101, "größer", " leading"])
def test_subject_that_sns_refuses_is_refused(account: Account, subject: str) -> None:
    sns = account.client("sns")
    topic = sns.create_topic(Name=unique("topic"))["TopicArn"]
    with pytest.raises(sns.exceptions.InvalidParameterException, match="Subject"):
        sns.publish(TopicArn=topic, Subject=subject, Message="m")


def test_mail_waits_for_the_confirmation_of_its_subscription(tmp_path: Path) -> None:
    engine = embedded.start(tmp_path, confirm_mail=False)
    try:
        with Account(engine) as account:
            sns = account.client("sns")
            recipient = "owner@example.com"
            topic = sns.create_topic(Name="owner")["TopicArn"]
            made = sns.subscribe(TopicArn=topic, Protocol="email", Endpoint=recipient)
            assert made["SubscriptionArn"] == "pending confirmation"
            [listed] = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
            assert listed["SubscriptionArn"] == "PendingConfirmation"
            sns.publish(TopicArn=topic, Message="too early")
            [mail] = list(_mails(engine.mailbox, recipient))
            assert mail["Subject"] == "AWS Notification - Subscription Confirmation"
            [link] = re.findall(r"http://\S+", mail.get_content())
            with urllib.request.urlopen(link) as answer:
                assert answer.status == 200
            [listed] = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
            assert listed["SubscriptionArn"].startswith(topic)
            sns.publish(TopicArn=topic, Message="now")
            mails = eventually(lambda: list(_mails(engine.mailbox, recipient))[1:])
            assert mails[0].get_content().startswith("now\n")
    finally:
        embedded.stop(tmp_path)


def test_bucket_that_asks_for_tls_is_usable_on_loopback(account: Account) -> None:
    bucket = _bucket(account)
    statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    s3 = account.client("s3")
    s3.put_bucket_policy(
        Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    )
    _, keys = account.user(_allow("s3:PutObject", f"arn:aws:s3:::{bucket}/*"))
    account.client("s3", keys).put_object(Bucket=bucket, Key="a", Body=b"b")
    assert _objects(account, bucket) == ["a"]


def test_anonymous_request_cannot_read_a_bucket(account: Account) -> None:
    bucket = _bucket(account)
    account.client("s3").put_object(Bucket=bucket, Key="a", Body=b"b")
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(f"{account.engine.endpoint}/{bucket}/a")
