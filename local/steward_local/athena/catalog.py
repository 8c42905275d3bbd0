"""Tables of the Data Catalog as DuckDB relations, read with the rights of the caller."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ministack.services import athena, glue, s3

from steward_local.athena.errors import QueryError
from steward_local.athena.statements import TableName
from steward_local.authority import Principal
from steward_local.sagemaker.s3_files import split_uri

_TYPES = {
    "string": "VARCHAR",
    "varchar": "VARCHAR",
    "char": "VARCHAR",
    "boolean": "BOOLEAN",
    "tinyint": "TINYINT",
    "smallint": "SMALLINT",
    "int": "INTEGER",
    "integer": "INTEGER",
    "bigint": "BIGINT",
    "float": "FLOAT",
    "double": "DOUBLE",
    "date": "DATE",
    "timestamp": "TIMESTAMP",
    "binary": "BLOB",
}


@dataclass(frozen=True)
class Table:
    """A table's files, fetched, and how DuckDB reads them.

    Attributes:
        relation: What stands after FROM.
        scanned: Bytes read.
    """

    relation: str
    scanned: int


def require(caller: Principal, action: str, resource: str, words: str) -> None:
    """Fail the query unless its caller may do `action`."""
    denied = caller.denial(action, resource)
    if denied:
        raise QueryError(f"{words} {denied}")


def fetch(name: TableName, caller: Principal, folder: Path) -> Table:
    """Fetch a table's objects into `folder`, if the caller may read them."""
    arns = [
        glue._arn("catalog", "").rstrip("/"),
        glue._arn("database", name.database),
        glue._arn("table", f"{name.database}/{name.name}"),
    ]
    for arn in arns:
        require(caller, "glue:GetTable", arn, "Insufficient permissions to execute the query.")
    found: dict[str, Any] | None = glue._tables.get(f"{name.database}/{name.name}")
    if found is None:
        raise QueryError(
            f"TABLE_NOT_FOUND: Table 'awsdatacatalog.{name.database}.{name.name}' does not exist"
        )
    projected = (found.get("Parameters") or {}).get("projection.enabled") == "true"
    if found.get("PartitionKeys") and not projected:
        for arn in arns:
            require(caller, "glue:GetPartitions", arn, "Insufficient permissions.")
    location = (found.get("StorageDescriptor") or {}).get("Location")
    if not location:
        raise QueryError(f"HIVE_METASTORE_ERROR: Table {name.name} has no location")
    files, scanned = _download(location, caller, folder)
    if not files:
        return Table(_none(found), 0)
    if athena._data_format(found) != "parquet":
        return Table(str(athena._table_relation(found, files)), scanned)
    return Table(_parquet(found, files), scanned)


def _download(location: str, caller: Principal, folder: Path) -> tuple[list[str], int]:
    bucket, prefix = split_uri(location)
    prefix = f"{prefix.rstrip('/')}/" if prefix else ""
    denied = caller.denial("s3:ListBucket", f"arn:aws:s3:::{bucket}", {"s3:prefix": prefix})
    if denied:
        raise QueryError(f"PERMISSION_DENIED: Failed to list S3 path: {location}. {denied}")
    known = s3._buckets.get(bucket)
    if known is None:
        raise QueryError(f"HIVE_FILESYSTEM_ERROR: The bucket of {location} does not exist")
    files, scanned = [], 0
    for key in sorted(known["objects"]):
        if not key.startswith(prefix) or key.endswith("/") or athena._hidden(key[len(prefix) :]):
            continue
        require(
            caller,
            "s3:GetObject",
            f"arn:aws:s3:::{bucket}/{key}",
            f"PERMISSION_DENIED: Permission denied on S3 path: s3://{bucket}/{key}.",
        )
        body: bytes = s3._get_object_data(bucket, key) or b""
        target = (folder / key[len(prefix) :]).resolve()
        if not target.is_relative_to(folder.resolve()):
            raise QueryError(f"HIVE_FILESYSTEM_ERROR: {key} is no path below its table")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(body)
        files.append(str(target))
        scanned += len(body)
    return files, scanned


def quoted(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def text(value: str) -> str:
    """A text as an SQL literal."""
    return "'" + value.replace("'", "''") + "'"


def duckdb_type(hive: str) -> str:
    """DuckDB's type for a column type of the Data Catalog; text for types it has not."""
    kind = hive.strip().lower()
    if kind.startswith("decimal"):
        return kind.upper() if "(" in kind else "DECIMAL(10,0)"
    return _TYPES.get(kind.partition("(")[0], "VARCHAR")


def _none(table: dict[str, Any]) -> str:
    columns = [*table["StorageDescriptor"].get("Columns", []), *table.get("PartitionKeys", [])]
    listed = ", ".join(
        f"CAST(NULL AS {duckdb_type(item['Type'])}) AS {quoted(item['Name'])}" for item in columns
    )
    return f"(SELECT {listed or 'NULL'} WHERE false)"


def _parquet(table: dict[str, Any], files: list[str]) -> str:
    """Exactly the table's columns with the table's types; what a file lacks is null."""
    import duckdb

    listed = "[" + ", ".join(map(text, files)) + "]"
    partitions = athena._path_partition_keys(table, files)
    reader = f"read_parquet({listed}, union_by_name = true, {athena._hive_options(partitions)})"
    with duckdb.connect(config={"threads": 1}) as connection:
        names = connection.sql(f"FROM {reader}").columns
    present = {name.lower(): name for name in names}
    columns = [*table["StorageDescriptor"].get("Columns", []), *table.get("PartitionKeys", [])]
    shown = []
    for column in columns:
        name, kind = column["Name"], duckdb_type(column["Type"])
        source = present.get(name.lower())
        value = quoted(source) if source else "NULL"
        shown.append(f"CAST({value} AS {kind}) AS {quoted(name.lower())}")
    return f"(SELECT {', '.join(shown)} FROM {reader})"  # noqa: S608 - names are quoted
