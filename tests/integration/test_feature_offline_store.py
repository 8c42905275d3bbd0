"""The offline store of the embedded Feature Store: Parquet below the group's prefix."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from steward_local import engine as embedded
from support.embedded import Account, eventually
from support.laboratory import Laboratory, allow, trust

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def lab(account: Account) -> Laboratory:
    return Laboratory(account)


@pytest.fixture(scope="module")
def runtime(lab: Laboratory) -> Any:
    return lab.account.client("sagemaker-featurestore-runtime")


def put(runtime: Any, group: str, entity: str, at: str, **features: Any) -> None:
    record = {"entity": entity, "event_time": at, **features}
    runtime.put_record(
        FeatureGroupName=group,
        Record=[
            {"FeatureName": name, "ValueAsString": str(value)} for name, value in record.items()
        ],
    )


def keys(lab: Laboratory, group: str) -> list[str]:
    described = lab.sagemaker.describe_feature_group(FeatureGroupName=group)
    uri = described["OfflineStoreConfig"]["S3StorageConfig"]["ResolvedOutputS3Uri"]
    prefix = uri.removeprefix(f"s3://{lab.bucket}/")
    found = lab.s3.list_objects_v2(Bucket=lab.bucket, Prefix=prefix)
    return [item["Key"] for item in found.get("Contents", [])]


def written(lab: Laboratory, group: str, count: int = 1) -> list[str]:
    """The keys of the group's files once there are `count` of them."""

    def read() -> list[str] | None:
        found = keys(lab, group)
        return found if len(found) >= count else None

    return eventually(read, what="the offline store")


def rows(lab: Laboratory, found: list[str], folder: Path) -> list[dict[str, Any]]:
    for number, key in enumerate(found):
        body = lab.s3.get_object(Bucket=lab.bucket, Key=key)["Body"].read()
        (folder / f"{number}.parquet").write_bytes(body)
    with duckdb.connect() as connection:
        result = connection.execute(
            f"SELECT * FROM read_parquet('{folder}/*.parquet', union_by_name = true) "
            "ORDER BY event_time, api_invocation_time"
        )
        names = [column[0] for column in result.description or []]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def test_every_put_and_deletion_is_appended_by_event_hour(
    lab: Laboratory, runtime: Any, tmp_path: Path
) -> None:
    group = lab.feature_group()
    before = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
    put(runtime, group, "p", "2026-01-02T10:00:00.250Z", age=41, glucose=5.25, ward="Ä 'b'")
    put(runtime, group, "p", "2026-01-02T09:30:00Z", age=40)
    runtime.delete_record(
        FeatureGroupName=group,
        RecordIdentifierValueAsString="p",
        EventTime="2026-01-02T10:30:00Z",
    )
    assert keys(lab, group) == []
    found = written(lab, group, 2)
    folders = [key.rsplit("/data/", 1)[1] for key in found]
    assert [name.rsplit("/", 1)[0] for name in folders] == [
        "year=2026/month=01/day=02/hour=09",
        "year=2026/month=01/day=02/hour=10",
    ]
    # The name says the newest event time in the file.
    assert folders[1].rsplit("/", 1)[1].startswith("20260102T103000Z_")
    older, first, deletion = rows(lab, found, tmp_path)
    assert (older["age"], older["glucose"], older["ward"]) == (40, None, None)
    assert (first["entity"], first["age"], first["glucose"]) == ("p", 41, 5.25)
    assert first["event_time"] == "2026-01-02T10:00:00.250Z"
    assert first["ward"] == "Ä 'b'"
    assert [row["is_deleted"] for row in (older, first, deletion)] == [False, False, True]
    assert deletion["age"] is None
    for row in (older, first, deletion):
        assert before <= row["api_invocation_time"] <= row["write_time"]


def test_history_is_written_although_the_online_store_keeps_the_newest(
    lab: Laboratory, runtime: Any, tmp_path: Path
) -> None:
    group = lab.feature_group()
    put(runtime, group, "p", "2026-01-02T10:00:00Z", age=2)
    put(runtime, group, "p", "2026-01-02T10:00:00Z", age=3)
    put(runtime, group, "p", "2026-01-01T10:00:00Z", age=1)
    answer = runtime.get_record(
        FeatureGroupName=group, RecordIdentifierValueAsString="p", FeatureNames=["age"]
    )
    assert answer["Record"] == [{"FeatureName": "age", "ValueAsString": "2"}]
    found = written(lab, group, 2)
    assert [row["age"] for row in rows(lab, found, tmp_path)] == [1, 2, 3]


def test_store_can_be_chosen_and_an_added_feature_becomes_a_column(
    lab: Laboratory, runtime: Any, tmp_path: Path
) -> None:
    group = lab.feature_group()
    lab.sagemaker.update_feature_group(
        FeatureGroupName=group,
        FeatureAdditions=[{"FeatureName": "pulse", "FeatureType": "Integral"}],
    )
    eventually(
        lambda: (
            lab.sagemaker.describe_feature_group(FeatureGroupName=group)["LastUpdateStatus"][
                "Status"
            ]
            == "Successful"
        )
    )
    for store, pulse in (("OnlineStore", "60"), ("OfflineStore", "70")):
        runtime.put_record(
            FeatureGroupName=group,
            Record=[
                {"FeatureName": "entity", "ValueAsString": "p"},
                {"FeatureName": "event_time", "ValueAsString": "2026-01-01T00:00:00Z"},
                {"FeatureName": "pulse", "ValueAsString": pulse},
            ],
            TargetStores=[store],
        )
    answer = runtime.get_record(
        FeatureGroupName=group, RecordIdentifierValueAsString="p", FeatureNames=["pulse"]
    )
    assert answer["Record"][0]["ValueAsString"] == "60"
    found = written(lab, group)
    assert [row["pulse"] for row in rows(lab, found, tmp_path)] == [70]


