"""Chunks of a history of rows: by period, by number of rows, by number of chunks."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Remainder = Literal["keep", "join", "drop"]
"""What the rows after the last full chunk are: a shorter chunk, part of the one before, nothing."""


@dataclass(frozen=True)
class Chunk:
    """Rows ``start`` to ``stop`` (exclusive) of a history in order of time.

    Attributes:
        key: Begin of the period in seconds since the epoch, or the chunk's number.
        complete: Whether it has all that a chunk has.
    """

    key: float
    start: int
    stop: int
    complete: bool = True


def by_period(times_s: Sequence[float], period_s: float, *, until_s: float) -> list[Chunk]:
    """Return a chunk for each period from the first row's to ``until_s``, empty ones too.

    Periods are aligned with the epoch, so that chunks of any two histories match; an empty chunk
    is no traffic, which is a state of its own.

    Args:
        times_s: Seconds since the epoch, ascending.
        period_s: Length of a period.
        until_s: The present; the period that holds it is not complete.

    Raises:
        ValueError: The period is not positive, times are not ascending, or one is at or after
            ``until_s``.
    """
    if not period_s > 0:
        raise ValueError(f"period_s must be positive, not {period_s!r}")
    if not times_s:
        return []
    if any(later < earlier for earlier, later in itertools.pairwise(times_s)):
        raise ValueError("times must ascend")
    if times_s[-1] >= until_s:
        raise ValueError(f"the last row at {times_s[-1]!r} is not before {until_s!r}")
    first = math.floor(times_s[0] / period_s)
    last = math.ceil(until_s / period_s)
    chunks, row = [], 0
    for number in range(first, last):
        begin, end = number * period_s, (number + 1) * period_s
        start = row
        while row < len(times_s) and times_s[row] < end:
            row += 1
        chunks.append(Chunk(begin, start, row, complete=end <= until_s))
    return chunks


def by_size(rows: int, size: int, *, remainder: Remainder = "keep") -> list[Chunk]:
    """Return chunks of ``size`` rows.

    Raises:
        ValueError: ``size`` is not positive.
    """
    if size < 1:
        raise ValueError(f"size must be at least 1, not {size!r}")
    chunks = [Chunk(n, n * size, (n + 1) * size) for n in range(rows // size)]
    full = len(chunks) * size
    if full == rows or remainder == "drop":
        return chunks
    if remainder == "join" and chunks:
        before = chunks[-1]
        return [*chunks[:-1], Chunk(before.key, before.start, rows)]
    return [*chunks, Chunk(len(chunks), full, rows, complete=False)]


def by_count(rows: int, count: int) -> list[Chunk]:
    """Return ``count`` chunks of sizes that differ by at most one row.

    Raises:
        ValueError: There are fewer rows than chunks, or no chunk is asked for.
    """
    if not 1 <= count <= rows:
        raise ValueError(f"count must lie between 1 and the number of rows {rows}, not {count!r}")
    edges = [rows * n // count for n in range(count + 1)]
    return [Chunk(n, edges[n], edges[n + 1]) for n in range(count)]
