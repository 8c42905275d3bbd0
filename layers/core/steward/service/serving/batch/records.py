"""Reading the records of batches, typed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from steward.domain.batch_runs import (
    PinnedFile,
    attempts_of,
    item_of_id,
    quarantine_folder,
    work_folder,
)
from steward.domain.errors import EvidenceIncompleteError, MalformedEventError
from steward.ports import Item, StateStore, Table

if TYPE_CHECKING:
    from steward.domain.project import Project


def work_of(bucket: str, project: str, batch: str) -> str:
    """Return the folder of a batch's work, without a slash at its end."""
    return f"s3://{bucket}/{work_folder(project, batch)}".rstrip("/")


def record_of(state: StateStore, project: str, batch: str) -> Item:
    """Return the record of a batch.

    Raises:
        MalformedEventError: There is none, so the input of the task is wrong.
    """
    key = {"project": project, "run_id": item_of_id(batch)}
    found = state.get(Table.RUNS, key)
    if found is None:
        raise MalformedEventError(
            f"project {project} has no batch {batch}", field="batch_id", value=batch,
            allowed="the id of a batch that start_batch has recorded",
        )  # fmt: skip
    return found


def rules_of(state: StateStore, version: Item) -> Project:
    """Return what was declared when a version was made: by that its rows are judged.

    The container of its endpoints judges by the same, whatever ``project.yaml`` says by now.

    Raises:
        EvidenceIncompleteError: The run that made the version has no record any more.
    """
    key = {"project": version["project"], "run_id": str(version.get("run_id"))}
    run = state.get(Table.RUNS, key)
    if run is None or "config" not in run:
        raise EvidenceIncompleteError(
            f"version {version['version']} has no record of what was declared when it was made",
            field="run_id", value=version.get("run_id"), allowed="a run with its configuration",
        )  # fmt: skip
    from steward.domain.project import parse_project  # large: paid when a batch begins

    return parse_project(run["config"])


def latest_attempt(state: StateStore, project: str, key: str) -> Item | None:
    """Return the newest attempt at a batch, None where there is none."""
    found = state.query(Table.RUNS, project, prefix=attempts_of(key), newest_first=True, limit=1)
    return found[0] if found else None


def told(files: list[PinnedFile], most: int | None = None) -> list[dict[str, Any]]:
    """Return files as events and manifests name them."""
    return [
        {
            "uri": file.uri, "sha256": file.sha256, "size": file.size,
            **({"version_id": file.version_id} if file.version_id else {}),
        }
        for file in files[:most]
    ]  # fmt: skip


def quarantine_of(bucket: str, record: Item) -> str:
    """Return where the refused result of a batch lies, without a slash at its end."""
    folder = quarantine_folder(record["project"], record["batch_id"])
    return f"s3://{bucket}/{folder}".rstrip("/")
