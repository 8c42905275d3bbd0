"""Profiles: the counts of a chunk of captured rows on a baseline's cells.

A window is the sum of the profiles of its chunks. Sums are exact in any order, and a chunk that is
given twice is refused, so that nothing is scanned or counted twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from itertools import pairwise
from typing import Literal

from pydantic import Field

from steward.domain.digests import digest_of
from steward.domain.errors import RejectedError
from steward.domain.monitoring.baseline import Baseline, Unit
from steward.domain.monitoring.binning import Column, count_levels, count_numbers, rows_of
from steward.domain.monitoring.counts import Count, Counts, Frozen, NumericBins

FORMAT: Literal[1] = 1


class ProfilesDifferError(RejectedError):
    """Profiles that do not add up: of two baselines, of two units, or of one chunk twice."""


class Profile(Frozen):
    """Counts of one or more chunks.

    Attributes:
        format: Version of this form.
        baseline: Digest of the baseline on whose cells they lie.
        unit: What one count is.
        chunks: Ids of the chunks, ascending, none twice.
        rows: Rows (or entities) that were counted.
        first: Time of the earliest row, in milliseconds since the epoch; None where unknown.
        last: Time of the latest.
        columns: By column of the baseline; a chunk that lacks one has all its rows missing there.
        unknown_columns: Rows of chunks by column that the baseline lacks; they are not counted.
        absent_columns: Rows of chunks by column that the baseline has and they lacked.
    """

    format: Literal[1] = FORMAT
    baseline: str
    unit: Unit = "event"
    chunks: tuple[str, ...]
    rows: Count
    first: int | None = None
    last: int | None = None
    columns: dict[str, Counts]
    unknown_columns: dict[str, int] = Field(default_factory=dict)
    absent_columns: dict[str, int] = Field(default_factory=dict)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the whole profile."""
        return digest_of(self.model_dump(mode="json"))


def profile_chunk(
    baseline: Baseline,
    columns: Mapping[str, Column],
    chunk: str,
    *,
    first: int | None = None,
    last: int | None = None,
) -> Profile:
    """Count a chunk of rows, each of them once (unit ``event``).

    Args:
        baseline: Whose cells are used.
        columns: Values by name, all of one length.
        chunk: Id of the chunk.
        first: Time of its earliest row, in milliseconds.
        last: Time of its latest row.

    Raises:
        RejectedError: The columns differ in length, or the baseline counts entities.
    """
    if baseline.unit != "event":
        raise RejectedError(
            "the baseline counts entities: a chunk of rows becomes an entity sample",
            field="unit", value=baseline.unit, allowed="event",
        )  # fmt: skip
    rows = _rows(columns)
    counts: dict[str, Counts] = {}
    for column in baseline.columns:
        values = columns.get(column.name)
        if values is None:
            counts[column.name] = column.cells.nothing(rows)
        elif isinstance(column.cells, NumericBins):
            counts[column.name] = count_numbers(values, column.cells)
        else:
            counts[column.name] = count_levels(values, column.cells)
    known = {column.name for column in baseline.columns}
    return Profile.model_construct(
        baseline=baseline.digest, unit=baseline.unit, chunks=(chunk,), rows=rows,
        first=first, last=last, columns=counts,
        unknown_columns=dict.fromkeys(sorted(set(columns) - known), rows),
        absent_columns=dict.fromkeys(sorted(known - set(columns)), rows),
    )  # fmt: skip


def empty_profile(baseline: Baseline) -> Profile:
    """Return the profile of no chunk: the zero of :func:`merge`."""
    return Profile.model_construct(
        baseline=baseline.digest, unit=baseline.unit, chunks=(), rows=0,
        columns={column.name: column.cells.nothing() for column in baseline.columns},
        unknown_columns={}, absent_columns={},
    )  # fmt: skip


def merge(profiles: Iterable[Profile]) -> Profile:
    """Return the profile of all chunks together: all integers exactly, in any order.

    Raises:
        ProfilesDifferError: Their baselines or units differ, a chunk occurs twice, they count
            entities (which may recur: samples are merged instead), or there is no profile at all
            (``empty_profile`` gives the zero of a baseline).
    """
    given = list(profiles)
    if not given:
        raise ProfilesDifferError("no profile was given", field="profiles")
    _require_alike(given)
    chunks = sorted(chunk for profile in given for chunk in profile.chunks)
    twice = sorted({one for one, two in pairwise(chunks) if one == two})
    if twice:
        raise ProfilesDifferError(
            f"chunks given twice: {', '.join(twice[:5])}", field="chunks", value=twice[0]
        )
    return Profile.model_construct(
        baseline=given[0].baseline, unit=given[0].unit, chunks=tuple(chunks),
        rows=sum(profile.rows for profile in given),
        first=min((p.first for p in given if p.first is not None), default=None),
        last=max((p.last for p in given if p.last is not None), default=None),
        columns={
            name: _summed(counts, (profile.columns[name] for profile in given[1:]))
            for name, counts in given[0].columns.items()
        },
        unknown_columns=added(profile.unknown_columns for profile in given),
        absent_columns=added(profile.absent_columns for profile in given),
    )  # fmt: skip


def _require_alike(profiles: list[Profile]) -> None:
    first = profiles[0]
    for profile in profiles[1:]:
        if profile.baseline != first.baseline:
            raise ProfilesDifferError(
                f"profiles of two baselines: {first.baseline} and {profile.baseline}",
                field="baseline", value=profile.baseline, allowed=first.baseline,
            )  # fmt: skip
        if profile.unit != first.unit:
            raise ProfilesDifferError(
                f"profiles of two units: {first.unit} and {profile.unit}",
                field="unit", value=profile.unit, allowed=first.unit,
            )  # fmt: skip
    if first.unit == "entity" and sum(profile.rows > 0 for profile in profiles) > 1:
        raise ProfilesDifferError(
            "entities may recur: merge their samples, not their profiles", field="unit",
            value="entity", allowed="event",
        )  # fmt: skip


def _summed(first: Counts, others: Iterable[Counts]) -> Counts:
    total = first
    for other in others:
        total = total + other  # type: ignore[operator]
    return total


def added(parts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Return the sums by name."""
    total: dict[str, int] = {}
    for part in parts:
        for name, rows in part.items():
            total[name] = total.get(name, 0) + rows
    return dict(sorted(total.items()))


def _rows(columns: Mapping[str, Column]) -> int:
    lengths = {name: rows_of(column) for name, column in columns.items()}
    rows = next(iter(lengths.values()), 0)
    for name, length in lengths.items():
        if length != rows:
            raise RejectedError(
                f"column {name!r} has {length} rows, others {rows}", field=name, value=length
            )
    return rows
