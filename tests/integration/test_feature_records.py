"""Records of the embedded Feature Store: the online store through its own client."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from support.embedded import Account, eventually
from support.feature_records import put, read, refusal, values
from support.laboratory import Laboratory, allow

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def lab(account: Account) -> Laboratory:
    return Laboratory(account)


@pytest.fixture(scope="module")
def group(lab: Laboratory) -> str:
    return lab.feature_group(OfflineStoreConfig=None)


@pytest.fixture(scope="module")
def runtime(lab: Laboratory) -> Any:
    return lab.account.client("sagemaker-featurestore-runtime")


def test_record_is_read_back_whole_or_by_feature_and_by_arn(
    lab: Laboratory, runtime: Any, group: str
) -> None:
    put(runtime, group, "p/1 ü", "2026-01-01T00:00:00Z", age=41, glucose="5.30")
    whole = {"entity": "p/1 ü", "event_time": "2026-01-01T00:00:00Z", "age": "41"}
    assert read(runtime, group, "p/1 ü") == {**whole, "glucose": "5.30"}
    assert read(runtime, group, "p/1 ü", FeatureNames=["age", "glucose"]) == {
        "age": "41",
        "glucose": "5.30",
    }
    arn = lab.sagemaker.describe_feature_group(FeatureGroupName=group)["FeatureGroupArn"]
    assert read(runtime, arn, "p/1 ü", FeatureNames=["age"]) == {"age": "41"}
    assert read(runtime, group, "nobody") == {}


def test_put_replaces_the_whole_record(runtime: Any, group: str) -> None:
    put(runtime, group, "whole", "2026-01-01T00:00:00Z", age=1, ward="A")
    put(runtime, group, "whole", "2026-01-02T00:00:00Z", age=2)
    assert read(runtime, group, "whole", FeatureNames=["age", "ward"]) == {"age": "2"}


def test_older_and_equal_event_times_do_not_replace_a_record(runtime: Any, group: str) -> None:
    put(runtime, group, "order", "2026-01-02T00:00:00.500Z", age=2)
    put(runtime, group, "order", "2026-01-02T00:00:00Z", age=1)
    put(runtime, group, "order", "2026-01-02T00:00:00.500Z", age=3)
    assert read(runtime, group, "order")["age"] == "2"
    put(runtime, group, "order", "2026-01-02T00:00:00.501Z", age=4)
    assert read(runtime, group, "order")["age"] == "4"


def test_soft_deletion_hides_until_a_newer_record_comes(runtime: Any, group: str) -> None:
    put(runtime, group, "soft", "2026-01-02T00:00:00Z", age=1)
    about = {"FeatureGroupName": group, "RecordIdentifierValueAsString": "soft"}
    runtime.delete_record(**about, EventTime="2026-01-02T00:00:00Z")
    assert read(runtime, group, "soft")["age"] == "1"
    runtime.delete_record(**about, EventTime="2026-01-03T00:00:00Z")
    assert read(runtime, group, "soft") == {}
    put(runtime, group, "soft", "2026-01-02T12:00:00Z", age=2)
    assert read(runtime, group, "soft") == {}
    put(runtime, group, "soft", "2026-01-04T00:00:00Z", age=3)
    assert read(runtime, group, "soft")["age"] == "3"


def test_hard_deletion_forgets_the_event_time(runtime: Any, group: str) -> None:
    put(runtime, group, "hard", "2026-01-02T00:00:00Z", age=1)
    about = {
        "FeatureGroupName": group,
        "RecordIdentifierValueAsString": "hard",
        "DeletionMode": "HardDelete",
    }
    with pytest.raises(ClientError) as error:
        runtime.delete_record(**about, EventTime="2026-01-02T00:00:00Z")
    assert refusal(error)[0] == "ValidationError"
    runtime.delete_record(**about, EventTime="2026-01-03T00:00:00Z")
    assert read(runtime, group, "hard") == {}
    put(runtime, group, "hard", "2026-01-02T00:00:00Z", age=2)
    assert read(runtime, group, "hard")["age"] == "2"


def test_record_expires_at_event_time_plus_ttl(lab: Laboratory, runtime: Any) -> None:
    ttl = {"Unit": "Hours", "Value": 1}
    group = lab.feature_group(
        OfflineStoreConfig=None,
        OnlineStoreConfig={"EnableOnlineStore": True, "TtlDuration": ttl},
    )
    now = datetime.now(UTC).replace(microsecond=0)
    almost = (now - timedelta(hours=1) + timedelta(seconds=5)).strftime("%Y-%m-%dT%H:%M:%SZ")
    put(runtime, group, "brief", almost, age=1)
    answer = runtime.get_record(
        FeatureGroupName=group,
        RecordIdentifierValueAsString="brief",
        ExpirationTimeResponse="Enabled",
    )
    expected = (now + timedelta(seconds=5)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert answer["ExpiresAt"] == expected
    assert "ExpiresAt" not in runtime.get_record(
        FeatureGroupName=group, RecordIdentifierValueAsString="brief"
    )
    eventually(lambda: read(runtime, group, "brief") == {}, what="the expiry")
    # A record's own duration wins over the group's.
    runtime.put_record(
        FeatureGroupName=group,
        Record=values(entity="long", event_time="2020-01-01T00:00:00Z", age=1),
        TtlDuration={"Unit": "Weeks", "Value": 5_000},
    )
    assert read(runtime, group, "long")["age"] == "1"
    put(runtime, group, "past", "2020-01-01T00:00:00Z", age=1)
    assert read(runtime, group, "past") == {}


def test_fractional_event_time_is_unix_seconds(lab: Laboratory, runtime: Any) -> None:
    request = lab.feature_group_request()
    definitions = [
        {**item, "FeatureType": "Fractional"} if item["FeatureName"] == "event_time" else item
        for item in request["FeatureDefinitions"]
    ]
    group = lab.feature_group(FeatureDefinitions=definitions, OfflineStoreConfig=None)
    put(runtime, group, "p", "1767225600.25", age=1)
    put(runtime, group, "p", "1767225600.125", age=2)
    assert read(runtime, group, "p")["age"] == "1"
    with pytest.raises(ClientError) as error:
        put(runtime, group, "p", "-1", age=1)
    assert "Unix timestamp" in refusal(error)[1]


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({"event_time": "2026-01-01T00:00:00Z"}, "RecordIdentifierFeatureName entity must have"),
        ({"entity": "p"}, "EventTimeFeatureName event_time must have"),
        ({"entity": "p", "event_time": "2026-01-01"}, "ISO-8601"),
        ({"entity": "p", "event_time": "2026-01-01T00:00:00+01:00"}, "ISO-8601"),
        ({"entity": "p", "event_time": "2026-02-30T00:00:00Z"}, "ISO-8601"),
        ({"entity": "p", "event_time": "2026-01-01T00:00:00Z", "age": "4.5"}, "type Integral"),
        ({"entity": "p", "event_time": "2026-01-01T00:00:00Z", "age": 2**63}, "type Integral"),
        ({"entity": "p", "event_time": "2026-01-01T00:00:00Z", "glucose": "x"}, "type Fractional"),
        ({"entity": "p", "event_time": "2026-01-01T00:00:00Z", "shoe": "1"}, "feature shoe"),
        ({"entity": "p" * 2_049, "event_time": "2026-01-01T00:00:00Z"}, "above 2048 bytes"),
        (
            {"entity": "p", "event_time": "2026-01-01T00:00:00Z", "ward": "w" * 358_390},
            "above the maximum",
        ),
    ],
)
def test_record_that_aws_would_refuse_is_refused(
    runtime: Any, group: str, record: dict[str, Any], words: str
) -> None:
    with pytest.raises(ClientError) as error:
        runtime.put_record(FeatureGroupName=group, Record=values(**record))
    code, message, status = refusal(error)
    assert (code, status) == ("ValidationError", 400)
    assert words in message


def test_repeated_feature_unknown_feature_and_absent_store_are_refused(
    runtime: Any, group: str
) -> None:
    twice = values(entity="p", event_time="2026-01-01T00:00:00Z", age=1) + values(age=2)
    with pytest.raises(ClientError) as error:
        runtime.put_record(FeatureGroupName=group, Record=twice)
    assert "more than once" in refusal(error)[1]
    with pytest.raises(ClientError) as error:
        read(runtime, group, "p", FeatureNames=["shoe"])
    assert "shoe" in refusal(error)[1]
    with pytest.raises(ClientError) as error:
        runtime.put_record(
            FeatureGroupName=group,
            Record=values(entity="p", event_time="2026-01-01T00:00:00Z"),
            TargetStores=["OfflineStore"],
        )
    assert "OfflineStore" in refusal(error)[1]


def test_unknown_deleted_and_unfinished_groups_take_no_records(
    lab: Laboratory, runtime: Any
) -> None:
    with pytest.raises(ClientError) as error:
        read(runtime, "nobody", "p")
    assert refusal(error)[::2] == ("ResourceNotFound", 404)
    request = lab.feature_group_request()
    lab.sagemaker.create_feature_group(**request)
    name = request["FeatureGroupName"]
    with pytest.raises(ClientError) as error:
        put(runtime, name, "p", "2026-01-01T00:00:00Z")
    assert refusal(error)[0] == "ValidationError"
    lab.feature_group_settled(name)
    put(runtime, name, "p", "2026-01-01T00:00:00Z")
    lab.sagemaker.delete_feature_group(FeatureGroupName=name)
    with pytest.raises(ClientError) as error:
        read(runtime, name, "p")
    assert refusal(error)[0] == "ResourceNotFound"


def test_batch_reads_several_groups_and_names_what_failed(
    lab: Laboratory, runtime: Any, group: str
) -> None:
    other = lab.feature_group(OfflineStoreConfig=None)
    put(runtime, group, "b1", "2026-01-01T00:00:00Z", age=1)
    put(runtime, group, "b2", "2026-01-01T00:00:00Z", age=2)
    put(runtime, other, "b1", "2026-01-01T00:00:00Z", age=3)
    answer = runtime.batch_get_record(
        Identifiers=[
            {
                "FeatureGroupName": group,
                "RecordIdentifiersValueAsString": ["b1", "absent", "b2"],
                "FeatureNames": ["age"],
            },
            {"FeatureGroupName": other, "RecordIdentifiersValueAsString": ["b1"]},
            {"FeatureGroupName": "nobody", "RecordIdentifiersValueAsString": ["b1"]},
        ]
    )
    found = {
        (item["FeatureGroupName"], item["RecordIdentifierValueAsString"]): [
            value["ValueAsString"] for value in item["Record"] if value["FeatureName"] == "age"
        ]
        for item in answer["Records"]
    }
    assert found == {(group, "b1"): ["1"], (group, "b2"): ["2"], (other, "b1"): ["3"]}
    assert answer["UnprocessedIdentifiers"] == []
    (failed,) = answer["Errors"]
    assert failed["ErrorCode"] == "ResourceNotFound"
    assert failed["FeatureGroupName"] == "nobody"


def test_batch_has_at_most_100_identifiers(runtime: Any, group: str) -> None:
    many = [
        {
            "FeatureGroupName": group,
            "RecordIdentifiersValueAsString": [f"p{number}" for number in range(count)],
        }
        for count in (60, 41)
    ]
    with pytest.raises(ClientError) as error:
        runtime.batch_get_record(Identifiers=many)
    assert refusal(error)[0] == "ValidationError"
    assert "101" in refusal(error)[1]


def test_each_operation_needs_its_permission_on_the_lower_case_arn(lab: Laboratory) -> None:
    name = lab.feature_group(FeatureGroupName=f"Mixed-{lab.bucket}", OfflineStoreConfig=None)
    other = lab.feature_group(OfflineStoreConfig=None)
    arn = f"arn:aws:sagemaker:us-east-1:000000000000:feature-group/{name.lower()}"
    actions = ("PutRecord", "GetRecord", "BatchGetRecord")
    _, keys = lab.account.user(
        [allow(*(f"sagemaker:{action}" for action in actions), resource=arn)]
    )
    runtime = lab.account.client("sagemaker-featurestore-runtime", keys)
    put(runtime, name, "p", "2026-01-01T00:00:00Z", age=1)
    assert read(runtime, name, "p")["age"] == "1"
    asked = {"RecordIdentifiersValueAsString": ["p"]}
    both = [{"FeatureGroupName": name, **asked}, {"FeatureGroupName": other, **asked}]
    assert len(runtime.batch_get_record(Identifiers=both[:1])["Records"]) == 1
    with pytest.raises(ClientError) as error:
        runtime.batch_get_record(Identifiers=both)
    assert refusal(error)[::2] == ("AccessDeniedException", 403)
    assert other in refusal(error)[1]
    with pytest.raises(ClientError) as error:
        runtime.delete_record(
            FeatureGroupName=name,
            RecordIdentifierValueAsString="p",
            EventTime="2026-01-02T00:00:00Z",
        )
    assert refusal(error)[::2] == ("AccessDeniedException", 403)
    assert "sagemaker:DeleteRecord" in refusal(error)[1]
    with pytest.raises(ClientError) as error:
        put(runtime, other, "p", "2026-01-01T00:00:00Z")
    assert refusal(error)[0] == "AccessDeniedException"
    # A policy that spells the name as it was given names another ARN.
    _, spelled = lab.account.user(
        [allow("sagemaker:GetRecord", resource=arn.replace(name.lower(), name))]
    )
    with pytest.raises(ClientError) as error:
        read(lab.account.client("sagemaker-featurestore-runtime", spelled), name, "p")
    assert refusal(error)[0] == "AccessDeniedException"


def test_key_of_the_online_store_is_needed_to_read_it(lab: Laboratory, runtime: Any) -> None:
    key = lab.account.client("kms").create_key()["KeyMetadata"]["Arn"]
    config = {"EnableOnlineStore": True, "SecurityConfig": {"KmsKeyId": key}}
    name = lab.feature_group(OnlineStoreConfig=config, OfflineStoreConfig=None)
    put(runtime, name, "p", "2026-01-01T00:00:00Z", age=1)
    reading = allow("sagemaker:GetRecord")
    _, without = lab.account.user([reading])
    with pytest.raises(ClientError) as error:
        read(lab.account.client("sagemaker-featurestore-runtime", without), name, "p")
    assert "kms:Decrypt" in refusal(error)[1]
    _, holder = lab.account.user([reading, allow("kms:Decrypt", resource=key)])
    reader = lab.account.client("sagemaker-featurestore-runtime", holder)
    assert read(reader, name, "p")["age"] == "1"


def test_read_takes_a_few_milliseconds(runtime: Any, group: str) -> None:
    for number in range(100):
        put(runtime, group, f"fast{number}", "2026-01-01T00:00:00Z", age=number, glucose=1)

    def quickest(call: Any) -> float:
        taken = []
        for _ in range(40):
            started = time.perf_counter()
            call()
            taken.append(time.perf_counter() - started)
        return min(taken)

    identifiers = {
        "FeatureGroupName": group,
        "RecordIdentifiersValueAsString": [f"fast{number}" for number in range(100)],
    }
    one = quickest(lambda: read(runtime, group, "fast1"))
    batch = quickest(lambda: runtime.batch_get_record(Identifiers=[identifiers]))
    assert one < 0.1
    assert batch < 0.25
