"""From arrays to counts: bins and vocabularies are learnt once, then values are counted on them.

Numbers are counted by comparing the whole array with one edge after another, which numpy does
faster than a search or a sort. Texts of fixed width are matched as machine words.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steward.domain.monitoring.counts import (
    EXAMPLES,
    CategoricalCounts,
    Moments,
    NumericBins,
    NumericCounts,
    Vocabulary,
)

BINS = 50
LEVELS = 200
"""Levels that a vocabulary lists; the rows of rarer ones are counted together."""
TEXT = 100
"""Characters of a new value that is shown as an example."""
_SMALL = 3_000
"""Values up to which sorting them costs less than comparing them with each edge."""
_FRACTION = 2.0**-14
_LIMIT = 2.0**24
_SHARES = (0.001, 0.005, *(step / BINS for step in range(1, BINS)), 0.995, 0.999)
"""Quantiles at inner edges: the fiftieths, and the outer fiftieths once more divided."""
_SAMPLE = 20_000
_BLOCK = 8_192
"""Values that are summed at a time: squares of up to 2^48 stay below 2^63."""

Floats = NDArray[np.float64]
Texts = NDArray[Any]
Column = NDArray[Any] | Mapping[str | None, int]
"""Values of a column.

Numbers: an array of integers or floats; NaN and infinities are values of their own, what a masked
array masks is missing. Categories: an array of text of fixed width (``U``; ``S`` is UTF-8), of
objects (None is missing) or of booleans (``false``, ``true``), or the rows by value as an engine
counted them (the key None is missing).
"""


def is_numeric(column: Column) -> bool:
    """Whether a column holds numbers."""
    return isinstance(column, np.ndarray) and column.dtype.kind in "iuf"


def rows_of(column: Column) -> int:
    """Return how many rows a column has."""
    return len(column) if isinstance(column, np.ndarray) else sum(column.values())


def present(column: NDArray[Any]) -> tuple[NDArray[Any], int]:
    """Return the values that are there, and how many are missing."""
    if not isinstance(column, np.ma.MaskedArray):
        return column, 0
    mask = np.broadcast_to(column.mask, column.shape)
    missing = int(np.count_nonzero(mask))
    return (column.data[~mask] if missing else column.data), missing


def learn_bins(column: NDArray[Any]) -> NumericBins:
    """Return the bins of a numeric column: its fiftieths, or each of at most fifty values.

    Beyond 40,000 values every n-th gives the fiftieths, at least 20,000 of them; the outer edges
    are those of all.
    """
    values = np.asarray(present(column)[0], dtype=np.float64)
    finite = values[np.isfinite(values)]
    if not finite.size:
        return NumericBins()
    low, high = float(finite.min()) + 0.0, float(finite.max()) + 0.0
    ordered = np.sort(finite[:: max(1, finite.size // _SAMPLE)])
    upper = _few(ordered)
    if upper is None:
        places = [rank - 1 for rank in _ranks(ordered.size)]
        chosen = ordered[places]
        upper, times = np.unique(chosen, return_counts=True)
        # A value that is two fiftieths or more has a bin of its own.
        alone = [math.nextafter(edge, -math.inf) for edge in upper[times > 1].tolist()]
        upper = np.union1d(upper, alone)
    lowest = math.nextafter(low, -math.inf)
    inner = {float(edge) + 0.0 for edge in upper if low <= edge < high}
    first, middle, third = (
        float(ordered[int((ordered.size - 1) * share)]) for share in (0.25, 0.5, 0.75)
    )
    iqr = _bounded(third - first)
    unit = _unit(iqr or _bounded(high - low))
    return NumericBins(
        edges=tuple(sorted({lowest if math.isfinite(lowest) else low, *inner, high})),
        centre=_on_grid(middle, unit), unit=unit, iqr=iqr,
    )  # fmt: skip


def inner_ranks(rows: int) -> tuple[int, list[int]]:
    """Return how many of so many values give the quantiles, and their ranks among these."""
    step = max(1, rows // _SAMPLE)
    sampled = -(-rows // step)
    return sampled, sorted({rank for rank in _ranks(sampled) if rank < sampled})


def _ranks(values: int) -> list[int]:
    return [math.ceil(values * share) for share in _SHARES]


def _few(finite: Floats) -> Floats | None:
    """Return the different values of a sorted array where there are at most fifty."""
    steps = np.flatnonzero(finite[1:] != finite[:-1])
    return None if steps.size >= BINS else np.append(finite[steps], finite[-1])


def _bounded(spread: float) -> float:
    return min(spread, 1e300)


def _unit(spread: float) -> float:
    if spread <= 0:
        return _FRACTION
    exponent = math.ceil(math.log2(spread)) + math.log2(_FRACTION)
    return float(2.0 ** max(-1000.0, exponent))


def _on_grid(value: float, unit: float) -> float:
    """Return the nearest multiple of the unit, so that moments of round numbers are exact."""
    scaled = value / unit
    return round(scaled) * unit if abs(scaled) < 2**52 else value


def as_numbers(column: Column) -> NDArray[Any]:
    """Return a column as numbers: text that is none becomes NaN, None is masked."""
    if is_numeric(column):
        return column  # type: ignore[return-value]
    pairs = column.items() if isinstance(column, Mapping) else ((v, 1) for v in column.tolist())
    numbers, masked = [], []
    for value, rows in pairs:
        numbers += [_number(value)] * rows
        masked += [value is None] * rows
    return np.ma.MaskedArray(  # type: ignore[no-untyped-call]
        np.array(numbers, dtype=np.float64), mask=np.array(masked, dtype=bool)
    )


def _number(value: Any) -> float:
    try:
        return math.nan if value is None else float(value)
    except (ValueError, TypeError, OverflowError):
        return math.nan


def count_numbers(column: Column, cells: NumericBins) -> NumericCounts:
    """Count a numeric column on a baseline's bins; what is no number counts as NaN."""
    values, missing = present(as_numbers(column))
    values = np.ascontiguousarray(values, dtype=np.float64)
    nan = values.size - int(np.count_nonzero(values == values))  # noqa: PLR0124
    neg_inf = int(np.count_nonzero(values == -np.inf))
    pos_inf = int(np.count_nonzero(values == np.inf))
    finite = values[np.isfinite(values)] if nan + neg_inf + pos_inf else values
    if not finite.size:
        nothing = cells.nothing()
        return nothing.model_copy(
            update={"missing": missing, "nan": nan, "neg_inf": neg_inf, "pos_inf": pos_inf}
        )
    ends = _counts_up_to(finite, cells.edges)
    bins = tuple(upper - lower for lower, upper in pairwise(ends))
    return NumericCounts.model_construct(
        below=ends[0] if ends else 0,
        bins=bins,
        above=finite.size - ends[-1] if ends else 0,
        unbinned=0 if ends else finite.size,
        missing=missing, nan=nan, neg_inf=neg_inf, pos_inf=pos_inf,
        moments=moments_of(finite, cells),
        minimum=float(finite.min()) + 0.0,
        maximum=float(finite.max()) + 0.0,
    )  # fmt: skip


