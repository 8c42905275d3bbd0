"""Windows in which each distinct entity counts once, from chunks that are read once.

Sums of counts cannot tell that an entity was in two chunks. So a chunk of the unit ``entity``
keeps, for the ``limit`` entities with the smallest salted hashes (bottom-k, Cohen and Kaplan
2007), the cells of the entity's first row. The k smallest of a union are among the k smallest of
its parts, so merged samples are those of the whole window, exactly and in any order: a uniform
sample of its distinct entities, each with its first row in that window. With at most ``limit``
entities it is all of them.

Any window is deduplicated as a whole, whatever its length, without a state of who was seen. The
alternatives are worse: to count an entity only in the hour that its hash names loses all who do
not return then, and a set of seen entities would make chunks wait for each other.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steward.domain.digests import digest_of
from steward.domain.errors import RejectedError
from steward.domain.monitoring.baseline import Baseline
from steward.domain.monitoring.binning import (
    Column,
    as_numbers,
    cell_of,
    codes_of,
    rows_of,
    text_of,
)
from steward.domain.monitoring.counts import (
    CategoricalCounts,
    ColumnBaseline,
    Counts,
    NumericBins,
    NumericCounts,
    Vocabulary,
)
from steward.domain.monitoring.profiles import Profile, ProfilesDifferError, added

LIMIT = 5_000
"""Entities that a sample keeps: enough to find .08 standard deviations (rule 20)."""
_MISSING, _NAN, _NEG_INF, _POS_INF = range(251, 255)
_OUTSIDE = 250
FORMAT = 1


@dataclass(frozen=True)
class EntitySample:
    """The first rows of up to ``limit`` entities of some chunks, as cells.

    Attributes:
        baseline: Digest of the baseline on whose cells they lie.
        limit: Entities that are kept at most.
        chunks: Ids of the chunks, ascending.
        rows: Rows that the chunks held, repeated entities included.
        hashes: Of the entities, ascending.
        times: Of their first rows, in milliseconds since the epoch.
        cells: A row an entity, a column a column of the baseline, in its order. Numbers: 0 is
            below, the last bin + 1 is above. Categories: the place in the vocabulary.
        unknown_columns: Rows of chunks by column that the baseline lacks.
        absent_columns: Rows of chunks by column that they lacked.
    """

    baseline: str
    limit: int
    chunks: tuple[str, ...]
    rows: int
    hashes: NDArray[np.uint64]
    times: NDArray[np.int64]
    cells: NDArray[np.uint8]
    unknown_columns: Mapping[str, int]
    absent_columns: Mapping[str, int]

    @property
    def entities(self) -> float:
        """Distinct entities of the chunks: exact up to the limit, else (k - 1) / k-th hash."""
        kept = self.hashes.size
        if kept < self.limit:
            return float(kept)
        return (kept - 1) / (float(self.hashes[-1]) / 2.0**64)

    def to_json(self) -> str:
        """Return the sample as JSON; arrays are little-endian, deflated, in base 64."""
        return json.dumps(self._plain(), sort_keys=True, separators=(",", ":"))

    @property
    def digest(self) -> str:
        """SHA-256 of what the sample holds."""
        plain = self._plain()
        for name, array in self._arrays().items():
            plain[name] = hashlib.sha256(array.tobytes()).hexdigest()
        return digest_of(plain)

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {
            "hashes": self.hashes.astype("<u8"), "times": self.times.astype("<i8"),
            "cells": np.ascontiguousarray(self.cells),
        }  # fmt: skip

    def _plain(self) -> dict[str, Any]:
        packed = {
            name: base64.b64encode(zlib.compress(array.tobytes(), 6)).decode()
            for name, array in self._arrays().items()
        }
        return {
            "format": FORMAT, "unit": "entity", "baseline": self.baseline, "limit": self.limit,
            "chunks": list(self.chunks), "rows": self.rows, "entities": int(self.hashes.size),
            "columns": int(self.cells.shape[1]), **packed,
            "unknown_columns": dict(self.unknown_columns),
            "absent_columns": dict(self.absent_columns),
        }  # fmt: skip


def sample_from_json(text: str | bytes) -> EntitySample:
    """Return a sample from its JSON.

    Raises:
        RejectedError: It is none, or is broken.
    """
    try:
        plain = json.loads(text)
        if plain["format"] != FORMAT:
            raise ValueError(f"format {plain['format']!r}")
        held = {
            name: zlib.decompress(base64.b64decode(plain[name]))
            for name in ("hashes", "times", "cells")
        }
        size, columns = int(plain["entities"]), int(plain["columns"])
        return EntitySample(
            baseline=plain["baseline"], limit=int(plain["limit"]), chunks=tuple(plain["chunks"]),
            rows=int(plain["rows"]),
            hashes=np.frombuffer(held["hashes"], "<u8", size),
            times=np.frombuffer(held["times"], "<i8", size),
            cells=np.frombuffer(held["cells"], np.uint8, size * columns).reshape(size, columns),
            unknown_columns=plain["unknown_columns"], absent_columns=plain["absent_columns"],
        )  # fmt: skip
    except (ValueError, KeyError, TypeError, zlib.error) as error:
        raise RejectedError(f"this is no entity sample: {error}", field="sample") from error


def sample_chunk(
    baseline: Baseline,
    columns: Mapping[str, Column],
    entities: NDArray[Any],
    times: NDArray[np.int64],
    chunk: str,
    *,
    limit: int = LIMIT,
) -> EntitySample:
    """Keep the first rows of a chunk's entities.

    Args:
        baseline: Whose cells are used; its unit is ``entity``.
        columns: Values by name, arrays of one length.
        entities: Ids (or pseudonyms) of whom each row is about.
        times: Of the rows, in milliseconds since the epoch.
        chunk: Id of the chunk.
        limit: Entities that are kept at most.

    Raises:
        RejectedError: The baseline counts events, or lengths differ.
    """
    if baseline.unit != "entity":
        raise RejectedError(
            "the baseline counts events", field="unit", value=baseline.unit, allowed="entity"
        )
    rows = len(entities)
    for name, values in [("times", times), *columns.items()]:
        if rows_of(values) != rows or not isinstance(values, np.ndarray):
            raise RejectedError(
                f"{name!r} must be an array of {rows} rows", field=name, value=rows_of(values)
            )
    hashes = hashes_of(np.asarray(entities))
    kept = _candidates(hashes, np.asarray(times, dtype=np.int64), limit)
    cells = np.empty((kept.size, len(baseline.columns)), dtype=np.uint8)
    for place, column in enumerate(baseline.columns):
        given = columns.get(column.name)
        found = _cells(given[kept], column) if isinstance(given, np.ndarray) else _MISSING
        cells[:, place] = found
    known = {column.name for column in baseline.columns}
    return _first_rows(
        EntitySample(
            baseline=baseline.digest, limit=limit, chunks=(chunk,), rows=rows,
            hashes=hashes[kept], times=np.asarray(times, dtype=np.int64)[kept], cells=cells,
            unknown_columns=dict.fromkeys(sorted(set(columns) - known), rows),
            absent_columns=dict.fromkeys(sorted(known - set(columns)), rows),
        )
    )  # fmt: skip


def merge_samples(samples: Iterable[EntitySample]) -> EntitySample:
    """Return the sample of all chunks together, exactly, in any order.

    Raises:
        ProfilesDifferError: Baselines or limits differ, a chunk occurs twice, or none is given.
    """
    given = list(samples)
    if not given:
        raise ProfilesDifferError("no sample was given", field="samples")
    first = given[0]
    for sample in given[1:]:
        if (sample.baseline, sample.limit) != (first.baseline, first.limit):
            raise ProfilesDifferError("samples of two baselines or two limits", field="baseline")
    chunks = sorted(chunk for sample in given for chunk in sample.chunks)
    if len(set(chunks)) < len(chunks):
        raise ProfilesDifferError("a chunk is given twice", field="chunks")
    return _first_rows(
        replace(
            first,
            chunks=tuple(chunks),
            rows=sum(sample.rows for sample in given),
            hashes=np.concatenate([sample.hashes for sample in given]),
            times=np.concatenate([sample.times for sample in given]),
            cells=np.concatenate([sample.cells for sample in given]),
            unknown_columns=added(sample.unknown_columns for sample in given),
            absent_columns=added(sample.absent_columns for sample in given),
        )
    )


def profile_sample(baseline: Baseline, sample: EntitySample) -> Profile:
    """Return the counts of a window's sample; one profile a window, they do not add up.

    Raises:
        ProfilesDifferError: The sample lies on another baseline's cells.
    """
    if sample.baseline != baseline.digest:
        raise ProfilesDifferError(
            "the sample lies on another baseline's cells",
            field="baseline", value=sample.baseline, allowed=baseline.digest,
        )  # fmt: skip
    counts: dict[str, Counts] = {}
    for place, column in enumerate(baseline.columns):
        counted = np.bincount(sample.cells[:, place], minlength=256).tolist()
        counts[column.name] = _counts(counted, column)
    return Profile(
        baseline=baseline.digest, unit="entity", chunks=sample.chunks,
        rows=int(sample.hashes.size),
        first=int(sample.times.min()) if sample.times.size else None,
        last=int(sample.times.max()) if sample.times.size else None,
        columns=counts, unknown_columns=dict(sample.unknown_columns),
        absent_columns=dict(sample.absent_columns),
    )  # fmt: skip


def _counts(counted: list[int], column: ColumnBaseline) -> Counts:
    if isinstance(column.cells, Vocabulary):
        return CategoricalCounts(
            levels=tuple(counted[: len(column.cells.levels)]),
            outside=counted[_OUTSIDE],
            missing=counted[_MISSING],
        )
    bins = max(0, len(column.cells.edges) - 1)
    has_bins = bool(column.cells.edges)
    return NumericCounts(
        below=counted[0] if has_bins else 0,
        bins=tuple(counted[1 : bins + 1]),
        above=counted[bins + 1] if has_bins else 0,
        unbinned=0 if has_bins else counted[0],
        missing=counted[_MISSING], nan=counted[_NAN], neg_inf=counted[_NEG_INF],
        pos_inf=counted[_POS_INF], moments=None,
    )  # fmt: skip


def hashes_of(entities: NDArray[Any]) -> NDArray[np.uint64]:
    """Return the first 64 bits of SHA-256 of each id; the prefix keeps it apart from splits."""
    texts = entities.astype("U").tolist()
    hashed = {
        text: int.from_bytes(hashlib.sha256(b"monitoring:" + text.encode()).digest()[:8], "big")
        for text in dict.fromkeys(texts)
    }
    return np.fromiter(map(hashed.__getitem__, texts), np.uint64, len(texts))


def _candidates(
    hashes: NDArray[np.uint64], times: NDArray[np.int64], limit: int
) -> NDArray[np.int64]:
    """Return the places of all earliest rows of the entities with the smallest hashes."""
    order = np.lexsort((times, hashes))
    ordered, at = hashes[order], times[order]
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])[: ordered.size])
    end = starts[limit] if starts.size > limit else ordered.size
    group = np.cumsum(np.isin(np.arange(end), starts)) - 1
    earliest: NDArray[np.int64] = order[:end][at[:end] == at[starts][group]]
    return earliest


def _first_rows(sample: EntitySample) -> EntitySample:
    """Keep one row an entity: the earliest, of those at one time the one with smaller cells."""
    keys = (*sample.cells.T[::-1], sample.times, sample.hashes)
    order = np.lexsort(keys)
    hashes = sample.hashes[order]
    first = order[np.append(True, hashes[1:] != hashes[:-1])[: hashes.size]][: sample.limit]
    return replace(
        sample, hashes=sample.hashes[first], times=sample.times[first], cells=sample.cells[first]
    )


def _cells(values: NDArray[Any], column: ColumnBaseline) -> NDArray[np.int64]:
    cells = column.cells
    masked: NDArray[np.bool_] = np.zeros(values.size, dtype=bool)
    if isinstance(cells, NumericBins):
        numbers = as_numbers(values)
        if isinstance(numbers, np.ma.MaskedArray):
            masked = np.broadcast_to(numbers.mask, numbers.shape)
        plain = np.asarray(np.ma.getdata(numbers), dtype=np.float64)  # type: ignore[no-untyped-call]
        found = cell_of(plain, cells) if cells.edges else np.zeros(plain.size, dtype=np.int64)
        found[np.isnan(plain)] = _NAN
        found[plain == -np.inf] = _NEG_INF
        found[plain == np.inf] = _POS_INF
    else:
        found, masked = _codes(values, cells)
    found[masked] = _MISSING
    return found


def _codes(values: NDArray[Any], cells: Vocabulary) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    masked: NDArray[np.bool_] = np.zeros(values.size, dtype=bool)
    if isinstance(values, np.ma.MaskedArray):
        masked = np.array(np.broadcast_to(values.mask, values.shape))
        values = values.data
    if values.dtype.kind in "US":
        found = codes_of(np.ascontiguousarray(values), cells)
        found[found == len(cells.levels)] = _OUTSIDE
        return found, masked
    places = {level: place for place, level in enumerate(cells.levels)}
    found = np.empty(values.size, dtype=np.int64)
    for place, value in enumerate(values.tolist()):
        text = text_of(value)
        masked[place] |= text is None
        found[place] = places.get(text, _OUTSIDE) if text is not None else _MISSING
    return found, masked
