"""The deliveries of a run as an object in S3: a run names thousands, its records one object."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class DeliveryList:
    """A list of deliveries, known by its content.

    Attributes:
        uri: Where it lies; the digest is part of the key.
        sha256: Digest of its bytes. Equal lists have equal digests, in whatever order and by
            whomever they were written.
        count: How many deliveries it names.
        version_id: Version of the object; None in a bucket without versions.
    """

    uri: str
    sha256: str
    count: int
    version_id: str | None = None

    def as_item(self) -> dict[str, Any]:
        """Return the list as records and payloads hold it."""
        return asdict(self)


def list_of(item: Mapping[str, Any]) -> DeliveryList:
    """Return a list as a record holds it."""
    return DeliveryList(item["uri"], item["sha256"], int(item["count"]), item.get("version_id"))


def list_content(deliveries: Iterable[str]) -> bytes:
    """Return the one way to write a set of deliveries: sorted, each once."""
    return json.dumps(sorted(set(deliveries)), separators=(",", ":")).encode()


def list_key(project: str, content: bytes) -> str:
    """Return the key of a list's content below the artifacts bucket."""
    return f"runs/{project}/deliveries/{hashlib.sha256(content).hexdigest()}.json"