def _counts_up_to(values: Floats, edges: tuple[float, ...]) -> list[int]:
    """Return how many values are at most each edge, in blocks that stay in the cache."""
    if values.size <= _SMALL:
        found: list[int] = np.searchsorted(np.sort(values), edges, side="right").tolist()
        return found
    ends = [0] * len(edges)
    block = 4 * _BLOCK
    held = np.empty(block, dtype=bool)
    for start in range(0, values.size, block):
        part = values[start : start + block]
        is_below = held[: part.size]
        for place, edge in enumerate(edges):
            np.less_equal(part, edge, out=is_below)
            ends[place] += int(np.count_nonzero(is_below))
    return ends


def moments_of(finite: Floats, cells: NumericBins) -> Moments:
    """Return the moments of finite values in the fixed point of their bins."""
    total = squares = winsorised = 0
    for start in range(0, finite.size, _BLOCK):
        with np.errstate(over="ignore"):
            steps = np.rint((finite[start : start + _BLOCK] - cells.centre) / cells.unit)
        beyond = int(np.count_nonzero(np.abs(steps) > _LIMIT))
        if beyond:
            winsorised += beyond
            np.clip(steps, -_LIMIT, _LIMIT, out=steps)
        whole = steps.astype(np.int64)
        total += int(whole.sum())
        squares += int(np.dot(whole, whole))
    return Moments.model_construct(
        count=finite.size, total=total, squares=squares, winsorised=winsorised
    )


def cell_of(column: NDArray[Any], cells: NumericBins) -> NDArray[np.int64]:
    """Return the cell of each value of an unmasked array: 0 is below, the last is above."""
    return np.searchsorted(np.asarray(cells.edges), column, side="left")


def learn_levels(column: Column, limit: int = LEVELS) -> Vocabulary:
    """Return the vocabulary of a categorical column: its most frequent levels."""
    counted = count_by_value(column)
    counted.pop(None, None)
    ranked = sorted(counted.items(), key=lambda item: (-item[1], item[0] or ""))
    return Vocabulary(levels=tuple(str(level) for level, rows in ranked[:limit] if rows))


def count_by_value(column: Column) -> dict[str | None, int]:
    """Return the rows by value; None is missing."""
    if not isinstance(column, np.ndarray):
        return dict(column)
    values, missing = present(column)
    counted: Counter[str | None] = Counter({None: missing} if missing else {})
    if values.dtype.kind in "US" and values.size:
        first, rows = _distinct(np.ascontiguousarray(values))
        for value, count in zip(values[first].tolist(), rows.tolist(), strict=True):
            counted[text_of(value)] += count
        return counted
    for value, count in Counter(values.tolist()).items():
        counted[text_of(value)] += count
    return counted


