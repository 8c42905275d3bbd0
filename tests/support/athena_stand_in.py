"""Runs a planned join's statements on DuckDB, over objects of a fake store."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import sqlglot

from steward.contracts.steps.data import MadeJoin, PlannedJoin
from steward.ports import ObjectStore

_CREATE = re.compile(
    r"CREATE EXTERNAL TABLE IF NOT EXISTS (\w+) \((.*)\) STORED AS PARQUET LOCATION '(.*)'"
)
_UNLOAD = re.compile(r"UNLOAD \((.*)\) TO '(.*)' WITH \(.*\)", re.DOTALL)
_TYPES = {
    "string": "VARCHAR", "bigint": "BIGINT", "double": "DOUBLE", "boolean": "BOOLEAN",
    "timestamp": "TIMESTAMP", "decimal(38,9)": "DECIMAL(38,9)",
}  # fmt: skip


def run(plan: PlannedJoin, objects: ObjectStore, folder: Path, files: int = 2) -> MadeJoin:
    """Make the tables, write the unload's rows as Parquet, as Athena does; of no rows no file."""
    folder.mkdir(exist_ok=True)
    with duckdb.connect() as connection:
        for table in plan.tables:
            found = _CREATE.fullmatch(table.create)
            assert found is not None, table.create
            name, columns, place = found.groups()
            listed = re.findall(r"`(\w+)` ([a-z]+(?:\(\d+,\d+\))?)", columns)
            described = ", ".join(f'"{column}" {_TYPES[type_]}' for column, type_ in listed)
            connection.execute(f"CREATE TABLE {name} ({described})")
            bucket, _, prefix = place.removeprefix("s3://").partition("/")
            for info in objects.list(bucket, prefix):
                objects.download(bucket, info.key, str(folder / "table.parquet"))
                wanted = ", ".join(f'"{column}"' for column, _ in listed)
                connection.execute(
                    f"INSERT INTO {name} SELECT {wanted} FROM '{folder / 'table.parquet'}'"
                )
        unloaded = _UNLOAD.fullmatch(plan.unload.replace("{attempt}", "1"))
        assert unloaded is not None
        query, target = unloaded.groups()
        [rendered] = sqlglot.transpile(query, read="athena", write="duckdb")
        connection.execute(f"CREATE TABLE result AS {rendered}")
        rows = connection.execute("SELECT count(*) FROM result").fetchone()
        assert rows is not None
        for number in range(files if rows[0] else 0):
            path = folder / f"{number}.parquet"
            connection.execute(
                f"COPY (FROM result WHERE row_ % {files} = {number}) TO '{path}' (FORMAT parquet)"
            )
            objects.upload(str(path), f"{target}{number}")
    return MadeJoin(plan_uri=plan.plan_uri, joined_uri=target)
