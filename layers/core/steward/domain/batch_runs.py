"""Batches: what one is recognised by, its names and places, and whether it begins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from steward.domain.digests import digest_of
from steward.domain.names import job_name, model_name

PREFIX = "batch#"
DELETED_PREFIX = "deleted-input#"
MOST_FILES = 100
MOST_BYTES = 200 * 1024**2
"""What one function reads, unpacked; larger inputs are scored in parts."""

MOST_ROWS = 5_000_000
"""Ids of so many rows are held, since none may be there twice."""

INPUTS = "batch-input"
"""Where the data bucket takes files that are to be scored."""

EXPIRY_TAG = "steward:expires-after-days"
"""S3 deletes what bears it: the data bucket has a rule for each value that it may have."""

UPLOADS_DAYS = 30
"""Life of a file that the command puts there, of a refused result and of what a job worked on."""


class BatchStatus(StrEnum):
    """Where a batch is."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    DELETED = "deleted"


@dataclass(frozen=True)
class PinnedFile:
    """Exactly these bytes of the input.

    Attributes:
        sha256: Of the bytes.
        version_id: Of the object, where its bucket keeps versions.
        format: ``csv``, ``jsonl`` or ``parquet``.
    """

    bucket: str
    key: str
    sha256: str
    version_id: str | None = None
    size: int = 0
    format: str = "csv"

    @property
    def uri(self) -> str:
        """Where it lies."""
        return f"s3://{self.bucket}/{self.key}"


def pinned(record: Mapping[str, Any]) -> list[PinnedFile]:
    """Return the files of a batch's input."""
    return [PinnedFile(**file) for file in record["input"]]


def deleted_item(sha256: str) -> str:
    """Return the sort key of the item that says that these bytes were deleted on purpose."""
    return f"{DELETED_PREFIX}{sha256}"


def inputs_folder(project: str) -> str:
    """Return where the data bucket takes a project's files that are to be scored."""
    return f"{INPUTS}/{project}/"


def work_folder(project: str, batch: str) -> str:
    """Return where the artifacts bucket holds what goes into a job and comes out."""
    return f"batch/{project}/{batch}/"


def scores_folder(project: str, output: str, key: str) -> str:
    """Return where the data bucket has the delivered scores, the same for every attempt."""
    return f"scores/{project}/{output}/{key[:12]}/"


def quarantine_folder(project: str, batch: str) -> str:
    """Return where the data bucket has the refused result of a batch."""
    return f"quarantine/{project}/batch-{batch}/"


def format_of(key: str, declared: str = "csv") -> str:
    """Return the format of a file by its name, the declared one where the name says nothing."""
    name = key.lower().removesuffix(".gz")
    for ending, found in ((".csv", "csv"), (".jsonl", "jsonl"), (".parquet", "parquet")):
        if name.endswith(ending):
            return found
    return declared


def batch_key(
    project: str, version: int, files: Iterable[PinnedFile], parameters: dict[str, Any]
) -> str:
    """Return what makes two batches the same: project, version, bytes in order, parameters."""
    return digest_of(
        {
            "project": project, "version": version, "input": [file.sha256 for file in files],
            "parameters": parameters,
        }
    )  # fmt: skip


def batch_id(key: str, attempt: int) -> str:
    """Return the id of an attempt: first 12 digits of its key, then the attempt."""
    return f"{key[:12]}-{attempt}"


def attempts_of(key: str) -> str:
    """Return how the sort keys of a batch's attempts begin in the run table."""
    return f"{PREFIX}{key[:12]}#"


def batch_item(key: str, attempt: int) -> str:
    """Return the sort key of an attempt, in order of attempts."""
    return f"{attempts_of(key)}{attempt:04d}"


def item_of_id(batch: str) -> str:
    """Return the sort key of an attempt by its id."""
    key, _, attempt = batch.partition("-")
    return batch_item(key, int(attempt))


def execution_name(project: str, batch: str) -> str:
    """Return the name of a batch's execution."""
    return f"{project}_{batch}"


def batch_of_execution(name: str) -> tuple[str, str] | None:
    """Return project and batch id of an execution of ours, None for anybody else's name."""
    project, mark, batch = name.rpartition("_")
    return (project, batch) if mark and project and "-" in batch else None


def transform_job(environment: str, project: str, batch: str) -> str:
    """Return the transform job's name, to which the machine adds its retries."""
    return job_name(environment, project, batch, "batch")


def batch_model(environment: str, project: str, version: int, batch: str) -> str:
    """Return the model that a batch makes of a version and removes again."""
    return model_name(environment, project, version, "batch", batch)


@dataclass(frozen=True)
class Begin:
    """Score, as this attempt."""

    attempt: int


@dataclass(frozen=True)
class Suppress:
    """An attempt does, or has done, the same."""

    batch_id: str
    status: BatchStatus
    reason: str


def decide(latest: dict[str, Any] | None, wanted_at: datetime | None = None) -> Begin | Suppress:
    """Return whether a batch begins, by its latest attempt: only what failed is tried again.

    Args:
        latest: The attempt, None where there is none.
        wanted_at: When a person asks, who also gets scores anew that S3 deletes by then. A
            schedule or a delivery does not bring back what was to be deleted.
    """
    if latest is None:
        return Begin(1)
    status = BatchStatus(latest["status"])
    if status is BatchStatus.DELETED:
        return Suppress(latest["batch_id"], status, "the same input was deleted on purpose")
    if status is BatchStatus.FAILED or _is_expired(latest.get("delivered") or {}, wanted_at):
        return Begin(int(latest["attempt"]) + 1)
    words = "is being scored" if status is BatchStatus.RUNNING else "was scored"
    return Suppress(
        latest["batch_id"], status, f"the same input {words} with version {latest['version']}"
    )


def _is_expired(delivered: dict[str, Any], at: datetime | None) -> bool:
    days = delivered.get("expires_after_days")
    if at is None or days is None:
        return False
    return datetime.fromisoformat(delivered["delivered_at"]) + timedelta(days=int(days)) <= at
