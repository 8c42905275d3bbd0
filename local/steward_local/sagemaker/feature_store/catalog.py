"""The Data Catalog's table of an offline store."""

from __future__ import annotations

from typing import Any

from steward_local.authority import Principal

_TYPES = {"Integral": "bigint", "Fractional": "double", "String": "string"}
_PARTITIONS = ("year", "month", "day", "hour")
_FORMAT = "org.apache.hadoop.hive.ql.io.parquet.MapredParquet"


def create_table(record: dict[str, Any], role: Principal) -> str | None:
    """Create the table (and its database, if need be) with the role's rights.

    Returns:
        Why it cannot be created, or None.
    """
    from ministack.services import glue

    config = record["OfflineStoreConfig"]
    names = config["DataCatalogConfig"]
    database, table = names["Database"], names["TableName"]
    arns = {
        "catalog": glue._arn("catalog", ""),
        "database": glue._arn("database", database),
        "table": glue._arn("table", f"{database}/{table}"),
    }
    arns["catalog"] = arns["catalog"].rstrip("/")
    wanted = ["glue:GetDatabase", "glue:GetTable", "glue:CreateTable"]
    if database not in glue._databases:
        wanted.append("glue:CreateDatabase")
    for action in wanted:
        kinds = ["catalog", "database", *(["table"] if action.endswith("Table") else [])]
        for kind in kinds:
            denied = role.denial(action, arns[kind])
            if denied:
                return f"The Data Catalog's table cannot be created. {denied}"
    if database not in glue._databases:
        glue._create_database({"DatabaseInput": {"Name": database}})
    status, _, body = glue._create_table(
        {"DatabaseName": database, "TableInput": _table(record, table)}
    )
    return None if status == 200 else f"The Data Catalog's table cannot be created. {body!r}"


def add_columns(record: dict[str, Any], added: list[dict[str, Any]]) -> None:
    """Give the table the columns of features that were added to the group."""
    from ministack.services import glue

    config = record.get("OfflineStoreConfig", {})
    if config.get("DisableGlueTableCreation", True):
        return
    names = config["DataCatalogConfig"]
    table = glue._tables.get(f"{names['Database']}/{names['TableName']}")
    if table is not None:
        columns = table["StorageDescriptor"]["Columns"]
        table["StorageDescriptor"]["Columns"] = [*columns, *map(_column, added)]


def _column(definition: dict[str, Any]) -> dict[str, str]:
    return {
        "Name": definition["FeatureName"].lower(),
        "Type": _TYPES[definition["FeatureType"]],
    }


def _table(record: dict[str, Any], name: str) -> dict[str, Any]:
    added = [("write_time", "timestamp"), ("api_invocation_time", "timestamp")]
    columns = [
        *map(_column, record["FeatureDefinitions"]),
        *({"Name": column, "Type": kind} for column, kind in added),
        {"Name": "is_deleted", "Type": "boolean"},
    ]
    location = record["OfflineStoreConfig"]["S3StorageConfig"]["ResolvedOutputS3Uri"]
    return {
        "Name": name,
        "TableType": "EXTERNAL_TABLE",
        "PartitionKeys": [{"Name": part, "Type": "string"} for part in _PARTITIONS],
        "Parameters": {
            "EXTERNAL": "TRUE",
            "parquet.compression": "SNAPPY",
            # Partitions by projection: no crawler has to find the hours.
            "projection.enabled": "true",
            "projection.year.type": "integer",
            "projection.year.range": "2018,2100",
            **{f"projection.{part}.type": "integer" for part in _PARTITIONS[1:]},
            **{f"projection.{part}.digits": "2" for part in _PARTITIONS[1:]},
            "projection.month.range": "1,12",
            "projection.day.range": "1,31",
            "projection.hour.range": "0,23",
            "storage.location.template": location
            + "".join(f"/{part}=${{{part}}}" for part in _PARTITIONS),
        },
        "StorageDescriptor": {
            "Columns": columns,
            "Location": location,
            "InputFormat": f"{_FORMAT}InputFormat",
            "OutputFormat": f"{_FORMAT}OutputFormat",
            "SerdeInfo": {
                "SerializationLibrary": (
                    "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"
                )
            },
        },
    }
