"""Which bytes a batch scores: a delivery, or every file below a prefix, each by its version."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steward.domain.batch_runs import (
    DELETED_PREFIX,
    MOST_BYTES,
    MOST_FILES,
    BatchStatus,
    PinnedFile,
    deleted_item,
    format_of,
    inputs_folder,
    pinned,
)
from steward.domain.errors import BatchInputRefusedError
from steward.domain.names import PRIMARY
from steward.domain.runs import DeliveryStatus
from steward.ports import Item, ObjectStore, StateStore, Table

if TYPE_CHECKING:
    from steward.domain.project import Project


def pin_delivery(
    state: StateStore, objects: ObjectStore, project: Project, source: str,
    delivery_id: str | None = None,
) -> list[PinnedFile]:  # fmt: skip
    """Return the accepted rows of a delivery: the one that is named, or the newest.

    Raises:
        BatchInputRefusedError: There is none.
    """
    accepted = [
        item
        for item in state.query(Table.DELIVERIES, project.project)
        if item.get("table", PRIMARY) == source and item["status"] == DeliveryStatus.ACCEPTED
        and delivery_id in (None, item["delivery_id"])
    ]  # fmt: skip
    if not accepted:
        raise BatchInputRefusedError(
            f"source {source} has no accepted delivery", field="batch.input.source", value=source,
            allowed="a source with an accepted delivery",
        )  # fmt: skip
    newest = max(accepted, key=lambda item: (str(item.get("received_at")), item["delivery_id"]))
    table = project.data.table(source)
    return _sized([_of_delivery(objects, newest, table.format if table else "csv")])


def _of_delivery(objects: ObjectStore, item: Item, declared: str) -> PinnedFile:
    uri = item.get("accepted_uri")
    if uri is None:
        return PinnedFile(
            item["bucket"], item["key"], item["delivery_id"], item.get("version_id"),
            int(item.get("size", 0)), format_of(item["key"], declared),
        )  # fmt: skip
    bucket, _, key = str(uri).removeprefix("s3://").partition("/")
    found = objects.describe(bucket, key)
    return PinnedFile(
        bucket, key, item["accepted_sha256"], found.version_id if found else None,
        found.size if found else 0, format_of(key, declared),
    )  # fmt: skip


def pin_prefix(objects: ObjectStore, bucket: str, project: str, prefix: str) -> list[PinnedFile]:
    """Return the files below a prefix in order of their keys, each as it is now.

    Raises:
        BatchInputRefusedError: There is none, or they are too many or too large.
    """
    folder = f"{inputs_folder(project)}{prefix}/"
    listed = [info for info in objects.list(bucket, folder) if not info.key.endswith("/")]
    if not listed:
        raise BatchInputRefusedError(
            f"there is no file below s3://{bucket}/{folder}", field="batch.input.prefix",
            value=prefix, allowed="a folder with at least one file",
        )  # fmt: skip
    if len(listed) > MOST_FILES:
        raise BatchInputRefusedError(
            f"there are {len(listed)} files below s3://{bucket}/{folder}",
            field="batch.input.prefix", value=len(listed), allowed=f"at most {MOST_FILES}",
        )  # fmt: skip
    _check_size(sum(info.size for info in listed))  # before anything is read to be hashed
    files = []
    for info in listed:
        now = objects.describe(bucket, info.key)
        if now is None:
            continue  # deleted since it was listed
        files.append(
            PinnedFile(
                bucket, info.key,
                now.sha256 or objects.sha256(bucket, info.key, now.version_id),
                now.version_id, now.size, format_of(info.key),
            )
        )  # fmt: skip
    return _sized(files)


def require_undeleted(state: StateStore, project: str, files: list[PinnedFile]) -> None:
    """Refuse bytes that were deleted on purpose, wherever they come from again.

    Raises:
        BatchInputRefusedError: A file is one of them.
    """
    deleted = {
        item["run_id"]: item for item in state.query(Table.RUNS, project, prefix=DELETED_PREFIX)
    }
    for file in files:
        found = deleted.get(deleted_item(file.sha256))
        if found is not None:
            raise BatchInputRefusedError(
                f"{file.uri} was deleted on purpose at {found['deletion']['at']}: "
                f"{found['deletion']['reason']}",
                field="batch.input", value=file.uri,
                allowed="a file without what was to be deleted",
            )  # fmt: skip


def require_kept(state: StateStore, record: Item) -> None:
    """Refuse a batch that was deleted on purpose, or whose bytes were, since it was recorded.

    Whoever deletes marks the bytes first and looks for batches then; one that was recorded in
    between, or whose execution could not be seen yet, learns of it here.

    Raises:
        BatchInputRefusedError: It was, or a file was.
    """
    if record["status"] == BatchStatus.DELETED:
        raise BatchInputRefusedError(
            f"batch {record['batch_id']} was deleted on purpose at {record['deletion']['at']}: "
            f"{record['deletion']['reason']}",
            field="batch_id", value=record["batch_id"], allowed="a batch that is not deleted",
        )  # fmt: skip
    require_undeleted(state, record["project"], pinned(record))


def _sized(files: list[PinnedFile]) -> list[PinnedFile]:
    _check_size(sum(file.size for file in files))
    return files


def _check_size(size: int) -> None:
    if size > MOST_BYTES:
        raise BatchInputRefusedError(
            f"the input has {size} bytes", field="batch.input", value=size,
            allowed=f"at most {MOST_BYTES}; score it in parts",
        )  # fmt: skip
