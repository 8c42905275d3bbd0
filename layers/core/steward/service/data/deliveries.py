"""Reading the deliveries of a run from the state store and from S3."""

from __future__ import annotations

from pathlib import Path

from steward.domain.datasets import file_digest
from steward.domain.errors import EvidenceIncompleteError, MalformedEventError
from steward.ports import Item, ObjectStore, StateStore, Table


def deliveries_of(state: StateStore, project: str, ids: list[str]) -> list[Item]:
    """Return deliveries in order of receipt; deliveries of one moment by their digest.

    One query reads all deliveries of the project: a run takes nearly all of them.

    Raises:
        MalformedEventError: One of them is not known.
    """
    known = {item["delivery_id"]: item for item in state.query(Table.DELIVERIES, project)}
    found = []
    for delivery_id in dict.fromkeys(ids):
        item = known.get(delivery_id)
        if item is None:
            raise MalformedEventError(
                f"project {project} has no delivery {delivery_id}",
                field="deliveries", value=delivery_id, allowed="ids of recorded deliveries",
            )  # fmt: skip
        found.append(item)
    return sorted(found, key=lambda item: (item["received_at"], item["delivery_id"]))


def fetch(objects: ObjectStore, delivery: Item, path: Path) -> None:
    """Download exactly the bytes that were delivered.

    Raises:
        EvidenceIncompleteError: The object is gone or its bytes are others.
    """
    objects.download(delivery["bucket"], delivery["key"], str(path), delivery.get("version_id"))
    digest = file_digest(path)
    if digest != delivery["delivery_id"]:
        raise EvidenceIncompleteError(
            f"s3://{delivery['bucket']}/{delivery['key']} is not what was delivered",
            field="sha256", value=digest, allowed=str(delivery["delivery_id"]),
        )  # fmt: skip


def fetch_accepted(objects: ObjectStore, delivery: Item, path: Path) -> None:
    """Download the rows of an accepted delivery that count: without those set aside.

    Raises:
        EvidenceIncompleteError: The object is gone or its bytes are others.
    """
    uri = delivery.get("accepted_uri")
    if uri is None:
        fetch(objects, delivery, path)
        return
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    objects.download(bucket, key, str(path))
    digest = file_digest(path)
    if digest != delivery["accepted_sha256"]:
        raise EvidenceIncompleteError(
            f"{uri} is not what was accepted",
            field="accepted_sha256", value=digest, allowed=str(delivery["accepted_sha256"]),
        )  # fmt: skip
