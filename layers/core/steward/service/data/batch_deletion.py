"""What batches hold of a deleted input: found by digest, removed whole, told batch by batch.

A result is named by the digests that manifest, event and ledger hold, so none is rewritten: a
batch that had a deleted file among its inputs loses everything that holds rows, and its record
says why. To keep the others' scores, score the file again without what was to be deleted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from steward.contracts.deletion import DeleteBatchInput, ShowBatchInput
from steward.contracts.events import BatchDeleted
from steward.domain.batch_runs import (
    PREFIX,
    BatchStatus,
    PinnedFile,
    deleted_item,
    inputs_folder,
    item_of_id,
    pinned,
    quarantine_folder,
    scores_folder,
    transform_job,
    work_folder,
)
from steward.domain.errors import BatchNotFoundError, ConflictError, RejectedError
from steward.domain.runs import DeliveryStatus
from steward.ports import Equals, Item, ObjectInfo, Put, Update
from steward.ports import Table as Stored
from steward.service.data.erasing import Erasure, deletion_of
from steward.service.emission import Cause, event

KINDS = ("batch_inputs", "batch_work", "scores", "quarantine")
SEEN_AFTER = timedelta(minutes=5)
"""Step Functions may not know an execution yet that has just been started."""

Sizes = Mapping[str, int | None]
"""Digests of deleted bytes, each with the size that an object must have to be hashed."""


def batches_of(project: str, digests: Sizes, erasure: Erasure) -> list[Item]:
    """Return every attempt of every batch that had one of the files among its inputs."""
    inputs = erasure.state.query(Stored.RUNS, project, prefix=PREFIX, fields=("run_id", "input"))
    hit = [item for item in inputs if any(file.sha256 in digests for file in pinned(item))]
    found = (
        erasure.state.get(Stored.RUNS, {"project": project, "run_id": item["run_id"]})
        for item in hit
    )
    return [item for item in found if item is not None]


def ended_batches(project: str, digests: Sizes, erasure: Erasure) -> list[Item]:
    """Return the batches that had one of the files, none of which is being scored.

    Records are asked of their executions: a lost event would hold one for good, and a failed one
    may have been redriven.

    Raises:
        ConflictError: One is being scored: it would write what is being removed.
    """
    batches = batches_of(project, digests, erasure)
    running = [item["batch_id"] for item in batches if _runs(item, erasure)]
    if running:
        raise ConflictError(
            f"it is being scored in {', '.join(running)}; try again when that has ended"
        )
    return batches


def _runs(item: Item, erasure: Erasure) -> bool:
    if item["status"] in (BatchStatus.SUCCEEDED, BatchStatus.DELETED) or not item["batch_arn"]:
        return False
    found = erasure.workflows.find(item["batch_arn"])
    if found is not None:
        return not found.has_ended
    age = erasure.clock.now() - datetime.fromisoformat(item["started_at"])
    return item["status"] == BatchStatus.RUNNING and age < SEEN_AFTER


def stored(
    project: str, digests: Sizes, batches: list[Item], erasure: Erasure
) -> Iterator[tuple[str, str, ObjectInfo]]:
    """Yield what holds the bytes, or came of them: batch id (none for inputs), kind, object."""
    for info in erasure.copies(inputs_folder(project), digests):
        yield "", "batch_inputs", info
    data, artifacts = erasure.data_bucket, erasure.artifacts_bucket
    seen: set[str] = set()
    for item in batches:
        batch = item["batch_id"]
        scores = scores_folder(project, item["batch"]["output"], item["batch_key"])
        for kind, bucket, folder in (
            ("batch_work", artifacts, work_folder(project, batch)),
            ("scores", data, scores),
            ("quarantine", data, quarantine_folder(project, batch)),
        ):
            if folder in seen:
                continue  # attempts deliver into one folder
            seen.add(folder)
            for info in erasure.objects.versions(bucket, folder):
                yield batch, kind, info


def mark(project: str, digests: Sizes, deletion: Mapping[str, Any], erasure: Erasure) -> None:
    """Say of bytes that they are deleted, so that they are scored no more; the first word stays.

    A batch reads it before it begins, before it reads its input and before it delivers. So it is
    written before batches are looked for: one that is not found then has not read it yet.
    """
    for digest in digests:
        key = {"project": project, "run_id": deleted_item(digest)}
        if erasure.state.get(Stored.RUNS, key) is None:
            put = Put(Stored.RUNS, {**key, "sha256": digest, "deletion": _said(deletion)})
            erasure.state.commit([put])


def record(batches: list[Item], deletion: Mapping[str, Any], erasure: Erasure) -> None:
    """Say of each batch that it is deleted; the first word stays.

    Of one that ended unseen, its status event lost, the job is stopped and the model goes.

    Raises:
        ConflictError: A batch was tried again meanwhile.
    """
    said = _said(deletion)
    for item in batches:
        if item["status"] == BatchStatus.DELETED:
            continue
        if item["status"] == BatchStatus.RUNNING and item.get("model"):
            job = transform_job(erasure.environment, item["project"], item["batch_id"])
            erasure.hosting.stop_transforms(job)
            erasure.hosting.remove_model(item["model"])
        change = Update(
            Stored.RUNS, _key(item), set={"status": BatchStatus.DELETED.value, "deletion": said},
            expect=(Equals("status", item["status"]),),
        )  # fmt: skip
        erasure.state.commit([change])
        item |= {"status": BatchStatus.DELETED.value, "deletion": said}


def _said(deletion: Mapping[str, Any]) -> dict[str, Any]:
    return {name: deletion[name] for name in ("reason", "by", "principal", "at")}


def conclude(
    batches: list[Item], removed: Mapping[str, int], request_id: str, erasure: Erasure
) -> None:
    """Note the end of each batch and publish it; not again where nothing was left of it."""
    for item in batches:
        known, count = item["deletion"], removed.get(item["batch_id"], 0)
        if "completed_at" in known and not count:
            continue
        done = {**known, **erasure.ended(known, count)}
        told = BatchDeleted(
            batch_id=item["batch_id"], version=item["version"],
            scores_uri=(item.get("delivered") or {}).get("scores_uri"), reason=done["reason"],
            by=done["by"], deleted_at=done["at"], objects=done["objects"],
        )  # fmt: skip
        cause = Cause(item["project"], item["batch_id"], request_id, done["by"])
        change = Update(
            Stored.RUNS, _key(item), set={"deletion": done},
            expect=(Equals("status", BatchStatus.DELETED.value),),
        )  # fmt: skip
        erasure.state.commit([change], [event(told, cause, erasure.clock, erasure.ids)])
        item["deletion"] = done


@dataclass(frozen=True)
class _Input:
    """The files of a batch, and every batch that had one of them."""

    item: Item
    digests: dict[str, int | None]
    batches: list[Item]

    def of(self, batches: list[Item]) -> _Input:
        """Return it with its batches as they are now."""
        own = next(found for found in batches if found["run_id"] == self.item["run_id"])
        return _Input(own, self.digests, batches)

    def answer(self, counts: Mapping[str, int]) -> dict[str, Any]:
        """Return what a caller is told."""
        deletion = self.item.get("deletion")
        return {
            "project": self.item["project"], "batch_id": self.item["batch_id"],
            "status": self.item["status"], "files": [file.uri for file in pinned(self.item)],
            "batches": [item["batch_id"] for item in self.batches],
            "objects": {kind: counts.get(kind, 0) for kind in KINDS},
            **({"deletion": deletion} if deletion else {}),
        }  # fmt: skip


def show_batch_input(query: ShowBatchInput, erasure: Erasure) -> dict[str, Any]:
    """Return a batch's input, who scored it, and how many stored versions there are, by kind.

    Raises:
        BatchNotFoundError: There is no such batch.
        RejectedError: It has no input of its own: a delivery is deleted as one.
    """
    found = _input_of(query.project, query.batch, erasure)
    held = stored(query.project, found.digests, found.batches, erasure)
    return found.answer(Counter(kind for _, kind, _ in held))


def delete_batch_input(
    command: DeleteBatchInput, caller_arn: str, request_id: str, erasure: Erasure
) -> dict[str, Any]:
    """Delete the files of a batch and everything that any batch made of them.

    It is recorded first, then removed, then told; a crash between, or a batch that began at the
    same moment, leaves the mark, and the same command again goes on. So does it where the same
    bytes were put there once more.

    Raises:
        BatchNotFoundError: There is no such batch.
        RejectedError: It has no input of its own: a delivery is deleted as one.
        ConflictError: A batch is being scored, or was changed meanwhile.
    """
    found = _input_of(command.project, command.batch_id, erasure)
    ended_batches(command.project, found.digests, erasure)  # or nothing is changed
    deletion = found.item.get("deletion") or deletion_of(command.reason, caller_arn, erasure.clock)
    mark(command.project, found.digests, deletion, erasure)
    found = found.of(ended_batches(command.project, found.digests, erasure))
    record(found.batches, deletion, erasure)
    kinds: Counter[str] = Counter()
    by_batch: Counter[str] = Counter()
    for batch, kind, info in list(stored(command.project, found.digests, found.batches, erasure)):
        erasure.remove(info)
        kinds[kind] += 1
        by_batch[batch or command.batch_id] += 1
    conclude(found.batches, by_batch, request_id, erasure)
    return found.answer(kinds)


def _input_of(project: str, batch: str, erasure: Erasure) -> _Input:
    key = {"project": project, "run_id": item_of_id(batch)}
    item = erasure.state.get(Stored.RUNS, key)
    if item is None:
        raise BatchNotFoundError(
            f"{project} has no batch {batch}", field="batch", value=batch,
            allowed="an id of `steward batch list PROJECT`",
        )  # fmt: skip
    files = pinned(item)
    if not files:
        raise RejectedError(
            f"batch {batch} was refused before it had an input", field="batch", value=batch,
            allowed="a batch that was scored or tried",
        )  # fmt: skip
    _require_no_delivery(project, files, erasure)
    digests: dict[str, int | None] = {file.sha256: file.size for file in files}
    return _Input(item, digests, []).of(batches_of(project, digests, erasure))


def _require_no_delivery(project: str, files: list[PinnedFile], erasure: Erasure) -> None:
    known: dict[str, str] = {}
    for item in erasure.state.query(Stored.DELIVERIES, project):
        if item["status"] != DeliveryStatus.DELETED:
            known[item["delivery_id"]] = item["delivery_id"]
            known.setdefault(
                item.get("accepted_sha256") or item["delivery_id"], item["delivery_id"]
            )
    for file in files:
        if file.key.startswith(inputs_folder(project)):
            if file.sha256 not in known:
                continue
            named = known[file.sha256]
        else:  # accepted/<project>/<delivery id>/..., or the delivered file itself
            folders = file.key.split("/")
            named = folders[2] if folders[0] == "accepted" else file.sha256
        raise RejectedError(
            f"{file.uri} is delivery {named[:12]}", field="batch", value=file.uri,
            allowed=f"delete the delivery, which deletes this too: {named}",
        )  # fmt: skip


def _key(item: Item) -> dict[str, str]:
    return {"project": item["project"], "run_id": item["run_id"]}
