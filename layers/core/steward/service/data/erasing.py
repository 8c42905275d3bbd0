"""What deleting on purpose works with, whatever is deleted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from steward.domain.principals import identity_of
from steward.ports import Clock, Hosting, Ids, ObjectInfo, ObjectStore, StateStore, Workflows


@dataclass(frozen=True)
class Erasure:
    """The stores that hold what is deleted, and who may still write it."""

    state: StateStore
    objects: ObjectStore
    workflows: Workflows
    hosting: Hosting
    clock: Clock
    ids: Ids
    data_bucket: str
    artifacts_bucket: str
    environment: str

    def now(self) -> str:
        """Return the time as items hold it."""
        return self.clock.now().isoformat(timespec="milliseconds")

    def copies(self, prefix: str, digests: Mapping[str, int | None]) -> Iterator[ObjectInfo]:
        """Yield every stored version below a prefix of the data bucket that has these bytes.

        Args:
            prefix: Another file may have had the same name, and the same bytes another name.
            digests: SHA-256 with the size, without which every object is hashed.
        """
        sizes = set(digests.values())
        for info in self.objects.versions(self.data_bucket, prefix):
            if None in sizes or info.size in sizes:
                found = self.objects.sha256(info.bucket, info.key, info.version_id)
                if found in digests:
                    yield info

    def remove(self, info: ObjectInfo) -> None:
        """Remove a stored version for good."""
        assert info.version_id is not None
        self.objects.remove(info.bucket, info.key, info.version_id)

    def ended(self, deletion: Mapping[str, Any], removed: int) -> dict[str, Any]:
        """Return what is added to a deletion once its objects are gone."""
        return {"completed_at": self.now(), "objects": int(deletion.get("objects", 0)) + removed}


def deletion_of(reason: str, caller_arn: str, clock: Clock) -> dict[str, Any]:
    """Return who deletes, why and when, as records hold it."""
    return {
        "reason": reason, "by": identity_of(caller_arn), "principal": caller_arn,
        "at": clock.now().isoformat(timespec="milliseconds"),
    }  # fmt: skip
