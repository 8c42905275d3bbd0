"""A database of the Data Catalog over Parquet in an embedded AWS, and queries on it."""

from pathlib import Path
from typing import Any

import duckdb

from support.embedded import Account, Keys, eventually, unique
from support.laboratory import Laboratory

# Runs until it is stopped.
LONG = "SELECT count(*) FROM UNNEST(sequence(1, 100000)) a(x), UNNEST(sequence(1, 1000000)) b(y)"
_ROWS = """
    SELECT * FROM (VALUES
        ('p1', TIMESTAMP '2026-01-01 10:00:00', CAST(1.5 AS DECIMAL(38,9)), 41, true),
        ('p1', TIMESTAMP '2026-01-02 10:00:00.25', CAST(2.5 AS DECIMAL(38,9)), 42, false),
        ('p2', TIMESTAMP '2026-01-01 12:00:00', NULL, NULL, NULL)
    ) AS t(entity, event_time_, glucose, age, ok)
"""
_COLUMNS = """entity string, event_time_ timestamp, glucose decimal(38,9), age bigint,
    ok boolean, added_later string"""


class Warehouse:
    """A database with one table over Parquet files of one bucket."""

    def __init__(self, account: Account, folder: Path) -> None:
        self.account = account
        self.lab = Laboratory(account)
        self.athena = account.client("athena")
        self.database = unique("warehouse").replace("-", "_")
        self.results = f"s3://{self.lab.bucket}/results/"
        account.client("glue").create_database(DatabaseInput={"Name": self.database})
        file = folder / "rows.parquet"
        with duckdb.connect() as connection:
            connection.sql(_ROWS).write_parquet(str(file))
        self.lab.put("features/v1/a/part.parquet", file.read_bytes())
        self.lab.put("features/v1/_ignored.parquet", b"not parquet")
        self.succeed(
            f"CREATE EXTERNAL TABLE features ({_COLUMNS}) STORED AS PARQUET "
            f"LOCATION 's3://{self.lab.bucket}/features/v1/'"
        )

    def start(self, query: str, keys: Keys | None = None, **options: Any) -> str:
        """Start a query; returns its id."""
        request = {
            "QueryString": query,
            "QueryExecutionContext": {"Database": self.database},
            "ResultConfiguration": {"OutputLocation": self.results},
            **options,
        }
        client = self.account.client("athena", keys)
        query_id: str = client.start_query_execution(**request)["QueryExecutionId"]
        return query_id

    def state(self, query_id: str) -> str:
        """The state of a query now."""
        found = self.athena.get_query_execution(QueryExecutionId=query_id)["QueryExecution"]
        return str(found["Status"]["State"])

    def ended(self, query_id: str) -> Any:
        """The execution once it has ended."""

        def read() -> Any:
            found = self.athena.get_query_execution(QueryExecutionId=query_id)["QueryExecution"]
            return None if found["Status"]["State"] in {"QUEUED", "RUNNING"} else found

        return eventually(read, what="the end of the query")

    def succeed(self, query: str, keys: Keys | None = None) -> Any:
        """Run a query that must succeed; returns its execution."""
        execution = self.ended(self.start(query, keys))
        assert execution["Status"]["State"] == "SUCCEEDED", execution["Status"]
        return execution

    def rows(self, query: str, keys: Keys | None = None) -> list[list[str | None]]:
        """The rows of a query, without the header."""
        query_id = self.succeed(query, keys)["QueryExecutionId"]
        found = self.athena.get_query_results(QueryExecutionId=query_id)["ResultSet"]["Rows"]
        return [[item.get("VarCharValue") for item in row["Data"]] for row in found[1:]]

    def failure(self, query: str, keys: Keys | None = None) -> str:
        """Why a query failed."""
        status = self.ended(self.start(query, keys))["Status"]
        assert status["State"] == "FAILED", status
        reason: str = status["StateChangeReason"]
        return reason
