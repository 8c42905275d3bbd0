"""The embedded Athena: queries over Parquet in S3 with the rights of the caller."""

from pathlib import Path
from typing import Any

import duckdb
import pytest
from botocore.exceptions import ClientError

from support.embedded import Account, Keys, eventually, unique
from support.laboratory import allow
from support.warehouse import LONG, Warehouse

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def warehouse(account: Account, tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    return Warehouse(account, tmp_path_factory.mktemp("warehouse"))


def test_select_answers_in_athenas_words_and_leaves_its_csv(warehouse: Warehouse) -> None:
    query = "SELECT entity, event_time_, glucose, age, ok, added_later FROM features ORDER BY 1, 2"
    assert warehouse.rows(query) == [
        ["p1", "2026-01-01 10:00:00.000", "1.500000000", "41", "true", None],
        ["p1", "2026-01-02 10:00:00.250", "2.500000000", "42", "false", None],
        ["p2", "2026-01-01 12:00:00.000", None, None, None, None],
    ]
    execution = warehouse.succeed(query)
    location = execution["ResultConfiguration"]["OutputLocation"]
    assert location == f"{warehouse.results}{execution['QueryExecutionId']}.csv"
    lines = warehouse.lab.get(location).decode().splitlines()
    assert lines[0] == '"entity","event_time_","glucose","age","ok","added_later"'
    assert lines[3] == '"p2","2026-01-01 12:00:00.000",,,,'
    assert execution["StatementType"] == "DML"
    assert execution["Statistics"]["DataScannedInBytes"] > 0


def test_trinos_functions_and_names_are_understood(warehouse: Warehouse) -> None:
    (row,) = warehouse.rows(
        f"""
        WITH ranked AS (
            SELECT f.*, row_number() OVER (PARTITION BY entity ORDER BY event_time_ DESC) AS place
            FROM "awsdatacatalog"."{warehouse.database}"."features" f
        )
        SELECT entity, max_by(age, event_time_), date_diff('day', TIMESTAMP '2026-01-01 00:00:00',
               max(event_time_)), approx_distinct(entity), arbitrary(coalesce(ok, true))
        FROM ranked WHERE place = 1 AND entity = 'p1' GROUP BY entity
        """
    )
    assert row == ["p1", "42", "1", "1", "false"]
    assert warehouse.rows(
        f"SELECT {warehouse.database}.features.age FROM {warehouse.database}.features "
        "WHERE features.age IS NOT NULL ORDER BY 1"
    ) == [["41"], ["42"]]


def test_unload_writes_parquet_below_an_empty_prefix(warehouse: Warehouse, tmp_path: Path) -> None:
    target = f"s3://{warehouse.lab.bucket}/{unique('unloaded')}/"
    query = (
        f"UNLOAD (SELECT entity, event_time_, glucose, ')' AS odd FROM features ORDER BY 1, 2) "
        f"TO '{target}' WITH (format = 'PARQUET', compression = 'SNAPPY')"
    )
    execution = warehouse.succeed(query)
    manifest = execution["Statistics"]["DataManifestLocation"]
    assert manifest == f"{warehouse.results}{execution['QueryExecutionId']}-manifest.csv"
    files = warehouse.lab.get(manifest).decode().splitlines()
    # Athena writes in parallel: whoever reads takes all files below the prefix.
    assert len(files) == 2
    assert all(uri.startswith(target) for uri in files)
    for number, uri in enumerate(files):
        (tmp_path / f"{number}.parquet").write_bytes(warehouse.lab.get(uri))
    with duckdb.connect() as connection:
        read = connection.sql(f"FROM '{tmp_path}/*.parquet' ORDER BY 1, 2")
        assert [str(kind) for kind in read.types[1:3]] == ["TIMESTAMP", "DECIMAL(38,9)"]
        assert [(row[0], row[3]) for row in read.fetchall()] == [("p1", ")")] * 2 + [("p2", ")")]
    assert "must be empty" in warehouse.failure(query)
    empty = query.replace(target, f"{target}none/").replace(
        "FROM features", "FROM features WHERE false"
    )
    none = warehouse.succeed(empty)
    assert warehouse.lab.get(none["Statistics"]["DataManifestLocation"]) == b""


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("SELEC 1", "Invalid expression"),
        ("SELECT 1; SELECT 2", "Only one sql statement"),
        ("DELETE FROM features", "not supported"),
        ("CREATE TABLE t WITH (format = 'PARQUET') AS SELECT 1 AS a", "not supported"),
        ("UNLOAD (SELECT 1 AS a) TO 's3://x/y/'", "UNLOAD needs"),
        ("UNLOAD (SELECT 1 AS a) TO 's3://x/y/' WITH (format = 'ORC')", "PARQUET"),
        ("UNLOAD (SELECT 1 AS a) TO '/tmp/y/' WITH (format = 'PARQUET')", "s3://"),
        ("UNLOAD (SELECT 1 AS a", "EOF"),
    ],
)
def test_statement_that_is_not_taken_is_malformed(
    warehouse: Warehouse, query: str, words: str
) -> None:
    with pytest.raises(ClientError) as error:
        warehouse.start(query)
    answer = error.value.response
    assert answer["Error"]["Code"] == "InvalidRequestException"
    assert words in answer["Error"]["Message"]
    assert answer["AthenaErrorCode"] == "MALFORMED_QUERY"


