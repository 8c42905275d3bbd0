"""Writing a run's list of deliveries once, and reading exactly what was written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

from steward.domain.delivery_lists import DeliveryList, list_content, list_key
from steward.domain.errors import EvidenceIncompleteError
from steward.ports import ObjectStore


def write_list(
    objects: ObjectStore, bucket: str, project: str, deliveries: Iterable[str]
) -> DeliveryList:
    """Store a set of deliveries under its digest and return the reference to it.

    Equal sets share one object, so that a repeated call writes nothing. Where other bytes lie
    under the key, the right ones become its next version.
    """
    ids = set(deliveries)
    content = list_content(ids)
    digest = hashlib.sha256(content).hexdigest()
    key = list_key(project, content)
    uri = f"s3://{bucket}/{key}"
    if not objects.write_once(uri, content) and objects.sha256(bucket, key) != digest:
        objects.write(uri, content)
    info = objects.describe(bucket, key)
    return DeliveryList(uri, digest, len(ids), info.version_id if info is not None else None)


def read_list(objects: ObjectStore, listed: DeliveryList) -> list[str]:
    """Return the deliveries of a list.

    Raises:
        EvidenceIncompleteError: The object is gone, or its bytes are others.
    """
    content = objects.read(listed.uri, listed.version_id)
    digest = hashlib.sha256(content).hexdigest()
    if digest != listed.sha256:
        raise EvidenceIncompleteError(
            f"{listed.uri} is not the list that was pinned", field="sha256", value=digest,
            allowed=listed.sha256,
        )  # fmt: skip
    return [str(delivery) for delivery in json.loads(content)]
