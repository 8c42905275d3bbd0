"""The offline store of one feature group: records in Parquet files below its S3 prefix.

Names, added columns and partitions are those of "Amazon SageMaker Feature Store offline store
data format" (developer guide).
"""

from __future__ import annotations

import contextvars
import copy
import json
import logging
import secrets
import string
import tempfile
import threading
import time
from collections import defaultdict
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from steward_local import authority
from steward_local.authority import AssumeRoleError, Principal
from steward_local.sagemaker import jobs, settings
from steward_local.sagemaker.feature_store import catalog
from steward_local.sagemaker.s3_files import RoleFiles, TransferError, split_uri
from steward_local.sagemaker.store import Store

_COLUMN_TYPES = {"Integral": "BIGINT", "Fractional": "DOUBLE", "String": "VARCHAR"}
_ADDED = (
    ("write_time", "TIMESTAMP"),
    ("api_invocation_time", "TIMESTAMP"),
    ("is_deleted", "BOOLEAN"),
)
_BUCKET_ACTIONS = ("s3:GetBucketAcl",)
_OBJECT_ACTIONS = ("s3:PutObject", "s3:PutObjectAcl")
_ALPHABET = string.ascii_letters + string.digits
_log = logging.getLogger(__name__)
Row = dict[str, str]


def resolved(config: dict[str, Any], record: dict[str, Any], at: Store) -> dict[str, Any]:
    """An OfflineStoreConfig with the names that SageMaker chooses."""
    name, created = record["FeatureGroupName"], int(record["CreationTime"])
    found: dict[str, Any] = copy.deepcopy(config)
    storage = found["S3StorageConfig"]
    base = storage["S3Uri"].rstrip("/")
    storage["ResolvedOutputS3Uri"] = (
        f"{base}/{at.account}/sagemaker/{at.region}/offline-store/{name}-{created}/data"
    )
    found["DisableGlueTableCreation"] = config.get("DisableGlueTableCreation", False)
    if not found["DisableGlueTableCreation"]:
        found.setdefault(
            "DataCatalogConfig",
            {
                "TableName": f"{name.lower().replace('-', '_')}_{created}",
                "Catalog": "AwsDataCatalog",
                "Database": "sagemaker_featurestore",
            },
        )
        found.setdefault("TableFormat", "Glue")
    return found


class OfflineStore:
    """Buffers records and writes them with the rights of the group's role."""

    def __init__(self, record: dict[str, Any], at: Store) -> None:
        self._record, self._at = record, at
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._pending: dict[str, list[tuple[Decimal, Row]]] = defaultdict(list)
        self._oldest: float | None = None
        self._context = contextvars.copy_context()  # the account and region of the group

    @property
    def _uri(self) -> str:
        return str(self._record["OfflineStoreConfig"]["S3StorageConfig"]["ResolvedOutputS3Uri"])

    def prepare(self, role: Principal) -> str | None:
        """Check what the role may do and make the table; the reason of a failure, or None."""
        from ministack.services import s3

        bucket, prefix = split_uri(self._uri)
        if bucket not in s3._buckets:
            return f"The S3 bucket {bucket} of the OfflineStoreConfig does not exist."
        checks = [
            *((action, f"arn:aws:s3:::{bucket}") for action in _BUCKET_ACTIONS),
            *((action, f"arn:aws:s3:::{bucket}/{prefix}/x") for action in _OBJECT_ACTIONS),
        ]
        for action, resource in checks:
            denied = role.denial(action, resource)
            if denied:
                return f"Access to the offline store is denied. {denied}"
        if self._record["OfflineStoreConfig"]["DisableGlueTableCreation"]:
            return None
        return catalog.create_table(self._record, role)

    def add(
        self, given: dict[str, str], moment: Decimal, called_at: float, *, deleted: bool = False
    ) -> None:
        """Take one record, or the marker of a deletion."""
        hour = datetime.fromtimestamp(int(moment), UTC)
        partition = hour.strftime("year=%Y/month=%m/day=%d/hour=%H")
        row = {**given, "api_invocation_time": _timestamp(called_at), "is_deleted": str(deleted)}
        with self._lock:
            self._pending[partition].append((moment, row))
            if self._oldest is None:
                self._oldest = time.monotonic()

    def flush_when_due(self, delay: float) -> None:
        """Write what waits when the oldest of it is `delay` seconds old."""
        oldest = self._oldest
        if oldest is not None and time.monotonic() - oldest >= delay:
            self.flush()

    def flush(self) -> None:
        """Write everything that waits; what cannot be written stays and is tried again."""
        self._context.copy().run(self._flush)

    def _flush(self) -> None:
        with self._writing:
            with self._lock:
                pending, self._pending = self._pending, defaultdict(list)
                self._oldest = None
            if not pending:
                return
            for partition in sorted(pending):
                try:
                    self._write(partition, pending[partition])
                except (AssumeRoleError, TransferError) as problem:
                    _log.warning("The offline store %s cannot be written: %s", self._uri, problem)
                    self._keep(partition, pending[partition])

    def _keep(self, partition: str, rows: list[tuple[Decimal, Row]]) -> None:
        with self._lock:
            self._pending[partition] = [*rows, *self._pending[partition]]
            self._oldest = time.monotonic()

    def _write(self, partition: str, rows: list[tuple[Decimal, Row]]) -> None:
        options = settings.current()
        credentials = authority.assume_for_service(
            self._record["RoleArn"], jobs.SERVICE, "SageMaker"
        )
        files = RoleFiles(credentials, options.endpoint, self._at.region)
        latest = datetime.fromtimestamp(int(max(moment for moment, _ in rows)), UTC)
        suffix = "".join(secrets.choice(_ALPHABET) for _ in range(16))
        options.scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
            target = Path(folder) / "records.parquet"
            columns = [
                (item["FeatureName"], _COLUMN_TYPES[item["FeatureType"]])
                for item in self._record["FeatureDefinitions"]
            ]
            written_at = _timestamp(time.time())
            write_parquet(target, columns, [{**row, "write_time": written_at} for _, row in rows])
            files.upload(
                target,
                f"{self._uri}/{partition}/{latest:%Y%m%dT%H%M%SZ}_{suffix}.parquet",
                self._record["OfflineStoreConfig"]["S3StorageConfig"].get("KmsKeyId"),
            )


def _timestamp(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def write_parquet(target: Path, columns: list[tuple[str, str]], rows: list[Row]) -> None:
    """Write rows of texts as a Parquet file whose columns have the given SQL types."""
    import duckdb  # here: most engines never write an offline store

    typed = [*columns, *_ADDED]
    source = target.with_suffix(".jsonl")
    with source.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row) + "\n")
    shape = ", ".join(f"{_text(name)}: 'VARCHAR'" for name, _ in typed)
    chosen = ", ".join(f"CAST({_name(name)} AS {kind}) AS {_name(name)}" for name, kind in typed)
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute(
            f"COPY (SELECT {chosen} FROM read_json({_text(str(source))}, "  # noqa: S608 - quoted
            f"format = 'newline_delimited', columns = {{{shape}}})) "
            f"TO {_text(str(target))} (FORMAT parquet, COMPRESSION snappy)"
        )


def _name(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
