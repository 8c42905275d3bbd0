"""Where monitoring keeps what it knows: keys of items, places of objects, names of runs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

ALL = "_all"
"""Partition of what belongs to no project; no project has such a name."""

EXPOSURES = "exposures/"
LOOKBACK = timedelta(days=1)
"""How long Firehose tries to deliver: an object may appear that long after its name's time."""

SWEPT_DAYS = 14
"""Days behind that are listed in turn, one a watch, for what came later still."""

KEPT_FOR = timedelta(days=SWEPT_DAYS + 2)
"""How long it is remembered that an object was profiled; it is not listed for longer."""

POINTERS_KEPT_FOR = timedelta(days=120)
"""How long chunks are pointed at: longer than any label is waited for."""

HEAD = "watch"
RETRAINING = "retraining"
RUN_LEASE_S = 3900
"""A watch ends within an hour; then its place is free although nobody said so."""


def object_item(key: str) -> str:
    """Return the sort key of a captured object that was profiled."""
    return f"object#{key}"


def chunk_prefix(window: str) -> str:
    """Return what the sort keys of a window's chunks begin with."""
    return f"chunk#{window}#"


def chunk_item(window: str, version: int, chunk: str) -> str:
    """Return the sort key of a chunk: one version's rows of one window in one object."""
    return f"{chunk_prefix(window)}v{version:08d}#{chunk}"


def open_item(window: str) -> str:
    """Return the sort key that says: this window has rows that no look has seen."""
    return f"open#{window}"


def late_item(window: str) -> str:
    """Return the sort key that says: rows of this window came too late to be looked at."""
    return f"late#{window}"


def look_item(window: str, beside: int | None = None) -> str:
    """Return the sort key of a window's look, in order of time.

    Args:
        window: Its start; empty for what the keys of all looks begin with.
        beside: The version that is looked at beside the one that counts for the project.
    """
    return f"{_of(beside)}look#{window}"


def alarm_item(kind: str, beside: int | None = None) -> str:
    """Return the sort key of an alarm's state, of the project or of a version beside."""
    return f"{_of(beside)}alarm#{kind}"


BESIDE = "beside#"


def beside_item(version: int) -> str:
    """Return the sort key of how far a version was looked at beside the one that counts."""
    return f"{BESIDE}v{version:08d}"


def _of(beside: int | None) -> str:
    return "" if beside is None else f"arm#v{beside:08d}#"


def run_item(run: str) -> str:
    """Return the sort key of a watch."""
    return f"run#{run}"


def run_of(moment: datetime) -> str:
    """Return the name of the watch that is due at a moment: the same within its minute."""
    return moment.astimezone(UTC).strftime("%Y%m%dT%H%MZ")


def chunk_id(inference_ids: Iterable[str]) -> str:
    """Return the id of a chunk: SHA-256 over its sorted inference ids, so that a chunk that is
    delivered twice is one chunk.
    """  # fmt: skip
    digest = hashlib.sha256()
    for text in sorted(set(inference_ids)):
        digest.update(text.encode())
        digest.update(b"\n")
    return digest.hexdigest()


def version_place(bucket: str, project: str, version: int) -> str:
    """Return the prefix of all that is known of a version's traffic."""
    return f"s3://{bucket}/monitoring/{project}/v{version}/"


def chunk_uri(bucket: str, project: str, version: int, window: str, chunk: str) -> str:
    """Return where a chunk's profile lies."""
    return f"{version_place(bucket, project, version)}chunks/{_plain(window)}/{chunk}.json"


def predictions_uri(bucket: str, project: str, version: int, window: str, chunk: str) -> str:
    """Return where the predictions of a chunk wait for their labels."""
    place = version_place(bucket, project, version)
    return f"{place}predictions/{_plain(window)}/{chunk}.parquet"


def window_uri(bucket: str, project: str, version: int, window: str, digest: str) -> str:
    """Return where the sum of a window lies."""
    return f"{version_place(bucket, project, version)}windows/{_plain(window)}-{digest[:16]}.json"


def manifest_uri(bucket: str, run: str) -> str:
    """Return where the manifest of a watch lies."""
    return f"s3://{bucket}/monitoring/{ALL}/{run}.json"


def quarantine_key(key: str) -> str:
    """Return where an object that could not be counted whole is kept, and its report beside it."""
    return f"quarantine/{key}"


def days(first: datetime, last: datetime) -> list[str]:
    """Return the prefixes of captured objects from one day to another, both included."""
    day = first.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    found = []
    while day <= last:
        found.append(f"{EXPOSURES}{day:%Y/%m/%d}/")
        day += timedelta(days=1)
    return found


def _plain(window: str) -> str:
    return window.replace(":", "")
