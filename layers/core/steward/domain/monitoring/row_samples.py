"""Bounded samples of a window's rows, from chunks that are read once.

A chunk keeps the rows of the 500 units (inference ids, or entities) with the smallest hashes. The
smallest of a union are among the smallest of its parts, so merged samples are those of the whole
window, a row that was delivered twice once: a uniform sample, the same on every run.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steward.domain.digests import digest_of
from steward.domain.errors import RejectedError
from steward.domain.monitoring.baseline import Baseline
from steward.domain.monitoring.binning import Column, as_numbers
from steward.domain.monitoring.counts import NumericBins
from steward.domain.monitoring.entity_samples import hashes_of
from steward.domain.monitoring.sampled_rows import LIMIT, SampledRows, sampled_rows

FORMAT = 1


@dataclass(frozen=True)
class RowSample:
    """Rows of some chunks.

    Attributes:
        hashes: Of their units, ascending.
        times: In milliseconds since the epoch.
        kept: Their numbers.
    """

    hashes: NDArray[np.uint64]
    times: NDArray[np.int64]
    kept: SampledRows

    @property
    def digest(self) -> str:
        """SHA-256 of what the sample holds."""
        return digest_of(self._plain())

    def to_json(self) -> str:
        """Return the sample as JSON."""
        return json.dumps(self._plain(), sort_keys=True, separators=(",", ":"))

    def _plain(self) -> dict[str, Any]:
        return {
            "format": FORMAT, "kept": self.kept.model_dump(mode="json"),
            "hashes": base64.b64encode(self.hashes.astype("<u8").tobytes()).decode(),
            "times": base64.b64encode(self.times.astype("<i8").tobytes()).decode(),
        }  # fmt: skip


def row_sample_from_json(text: str | bytes) -> RowSample:
    """Return a sample from its JSON.

    Raises:
        RejectedError: It is none, or is broken.
    """
    try:
        plain = json.loads(text)
        if plain["format"] != FORMAT:
            raise ValueError(f"format {plain['format']!r}")
        kept = SampledRows.model_validate(plain["kept"])
        hashes = np.frombuffer(base64.b64decode(plain["hashes"]), "<u8").astype(np.uint64)
        times = np.frombuffer(base64.b64decode(plain["times"]), "<i8").astype(np.int64)
        if not hashes.size == times.size == kept.rows:
            raise ValueError(f"{hashes.size} hashes and {times.size} times of {kept.rows} rows")
        return RowSample(hashes, times, kept)
    except (ValueError, KeyError, TypeError) as error:
        raise RejectedError(f"this is no sample of rows: {error}", field="sample") from error


def numeric_features(baseline: Baseline, judged: Sequence[str] | None) -> tuple[str, ...]:
    """Return the numeric features of a baseline that are judged: all of them by default."""
    return tuple(
        column.name
        for column in baseline.features
        if isinstance(column.cells, NumericBins) and (judged is None or column.name in judged)
    )


def sample_rows(
    names: Sequence[str],
    columns: Mapping[str, Column],
    units: NDArray[Any],
    times: NDArray[np.int64],
    *,
    limit: int = LIMIT,
) -> RowSample:
    """Keep the rows of a chunk's units with the smallest hashes, the first row of each.

    Args:
        names: Columns that are kept; missing throughout where the chunk lacks one.
        columns: Values by name, arrays of one length.
        units: Inference ids, or entities.
        times: Of the rows, in milliseconds since the epoch.
        limit: Rows that are kept at most.
    """
    hashes = hashes_of(np.asarray(units))
    kept = _first(hashes, times, limit)
    table = np.full((kept.size, len(names)), np.nan)
    for place, name in enumerate(names):
        values = columns.get(name)
        if isinstance(values, np.ndarray):
            numbers = as_numbers(values[kept])
            table[:, place] = np.ma.filled(np.ma.asarray(numbers, np.float64), np.nan)  # type: ignore[no-untyped-call]
    return RowSample(hashes[kept], times[kept], sampled_rows(names, table))


def merge_row_samples(samples: Iterable[RowSample], *, limit: int = LIMIT) -> RowSample | None:
    """Return the sample of all chunks together; None without any.

    Give them in the order of their chunks' ids: of rows of one unit and one time the first counts.
    Columns that not all of them have are left out: what is declared changed in between.
    """
    given = list(samples)
    if not given:
        return None
    shared = set.intersection(*(set(sample.kept.columns) for sample in given))
    names = tuple(name for name in given[0].kept.columns if name in shared)
    hashes = np.concatenate([sample.hashes for sample in given])
    times = np.concatenate([sample.times for sample in given])
    table = np.concatenate([sample.kept.of(names) for sample in given])
    kept = _first(hashes, times, limit)
    return RowSample(hashes[kept], times[kept], sampled_rows(names, table[kept]))


def first_of_units(
    units: NDArray[Any], times: NDArray[np.int64], limit: int
) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Return the places of the earliest rows of the units with the smallest hashes, and these."""
    hashes = hashes_of(np.asarray(units))
    kept = _first(hashes, times, limit)
    return kept, hashes[kept]


def _first(hashes: NDArray[np.uint64], times: NDArray[np.int64], limit: int) -> NDArray[np.int64]:
    """Return the places of the earliest rows of the units with the smallest hashes."""
    order = np.lexsort((times, hashes))
    ordered = hashes[order]
    first: NDArray[np.int64] = order[np.append(True, ordered[1:] != ordered[:-1])[: ordered.size]]
    return first[:limit]
