"""Samples of rows beside profiles: kept with each chunk, merged for a window, read back."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from steward.domain.errors import EvidenceIncompleteError, RejectedError
from steward.domain.monitoring.baseline import Baseline
from steward.domain.monitoring.captured_rows import Place, Rows, features_of
from steward.domain.monitoring.row_samples import (
    RowSample,
    first_of_units,
    merge_row_samples,
    numeric_features,
    row_sample_from_json,
    sample_rows,
)
from steward.domain.monitoring.sampled_rows import SampledRows
from steward.domain.monitoring.whole_rows import WholeRow, WholeRows
from steward.domain.workspace import Connection
from steward.ports import Item, ObjectStore

_DOWNLOADS = 16


@dataclass(frozen=True)
class Sampled:
    """The rows of a window that were kept.

    Attributes:
        rows: None where none are, or not all chunks have theirs any more.
        digest: Of the sample.
        uri: Where it lies.
    """

    rows: SampledRows | None = None
    digest: str | None = None
    uri: str | None = None


def keep_rows(
    objects: ObjectStore, uri: str, baseline: Baseline, rows: Rows, judged: Sequence[str] | None
) -> Item | None:
    """Keep a chunk's sample; return its pointer, None where columns cannot be looked at together.

    Args:
        objects: Where it is kept.
        uri: Under which name.
        baseline: Whose numeric features.
        rows: Of the chunk.
        judged: Columns that are judged; no others are kept.
    """
    names = numeric_features(baseline, judged)
    if len(names) < 2 or baseline.sample is None:
        return None
    units = rows.entities if baseline.unit == "entity" else rows.ids
    sample = sample_rows(names, rows.columns, units, rows.times)
    objects.write_once(uri, sample.to_json().encode())
    return {"uri": uri, "digest": sample.digest}


def keep_whole_rows(
    objects: ObjectStore, uri: str, connection: Connection, place: Place, rows: Rows,
    unit: str, limit: int,
) -> Item | None:  # fmt: skip
    """Keep a few rows of a chunk as they were asked; return their pointer.

    Args:
        objects: Where they are kept.
        uri: Under which name.
        connection: Engine that has read the object.
        place: Of the chunk.
        rows: Of the chunk.
        unit: ``entity`` for one row an entity, ``event`` for any.
        limit: Rows at most.
    """
    if not len(rows.ids):
        return None
    units = rows.entities if unit == "entity" else rows.ids
    kept, hashes = first_of_units(units, rows.times, limit)
    ids = [str(rows.ids[at]) for at in kept]
    features = features_of(connection, place, ids)
    sample = WholeRows(
        tuple(
            WholeRow(int(hash_), int(rows.times[at]), features[one])
            for hash_, at, one in zip(hashes, kept, ids, strict=True)
        )
    )
    objects.write_once(uri, sample.to_json().encode())
    return {"uri": uri, "digest": sample.digest}


def sample_window(
    objects: ObjectStore, uri_of: str, baseline: Baseline, chunks: Sequence[Item]
) -> Sampled:
    """Return the sample of a window, and keep it.

    Rows may be erased: where the sample of a chunk is gone or broken there is none of the window,
    and no look waits for it.

    Args:
        objects: Where samples are.
        uri_of: Where it is kept, with ``{}`` for its digest.
        baseline: Whose chunks count.
        chunks: Pointers of one version's chunks, in the order of their ids.
    """
    mine = [item for item in chunks if item.get("baseline") == baseline.digest]
    kept = [item["sample"] for item in mine if item.get("sample")]
    if not kept or len(kept) < len(mine):
        return Sampled()
    try:
        with ThreadPoolExecutor(_DOWNLOADS) as pool:
            read = pool.map(lambda one: read_sample(objects, one["uri"], one["digest"]), kept)
            found = [one for one in read if one is not None]
    except RejectedError:
        return Sampled()
    merged = merge_row_samples(found) if len(found) == len(kept) else None
    if merged is None:
        return Sampled()
    uri = uri_of.format(merged.digest[:16])
    objects.write_once(uri, merged.to_json().encode())
    return Sampled(merged.kept, merged.digest, uri)


def read_sample(objects: ObjectStore, uri: str, digest: str) -> RowSample | None:
    """Return a sample that was kept; None where it is gone.

    Raises:
        RejectedError: It is not what it was.
    """
    try:
        content = objects.read(uri)
    except EvidenceIncompleteError:
        return None
    found = row_sample_from_json(content)
    if found.digest != digest:
        raise RejectedError(
            f"{uri} is not what was kept", field="digest", value=found.digest, allowed=digest
        )
    return found
