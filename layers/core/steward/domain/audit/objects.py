"""The bucket against the table: each record is in both, once, and the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from steward.domain.audit.verifier import canonical


@dataclass(frozen=True)
class Stored:
    """A record's object as the bucket lists and describes it.

    Attributes:
        seq: Number in its key.
        sha256: Digest of the bytes of the oldest version.
        versions: How many versions there are, markers of deletion included.
        deleted: Whether the newest one is such a marker.
    """

    seq: int
    sha256: str
    versions: int = 1
    deleted: bool = False


def content_digest(record: Mapping[str, Any]) -> str:
    """Return the SHA-256 that the object of a record must have."""
    return hashlib.sha256(canonical(record)).hexdigest()


def compare(contents: Mapping[int, str], stored: Iterable[Stored]) -> list[dict[str, Any]]:
    """Return what does not fit, as the verifier tells it.

    Kinds: ``differs`` (the bucket holds other content), ``unkept`` (no object), ``removed``
    (an object whose record is not in the table), ``overwritten`` and ``deleted`` (the object has
    further versions, or a marker hides it; the first version is still there).

    Args:
        contents: SHA-256 of the content of each record of the table, by number.
        stored: The objects.
    """
    found: list[dict[str, Any]] = []
    seen: set[int] = set()
    for one in stored:
        seen.add(one.seq)
        wanted = contents.get(one.seq)
        if wanted is None:
            told = "the bucket has this record, and the table has not"
            found.append(_finding("removed", one.seq, told))
        elif wanted != one.sha256:
            told = "the bucket has another content under this number, under Object Lock"
            found.append(_finding("differs", one.seq, told))
        if one.deleted:
            found.append(_finding("deleted", one.seq, "a marker hides its object; it is there"))
        elif one.versions > 1:
            told = f"its object has {one.versions} versions; the first one counts"
            found.append(_finding("overwritten", one.seq, told))
    found += [
        _finding("unkept", seq, "its object is not in the bucket")
        for seq in sorted(contents.keys() - seen)
    ]
    return sorted(found, key=lambda finding: (finding["seq"], finding["kind"]))


def _finding(kind: str, seq: int, told: str) -> dict[str, Any]:
    return {"kind": kind, "seq": seq, "told": told}