def count_levels(column: Column, cells: Vocabulary) -> CategoricalCounts:
    """Count a categorical column on a baseline's vocabulary."""
    fast = isinstance(column, np.ndarray) and column.dtype.kind in "US"
    if fast and cells.levels:
        return _count_fixed_width(column, cells)  # type: ignore[arg-type]
    counted = count_by_value(column)
    missing = counted.pop(None, 0)
    levels = tuple(counted.pop(level, 0) for level in cells.levels)
    return CategoricalCounts(
        levels=levels,
        outside=sum(counted.values()),
        missing=missing,
        examples=_examples(str(value) for value, rows in counted.items() if rows),
    )


def _count_fixed_width(column: NDArray[Any], cells: Vocabulary) -> CategoricalCounts:
    values, missing = present(column)
    values = np.ascontiguousarray(values)
    codes = codes_of(values, cells)
    counted = np.bincount(codes, minlength=len(cells.levels) + 1)
    outside = int(counted[-1])
    new = values[codes == len(cells.levels)] if outside else values[:0]
    return CategoricalCounts.model_construct(
        levels=tuple(counted[:-1].tolist()),
        outside=outside,
        missing=missing,
        examples=_examples(text_of(value) or "" for value in np.unique(new).tolist()),
    )


def codes_of(values: Texts, cells: Vocabulary) -> NDArray[np.int64]:
    """Return each text's place in the vocabulary; its length for those outside."""
    outside = len(cells.levels)
    if not values.size:
        return np.zeros(0, dtype=np.int64)
    known = [
        (place, level)
        for place, level in enumerate(cells.levels)
        if _width(level, values.dtype) <= _width_of(values.dtype)
    ]
    if not known:
        return np.full(values.size, outside, dtype=np.int64)
    listed = np.array([_encoded(level, values.dtype) for _, level in known], dtype=values.dtype)
    words, own = _words(values), _words(listed)
    keys, order, multipliers = _keys(own)
    found = np.minimum(np.searchsorted(keys, _hashed(words, multipliers)), keys.size - 1)
    place = order[found]
    same = np.ones(values.size, dtype=bool)
    for number in range(words.shape[1]):
        # A hash that is alike decides nothing: the words are compared.
        same &= words[:, number] == own[place, number]
    codes: NDArray[np.int64] = np.array([place for place, _ in known], dtype=np.int64)[place]
    codes[~same] = outside
    return codes


def _keys(own: NDArray[Any]) -> tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.uint64]]:
    """Return hashes of different rows that differ, ascending, with their order and multipliers."""
    for seed in range(100):
        multipliers = _multipliers(own.shape[1], seed)
        hashed = _hashed(own, multipliers)
        order = np.argsort(hashed)
        if np.all(hashed[order][1:] != hashed[order][:-1]):
            return hashed[order], order, multipliers
    raise ValueError("the vocabulary holds a level twice")


def _multipliers(words: int, seed: int) -> NDArray[np.uint64]:
    return np.random.default_rng(seed).integers(1, 2**63, words, dtype=np.uint64) * np.uint64(
        2
    ) + np.uint64(1)


def _hashed(words: NDArray[Any], multipliers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    total = words[:, 0] * multipliers[0]
    for place in range(1, words.shape[1]):
        total += words[:, place] * multipliers[place]
    return np.asarray(total ^ (total >> np.uint64(32)), dtype=np.uint64)


def _words(values: Texts) -> NDArray[Any]:
    """Return texts of fixed width as rows of machine words."""
    width = values.dtype.itemsize
    word = next(kind for kind in ("u8", "u4", "u2", "u1") if width % int(kind[1]) == 0)
    return values.view(word).reshape(values.size, -1)


def _distinct(values: Texts) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the place of one of each different text, and how often it occurs."""
    words = _words(values)
    hashed = _hashed(words, _multipliers(words.shape[1], 0))
    keys, first = np.unique(hashed, return_index=True)
    found = first[np.searchsorted(keys, hashed)]
    if all(np.array_equal(word, word[found]) for word in words.T):
        return first, np.bincount(found, minlength=values.size)[first]
    _, first, rows = np.unique(values, return_index=True, return_counts=True)
    return first, rows


def _width_of(dtype: np.dtype[Any]) -> int:
    return dtype.itemsize // (4 if dtype.kind == "U" else 1)


def _width(level: str, dtype: np.dtype[Any]) -> int:
    return len(level) if dtype.kind == "U" else len(level.encode())


def _encoded(level: str, dtype: np.dtype[Any]) -> str | bytes:
    return level if dtype.kind == "U" else level.encode()


def text_of(value: object) -> str | None:
    """Return a value as the text of a level; None stays None."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _examples(values: Any) -> tuple[str, ...]:
    return tuple(sorted({value[:TEXT] for value in values})[:EXAMPLES])
