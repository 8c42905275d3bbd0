"""What queries leave in S3: result files, unloaded Parquet, manifests."""

from __future__ import annotations

import csv
import io
import secrets
import string
import uuid
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from ministack.services import s3

from steward_local.athena.catalog import require
from steward_local.athena.errors import QueryError
from steward_local.athena.statements import COMPRESSIONS, Unload
from steward_local.authority import Principal
from steward_local.sagemaker.s3_files import split_uri

_NAMES = {
    "BOOLEAN": "boolean",
    "TINYINT": "tinyint",
    "SMALLINT": "smallint",
    "INTEGER": "integer",
    "BIGINT": "bigint",
    "FLOAT": "float",
    "DOUBLE": "double",
    "DATE": "date",
    "TIMESTAMP": "timestamp",
    "TIMESTAMP WITH TIME ZONE": "timestamp with time zone",
    "BLOB": "varbinary",
}


def type_name(kind: Any) -> str:
    """Athena's name of a DuckDB type."""
    name = str(kind)
    return "decimal" if name.startswith("DECIMAL") else _NAMES.get(name, "varchar")


def shown(value: Any) -> str | None:
    """A value as Athena writes it in results."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        plain = value.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
        return f"{plain} UTC" if value.tzinfo else plain
    if isinstance(value, date | int | float | Decimal):
        return str(value)
    if isinstance(value, list):
        return "[" + ", ".join(str(shown(item)) for item in value) + "]"
    return str(value)


def write_csv(uri: str, columns: list[str], rows: list[list[str | None]], by: Principal) -> None:
    """The result of a SELECT: quoted values, a null is empty."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        buffer.write(
            ",".join("" if item is None else '"' + item.replace('"', '""') + '"' for item in row)
            + "\n"
        )
    put(uri, buffer.getvalue().encode(), by)


def unload(
    connection: Any, target: Unload, folder: Path, by: Principal, stamp: datetime
) -> list[str]:
    """Write the relation `result` as Parquet files below an empty prefix; their URIs.

    Athena writes in parallel: more than one row becomes two files, each in the query's order.
    """
    bucket, prefix = split_uri(target.target)
    known = s3._buckets.get(bucket)
    if known is None:
        raise QueryError(f"HIVE_WRITER_OPEN_ERROR: The bucket of {target.target} does not exist")
    denied = by.denial("s3:ListBucket", f"arn:aws:s3:::{bucket}", {"s3:prefix": prefix})
    if denied:
        raise QueryError(f"PERMISSION_DENIED: Failed to list S3 path: {target.target}. {denied}")
    if any(key.startswith(prefix) for key in list(known["objects"])):
        raise QueryError(
            f"HIVE_PATH_ALREADY_EXISTS: Target directory already exists: {target.target}. The "
            "UNLOAD destination must be empty."
        )
    (rows,) = connection.execute("SELECT count(*) FROM result").fetchone()
    run = "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(5))
    written = []
    for part in range(min(rows, 2)):
        file = folder / f"part-{part}"
        rows_of_part = connection.sql(
            "SELECT * FROM result WHERE rowid % 2 = $part ORDER BY rowid", params={"part": part}
        )
        rows_of_part.write_parquet(str(file), compression=COMPRESSIONS[target.compression])
        uri = f"{target.target}{stamp:%Y%m%d_%H%M%S}_{part:05d}_{run}_{uuid.uuid4()}"
        put(uri, file.read_bytes(), by)
        written.append(uri)
    return written


def put(uri: str, body: bytes, by: Principal) -> None:
    """Write an object, if the caller may."""
    bucket, key = split_uri(uri)
    require(
        by,
        "s3:PutObject",
        f"arn:aws:s3:::{bucket}/{key}",
        f"Access denied when writing to location: {uri}.",
    )
    answer = s3._put_object(
        bucket,
        key,
        body,
        {"content-type": "application/octet-stream", "content-length": str(len(body))},
    )
    if isinstance(answer, tuple) and answer[0] >= 300:
        raise QueryError(f"Unable to write to output location {uri}: HTTP {answer[0]}")


def now() -> datetime:
    """The moment of a query, for the names of its files."""
    return datetime.now(UTC)
