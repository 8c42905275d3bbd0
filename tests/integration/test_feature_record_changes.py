"""Newer operations on records of the embedded Feature Store: update, list, write in batches."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from support.embedded import Account
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


@pytest.fixture(scope="module")
def updatable(lab: Laboratory) -> str:
    config = {"EnableOnlineStore": True, "StorageType": "Standard_V2"}
    return lab.feature_group(OnlineStoreConfig=config, OfflineStoreConfig=None)


def update(runtime: Any, group: str, entity: str, /, **features: Any) -> None:
    runtime.update_record(
        FeatureGroupName=group,
        RecordIdentifierValueAsString=entity,
        Features=values(**features),
    )


def test_update_changes_some_features_under_an_equal_event_time_too(
    runtime: Any, updatable: str
) -> None:
    put(runtime, updatable, "u", "2026-01-02T00:00:00Z", age=1, ward="A")
    update(runtime, updatable, "u", age=2)
    assert read(runtime, updatable, "u", FeatureNames=["age", "ward"]) == {"age": "2", "ward": "A"}
    update(runtime, updatable, "u", age=3, event_time="2026-01-02T00:00:00Z")
    assert read(runtime, updatable, "u", FeatureNames=["age"]) == {"age": "3"}
    with pytest.raises(ClientError) as error:
        update(runtime, updatable, "u", age=4, event_time="2026-01-01T00:00:00Z")
    assert refusal(error)[::2] == ("ConflictException", 409)
    update(runtime, updatable, "u", event_time="2026-01-03T00:00:00Z")
    assert read(runtime, updatable, "u")["event_time"] == "2026-01-03T00:00:00Z"
    assert read(runtime, updatable, "u")["age"] == "3"


def test_update_needs_a_record_and_the_newer_storage_type(
    runtime: Any, group: str, updatable: str
) -> None:
    with pytest.raises(ClientError) as error:
        update(runtime, updatable, "nobody", age=1)
    assert refusal(error)[::2] == ("ResourceNotFound", 404)
    put(runtime, updatable, "gone", "2026-01-01T00:00:00Z", age=1)
    runtime.delete_record(
        FeatureGroupName=updatable,
        RecordIdentifierValueAsString="gone",
        EventTime="2026-01-02T00:00:00Z",
    )
    with pytest.raises(ClientError) as error:
        update(runtime, updatable, "gone", age=1)
    assert refusal(error)[0] == "ResourceNotFound"
    put(runtime, group, "plain", "2026-01-01T00:00:00Z", age=1)
    with pytest.raises(ClientError) as error:
        update(runtime, group, "plain", age=1)
    assert "Standard_V2" in refusal(error)[1]
    put(runtime, updatable, "kept", "2026-01-01T00:00:00Z", age=1)
    with pytest.raises(ClientError) as error:
        update(runtime, updatable, "kept", entity="other")
    assert "cannot be changed" in refusal(error)[1]
    with pytest.raises(ClientError) as error:
        runtime.update_record(
            FeatureGroupName=updatable,
            RecordIdentifierValueAsString="kept",
            Features=values(age=1),
            TtlDuration={"Unit": "Days", "Value": 1},
        )
    assert "EventTime" in refusal(error)[1]


def test_records_are_listed_by_page_with_soft_deleted_ones_on_request(
    lab: Laboratory, runtime: Any
) -> None:
    name = lab.feature_group(OfflineStoreConfig=None)
    for entity in ("a", "b", "c"):
        put(runtime, name, entity, "2026-01-01T00:00:00Z")
    runtime.delete_record(
        FeatureGroupName=name, RecordIdentifierValueAsString="b", EventTime="2026-01-02T00:00:00Z"
    )
    assert runtime.list_records(FeatureGroupName=name)["RecordIdentifiers"] == ["a", "c"]
    first = runtime.list_records(
        FeatureGroupName=name, MaxResults=2, IncludeSoftDeletedRecords=True
    )
    assert first["RecordIdentifiers"] == ["a", "b"]
    rest = runtime.list_records(
        FeatureGroupName=name, NextToken=first["NextToken"], IncludeSoftDeletedRecords=True
    )
    assert rest["RecordIdentifiers"] == ["c"]
    assert "NextToken" not in rest


def test_batch_writes_each_entry_and_names_what_failed(
    lab: Laboratory, runtime: Any, group: str, updatable: str
) -> None:
    def entry(name: str, **features: Any) -> dict[str, Any]:
        record = values(entity="w", event_time="2026-01-01T00:00:00Z", **features)
        return {"FeatureGroupName": name, "Record": record}

    wrong = entry(group, age="x")
    answer = runtime.batch_write_record(
        Entries=[entry(group, age=7), entry(updatable, age=8), wrong]
    )
    assert answer["UnprocessedEntries"] == []
    (failed,) = answer["Errors"]
    assert failed["Entry"] == wrong
    assert failed["ErrorCode"] == "ValidationError"
    assert read(runtime, group, "w")["age"] == "7"
    assert read(runtime, updatable, "w")["age"] == "8"
    arn = lab.sagemaker.describe_feature_group(FeatureGroupName=group)["FeatureGroupArn"]
    _, keys = lab.account.user([allow("sagemaker:BatchWriteRecord", resource=arn)])
    caller = lab.account.client("sagemaker-featurestore-runtime", keys)
    caller.batch_write_record(Entries=[entry(group)])
    with pytest.raises(ClientError) as error:
        caller.batch_write_record(Entries=[entry(group), entry(updatable)])
    assert refusal(error)[0] == "AccessDeniedException"
