"""Use case: delete a delivery on purpose, as when a person asks to be erased.

What goes: every stored version of its bytes under any name, the copies without rows set aside,
what is in quarantine, its reports, which hold examples and levels, the files of features made of
it, and what batches hold of it. What stays: the record of the delivery with the reason, datasets
and models that were made of it, and the records in SageMaker's online and offline stores.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from steward.contracts.deletion import DeleteDelivery, ShowDelivery
from steward.contracts.events import DeliveryDeleted
from steward.domain.errors import ConflictError, DeliveryNotFoundError, RejectedError
from steward.domain.feature_versions import materialisation_item
from steward.domain.names import PRIMARY
from steward.domain.runs import DeliveryStatus
from steward.ports import Equals, Item, ObjectInfo, StateStore, Update
from steward.ports import Table as Stored
from steward.service.data import batch_deletion
from steward.service.data.erasing import Erasure, deletion_of
from steward.service.emission import Cause, event
from steward.service.feature_catalog import group_versions

DELETED = "deleted"
_KINDS = (
    "delivered", "accepted", "quarantine", "features", "reports", "batch_inputs", "batch_work",
    "scores",
)  # fmt: skip


@dataclass(frozen=True)
class _Made:
    """What became of the delivery in one version of a feature group."""

    label: str
    key: dict[str, str]
    status: str


def show_delivery(query: ShowDelivery, erasure: Erasure) -> dict[str, Any]:
    """Return a delivery and how many stored versions there are of it, by kind.

    Raises:
        DeliveryNotFoundError: None begins with this id.
        RejectedError: Several do.
    """
    found = erasure.state.query(Stored.DELIVERIES, query.project, prefix=query.delivery)
    if not found:
        raise _unknown(query.project, query.delivery)
    if len(found) > 1:
        raise RejectedError(
            f"{len(found)} deliveries of {query.project} begin with {query.delivery}",
            field="delivery", value=query.delivery, allowed="a longer beginning",
        )  # fmt: skip
    [item] = found
    made = _made_of(item, erasure.state)
    batches = batch_deletion.batches_of(query.project, _digests(item), erasure)
    held = _objects(item, made, batches, erasure)
    return _answer(item, made, batches, Counter(kind for _, kind, _ in held))


def delete_delivery(
    command: DeleteDelivery, caller_arn: str, request_id: str, erasure: Erasure
) -> dict[str, Any]:
    """Record the deletion, then remove every object, then say that it is done.

    A crash between leaves the record, and the same command again goes on; so does it where the
    same bytes were delivered once more. The first reason, actor and time stay. Bytes that a run
    or a judgement writes at the same moment may remain: the same command again finds them.

    Returns:
        The delivery, its ``deletion``, the versions of feature groups and the batches that were
        made of it, and how many objects were removed by kind.

    Raises:
        DeliveryNotFoundError: There is no such delivery.
        ConflictError: It is being made into features or scored, or was changed meanwhile.
    """
    key = {"project": command.project, "delivery_id": command.delivery_id}
    item = erasure.state.get(Stored.DELIVERIES, key)
    if item is None:
        raise _unknown(command.project, command.delivery_id)
    made = _made_of(item, erasure.state)
    running = [found.label for found in made if found.status == "running"]
    if running:
        raise ConflictError(
            f"the delivery is being made into {', '.join(running)}; try again when that has ended"
        )
    batch_deletion.ended_batches(command.project, _digests(item), erasure)  # or nothing is changed
    deletion: dict[str, Any] = item.get("deletion") or deletion_of(
        command.reason, caller_arn, erasure.clock
    )
    if item["status"] != DeliveryStatus.DELETED:
        told = {"status": DeliveryStatus.DELETED.value, "deletion": deletion}
        expect = (Equals("status", item["status"]),)
        erasure.state.commit([Update(Stored.DELIVERIES, key, set=told, expect=expect)])
    for found in made:
        if found.status != DELETED:
            expect = (Equals("status", found.status),)
            change = Update(Stored.FEATURES, found.key, set={"status": DELETED}, expect=expect)
            erasure.state.commit([change])
    batch_deletion.mark(command.project, _digests(item), deletion, erasure)
    batches = batch_deletion.ended_batches(command.project, _digests(item), erasure)
    batch_deletion.record(batches, deletion, erasure)
    counts: Counter[str] = Counter()
    by_batch: Counter[str] = Counter()
    for batch, kind, info in list(_objects(item, made, batches, erasure)):
        erasure.remove(info)
        counts[kind] += 1
        by_batch[batch] += 1
    batch_deletion.conclude(batches, by_batch, request_id, erasure)
    deletion = _conclude(item, deletion, made, batches, counts.total(), request_id, erasure)
    gone = {**item, "status": DeliveryStatus.DELETED.value, "deletion": deletion}
    return _answer(gone, made, batches, counts)


def _conclude(
    item: Item,
    deletion: dict[str, Any],
    made: list[_Made],
    batches: list[Item],
    removed: int,
    request_id: str,
    erasure: Erasure,
) -> dict[str, Any]:
    """Note the end and publish it; not again where there was nothing left to remove."""
    if "completed_at" in deletion and not removed:
        return deletion
    project, delivery_id = item["project"], item["delivery_id"]
    done = {**deletion, **erasure.ended(deletion, removed)}
    payload = DeliveryDeleted(
        delivery_id=delivery_id, bucket=item["bucket"], key=item["key"],
        version_id=item.get("version_id"), table=item.get("table", PRIMARY),
        reason=done["reason"], by=done["by"], deleted_at=done["at"], objects=done["objects"],
        features=sorted({found.label for found in made}),
        batches=[batch["batch_id"] for batch in batches],
    )  # fmt: skip
    cause = Cause(project, delivery_id[:12], request_id, done["by"])
    key = {"project": project, "delivery_id": delivery_id}
    change = Update(
        Stored.DELIVERIES, key, set={"deletion": done},
        expect=(Equals("status", DeliveryStatus.DELETED.value),),
    )  # fmt: skip
    erasure.state.commit([change], [event(payload, cause, erasure.clock, erasure.ids)])
    return done


def _made_of(item: Item, state: StateStore) -> list[_Made]:
    """Return what is known of the delivery in each version of a feature group."""
    project, delivery_id = item["project"], item["delivery_id"]
    found = []
    for version in group_versions(state, project):
        group, number = version.group.feature_group, version.version
        key = {"project": project, "item": materialisation_item(group, number, delivery_id)}
        known = state.get(Stored.FEATURES, key)
        if known is not None:
            found.append(_Made(version.label, key, known["status"]))
    return found


def _digests(item: Item) -> dict[str, int | None]:
    """Return the digests by which files are known as the delivery, each with its size if known."""
    digests: dict[str, int | None] = {item["delivery_id"]: item.get("size")}
    if item.get("accepted_sha256"):  # without rows set aside
        digests.setdefault(item["accepted_sha256"], None)
    return digests


def _sized(item: Item, erasure: Erasure) -> dict[str, int | None]:
    """Return the digests, the accepted one with the size of its copy; without, all is hashed."""
    digests, place = _digests(item), str(item.get("accepted_uri", "")).removeprefix("s3://")
    accepted = item.get("accepted_sha256")
    if accepted and digests[accepted] is None and place:
        bucket, _, key = place.partition("/")
        copies = [info for info in erasure.objects.versions(bucket, key) if info.key == key]
        digests[accepted] = copies[0].size if copies else None
    return digests


def _objects(
    item: Item, made: list[_Made], batches: list[Item], erasure: Erasure
) -> Iterator[tuple[str, str, ObjectInfo]]:
    """Yield every stored version of the delivery and of what was made of it.

    Each with the batch that made it, where one did, and its kind.
    """
    project, delivery_id, data = item["project"], item["delivery_id"], erasure.data_bucket
    delivered = {delivery_id: item.get("size")}
    for info in erasure.copies(f"deliveries/{project}/", delivered):
        yield "", "delivered", info
    places = [
        ("accepted", data, f"accepted/{project}/{delivery_id}/"),
        ("quarantine", data, f"quarantine/{project}/{delivery_id}/"),
        *(("features", data, f"features/{project}/{found.label}/{delivery_id}/") for found in made),
        ("reports", erasure.artifacts_bucket, f"reports/{project}/deliveries/{delivery_id}."),
    ]
    for kind, bucket, prefix in places:
        for info in erasure.objects.versions(bucket, prefix):
            yield "", kind, info
    yield from batch_deletion.stored(project, _sized(item, erasure), batches, erasure)


def _answer(
    item: Item, made: list[_Made], batches: list[Item], counts: Counter[str]
) -> dict[str, Any]:
    shown = ("project", "delivery_id", "status", "bucket", "key", "received_at", "rows", "deletion")
    return {
        **{name: item[name] for name in shown if item.get(name) is not None},
        "table": item.get("table", PRIMARY),
        "features": sorted({found.label for found in made}),
        "batches": [batch["batch_id"] for batch in batches],
        "objects": {kind: counts[kind] for kind in _KINDS},
    }


def _unknown(project: str, delivery: str) -> DeliveryNotFoundError:
    return DeliveryNotFoundError(
        f"{project} has no delivery {delivery}", field="delivery", value=delivery,
        allowed="an id of `steward data list PROJECT`",
    )  # fmt: skip