def test_request_without_an_output_or_with_an_unknown_workgroup_is_refused(
    warehouse: Warehouse,
) -> None:
    wrong: tuple[tuple[dict[str, Any], str], ...] = (
        ({"ResultConfiguration": {}}, "No output location"),
        ({"WorkGroup": "nobody"}, "WorkGroup nobody is not found"),
        ({"ExecutionParameters": ["1"]}, "execution parameters"),
        ({"QueryString": "x" * 262_145}, "262144"),
    )
    for options, words in wrong:
        with pytest.raises(ClientError) as error:
            warehouse.start("SELECT 1", **options)
        assert words in error.value.response["Error"]["Message"]


def test_query_that_fails_says_why(warehouse: Warehouse) -> None:
    assert "TABLE_NOT_FOUND" in warehouse.failure("SELECT * FROM nothing")
    assert "shoe" in warehouse.failure("SELECT shoe FROM features")


def test_query_sees_no_file_of_the_machine(warehouse: Warehouse, tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("a\n1\n")
    with pytest.raises(ClientError, match="not registered"):
        warehouse.start(f"SELECT * FROM read_csv('{secret}')")
    assert "TABLE_NOT_FOUND" in warehouse.failure(f'SELECT * FROM "{secret}"')


def caller(warehouse: Warehouse, *without: str) -> Keys:
    """A user with all that a query needs, except some actions."""
    bucket = f"arn:aws:s3:::{warehouse.lab.bucket}"
    wanted = {
        "athena:StartQueryExecution": "arn:aws:athena:*:*:workgroup/primary",
        "glue:GetTable": "*",
        "s3:GetBucketLocation": bucket,
        "s3:ListBucket": bucket,
        "s3:GetObject": f"{bucket}/features/*",
        "s3:PutObject": f"{bucket}/results/*",
    }
    statements = [
        allow(action, resource=resource)
        for action, resource in wanted.items()
        if action not in without
    ]
    return warehouse.account.user(statements)[1]


def test_caller_needs_the_table_the_objects_and_the_place_of_the_result(
    warehouse: Warehouse,
) -> None:
    query = "SELECT count(*) FROM features"
    assert warehouse.rows(query, caller(warehouse)) == [["3"]]
    for missing in ("glue:GetTable", "s3:ListBucket", "s3:GetObject", "s3:PutObject"):
        assert missing in warehouse.failure(query, caller(warehouse, missing))
    assert "s3:GetBucketLocation" in warehouse.failure(
        query, caller(warehouse, "s3:GetBucketLocation")
    )
    with pytest.raises(ClientError) as error:
        warehouse.start(query, caller(warehouse, "athena:StartQueryExecution"))
    assert error.value.response["Error"]["Code"] == "AccessDeniedException"
    unload = (
        f"UNLOAD (SELECT 1 AS a) TO 's3://{warehouse.lab.bucket}/elsewhere/' "
        "WITH (format = 'PARQUET')"
    )
    assert "s3:PutObject" in warehouse.failure(unload, caller(warehouse))
    create = f"CREATE EXTERNAL TABLE t (a int) STORED AS PARQUET LOCATION '{warehouse.results}'"
    assert "glue:CreateTable" in warehouse.failure(create, caller(warehouse))


def test_query_is_seen_by_who_may_see_its_workgroup(warehouse: Warehouse) -> None:
    query_id = warehouse.succeed("SELECT 1")["QueryExecutionId"]
    group = "arn:aws:athena:us-east-1:000000000000:workgroup"
    for name, allowed in (("primary", True), ("other", False)):
        _, keys = warehouse.account.user(
            [allow("athena:GetQueryExecution", resource=f"{group}/{name}")]
        )
        client = warehouse.account.client("athena", keys)
        if allowed:
            client.get_query_execution(QueryExecutionId=query_id)
            continue
        with pytest.raises(ClientError) as error:
            client.get_query_execution(QueryExecutionId=query_id)
        assert error.value.response["Error"]["Code"] == "AccessDeniedException"


def test_stopped_query_is_cancelled(warehouse: Warehouse) -> None:
    query_id = warehouse.start(LONG)
    eventually(lambda: warehouse.state(query_id) == "RUNNING")
    warehouse.athena.stop_query_execution(QueryExecutionId=query_id)
    assert warehouse.ended(query_id)["Status"]["State"] == "CANCELLED"


def test_offline_store_of_a_feature_group_is_a_table(warehouse: Warehouse) -> None:
    lab = warehouse.lab
    config = {
        "S3StorageConfig": {"S3Uri": f"s3://{lab.bucket}/offline"},
        "DataCatalogConfig": {
            "TableName": unique("patients").replace("-", "_"),
            "Catalog": "AwsDataCatalog",
            "Database": warehouse.database,
        },
    }
    group = lab.feature_group(
        OfflineStoreConfig=config, RoleArn=lab.job_role(allow("s3:*", "glue:*"))
    )
    runtime = lab.account.client("sagemaker-featurestore-runtime")
    for hour, age in (("09", "40"), ("10", "41")):
        runtime.put_record(
            FeatureGroupName=group,
            Record=[
                {"FeatureName": "entity", "ValueAsString": "p"},
                {"FeatureName": "event_time", "ValueAsString": f"2026-01-02T{hour}:00:00Z"},
                {"FeatureName": "age", "ValueAsString": age},
            ],
        )
    table = config["DataCatalogConfig"]["TableName"]
    query = f"SELECT age, hour, is_deleted FROM {table} ORDER BY event_time DESC"
    assert eventually(
        lambda: found if len(found := warehouse.rows(query)) == 2 else None, what="the table"
    ) == [["41", "10", "false"], ["40", "09", "false"]]