def test_group_without_an_online_store_is_written_but_not_read(
    lab: Laboratory, runtime: Any, tmp_path: Path
) -> None:
    group = lab.feature_group(OnlineStoreConfig={})
    put(runtime, group, "p", "2026-01-01T00:00:00Z", age=1)
    with pytest.raises(runtime.exceptions.ValidationError, match="no online store"):
        runtime.get_record(FeatureGroupName=group, RecordIdentifierValueAsString="p")
    found = written(lab, group)
    assert [row["age"] for row in rows(lab, found, tmp_path)] == [1]


def test_what_a_role_may_not_write_waits_until_it_may(lab: Laboratory, runtime: Any) -> None:
    name, role = lab.account.role([allow("s3:*")], trust("sagemaker"))
    group = lab.feature_group(RoleArn=role)
    iam = lab.account.client("iam")
    iam.delete_role_policy(RoleName=name, PolicyName="own")
    put(runtime, group, "p", "2026-01-01T00:00:00Z", age=1)
    time.sleep(2)
    assert keys(lab, group) == []
    policy = {"Version": "2012-10-17", "Statement": [allow("s3:PutObject")]}
    iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=json.dumps(policy))
    assert len(written(lab, group)) == 1


def test_deleting_a_group_keeps_and_completes_its_offline_store(
    lab: Laboratory, runtime: Any, tmp_path: Path
) -> None:
    group = lab.feature_group()
    described = lab.sagemaker.describe_feature_group(FeatureGroupName=group)
    put(runtime, group, "p", "2026-01-01T00:00:00Z", age=1)
    lab.sagemaker.delete_feature_group(FeatureGroupName=group)
    uri = described["OfflineStoreConfig"]["S3StorageConfig"]["ResolvedOutputS3Uri"]

    def last() -> list[str]:
        prefix = uri.removeprefix(f"s3://{lab.bucket}/")
        found = lab.s3.list_objects_v2(Bucket=lab.bucket, Prefix=prefix)
        return [item["Key"] for item in found.get("Contents", [])]

    assert len(rows(lab, eventually(last, what="the last records"), tmp_path)) == 1


def test_bucket_that_is_not_there_fails_the_group(lab: Laboratory) -> None:
    config = {
        "S3StorageConfig": {"S3Uri": "s3://steward-no-such-bucket/x"},
        "DisableGlueTableCreation": True,
    }
    request = lab.feature_group_request(OfflineStoreConfig=config)
    lab.sagemaker.create_feature_group(**request)
    group = lab.feature_group_settled(request["FeatureGroupName"])
    assert group["FeatureGroupStatus"] == "CreateFailed"
    assert "steward-no-such-bucket" in group["FailureReason"]


def test_table_in_the_data_catalog_needs_the_role_to_have_glue(lab: Laboratory) -> None:
    config = {"S3StorageConfig": {"S3Uri": f"s3://{lab.bucket}/catalog"}}
    request = lab.feature_group_request(
        OfflineStoreConfig=config, RoleArn=lab.job_role(allow("s3:*"))
    )
    lab.sagemaker.create_feature_group(**request)
    failed = lab.feature_group_settled(request["FeatureGroupName"])
    assert failed["FeatureGroupStatus"] == "CreateFailed"
    assert "glue:" in failed["FailureReason"]
    group = lab.feature_group(
        OfflineStoreConfig=config, RoleArn=lab.job_role(allow("s3:*"), allow("glue:*"))
    )
    described = lab.sagemaker.describe_feature_group(FeatureGroupName=group)
    names = described["OfflineStoreConfig"]["DataCatalogConfig"]
    assert names["Database"] == "sagemaker_featurestore"
    table = lab.account.client("glue").get_table(
        DatabaseName=names["Database"], Name=names["TableName"]
    )["Table"]
    columns = {item["Name"]: item["Type"] for item in table["StorageDescriptor"]["Columns"]}
    assert columns["glucose"] == "double"
    assert columns["write_time"] == "timestamp"
    assert [item["Name"] for item in table["PartitionKeys"]] == ["year", "month", "day", "hour"]
    location = described["OfflineStoreConfig"]["S3StorageConfig"]["ResolvedOutputS3Uri"]
    assert table["StorageDescriptor"]["Location"] == location


def test_nothing_of_the_feature_store_outlives_the_engine(tmp_path: Path) -> None:
    running = embedded.start(tmp_path, time_scale=100)
    try:
        with Account(running) as account:
            lab = Laboratory(account)
            group = lab.feature_group()
            put(
                account.client("sagemaker-featurestore-runtime"),
                group,
                "p",
                "2026-01-01T00:00:00Z",
                age=1,
            )
    finally:
        embedded.stop(tmp_path)
    assert not (tmp_path / "tmp").exists()
    assert not list(tmp_path.rglob("*.parquet"))
    assert "Traceback" not in (tmp_path / "engine.log").read_text()
    again = embedded.start(tmp_path, time_scale=100)
    try:
        with Account(again) as account:
            assert account.client("sagemaker").list_feature_groups()["FeatureGroupSummaries"] == []
    finally:
        embedded.stop(tmp_path)
