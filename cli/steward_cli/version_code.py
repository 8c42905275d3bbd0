"""The code of two versions as the stack keeps it, read with the caller's rights."""

from __future__ import annotations

import hashlib
from typing import Any

from steward.domain.code_difference import MAX_BYTES, CodeDifference, compare_code, read_code
from steward.domain.errors import AccessDeniedError, EvidenceIncompleteError, RejectedError
from steward.ports import Item, ObjectStore
from steward_cli.console import told


def code_difference(a: Item, b: Item, objects: ObjectStore, bucket: str) -> CodeDifference:
    """Return what differs in the code of two versions; what cannot be read is said."""
    if a.get("code_digest") == b.get("code_digest"):
        return CodeDifference()
    found, unread = [], []
    for item in (a, b):
        try:
            found.append(_code(item, objects, bucket))
        except AccessDeniedError as error:
            unread.append(f"version {item['version']}: {error}")
        except RejectedError as error:
            about = told(error.as_dict())
            unread.append(f"version {item['version']}: {error.message} ({about})")
    return CodeDifference(unread=unread) if unread else compare_code(*found)


def _code(item: Item, objects: ObjectStore, bucket: str) -> dict[str, bytes]:
    digest: Any = item.get("code_digest")
    key = f"code/{item['project']}/{digest}.tar.gz"
    known = objects.describe(bucket, key)
    if known is None:
        raise EvidenceIncompleteError(
            f"its code {str(digest)[:12]} is not in this account", field="code_digest", value=digest
        )
    if known.size > MAX_BYTES:
        raise RejectedError(
            f"its code has {known.size:,} bytes", field="code", value=known.size,
            allowed=f"at most {MAX_BYTES:,} bytes",
        )  # fmt: skip
    content = objects.read(f"s3://{bucket}/{key}")
    actual = hashlib.sha256(content).hexdigest()
    if actual != digest:
        raise EvidenceIncompleteError(
            f"{key} has digest {actual[:12]}: it was changed", field="code_digest", value=actual,
            allowed=digest,
        )  # fmt: skip
    return read_code(content)
