"""What a column holds, as integers that add up: counts by cell, and moments in fixed point.

Every field but the extremes is an integer, so that profile(A) + profile(B) = profile(A and B),
exactly, in any order and any grouping. ``minimum`` and ``maximum`` are floats that merge exactly
too. Nothing here is a float sum.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

EXAMPLES = 5
"""New values of a categorical column that a profile names: the first in the order of text."""


class Frozen(BaseModel):
    """A record that never changes, built when it is first used."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


Count = Annotated[int, Field(ge=0)]


class Moments(Frozen):
    """Sums of finite values in fixed point: ``k = round((x - centre) / unit)``, |k| <= 2^24.

    The unit is that of the column's :class:`NumericBins`, 2^-14 of the power of two above the
    baseline's interquartile range. What lies further out counts as 2^24 units, so that one value
    of 1e300 does not destroy the moments; ``winsorised`` says how many did.

    Attributes:
        count: Values that were summed: all finite ones.
        total: Sum of k.
        squares: Sum of k squared.
        winsorised: Values beyond the limit.
    """

    count: Count = 0
    total: int = 0
    squares: Count = 0
    winsorised: Count = 0

    def __add__(self, other: Moments) -> Moments:
        return Moments.model_construct(
            count=self.count + other.count,
            total=self.total + other.total,
            squares=self.squares + other.squares,
            winsorised=self.winsorised + other.winsorised,
        )

    def mean(self, centre: float, unit: float) -> float | None:
        """Return the mean of the values; None where there are none."""
        return centre + unit * (self.total / self.count) if self.count else None

    def deviation(self, unit: float) -> float | None:
        """Return the standard deviation (divisor n) of the values; None where there are none."""
        if not self.count:
            return None
        # n * sum(k^2) - sum(k)^2 is an exact integer and never negative.
        return unit * math.sqrt(self.count * self.squares - self.total**2) / self.count


class NumericCounts(Frozen):
    """Rows of a numeric column by cell.

    Attributes:
        below: Finite values below the baseline's smallest.
        bins: Finite values in each of the baseline's bins.
        above: Finite values above the baseline's largest.
        unbinned: Finite values of a column whose baseline had none, so that it has no bins.
        missing: Rows without a value.
        nan: Values that are not a number.
        neg_inf: Values of minus infinity.
        pos_inf: Values of plus infinity.
        moments: Of the finite values; None where they were not kept.
        minimum: Smallest finite value.
        maximum: Largest finite value.
    """

    kind: Literal["numeric"] = "numeric"
    below: Count = 0
    bins: tuple[Count, ...] = ()
    above: Count = 0
    unbinned: Count = 0
    missing: Count = 0
    nan: Count = 0
    neg_inf: Count = 0
    pos_inf: Count = 0
    moments: Moments | None = Moments()
    minimum: float | None = None
    maximum: float | None = None

    @property
    def ordered(self) -> tuple[int, ...]:
        """Finite values by cell in ascending order: below, the bins, above."""
        return (self.below, *self.bins, self.above)

    @property
    def presence(self) -> tuple[int, ...]:
        """Rows by what kind of value they have: finite, missing, NaN, -inf, +inf."""
        return (self.finite, self.missing, self.nan, self.neg_inf, self.pos_inf)

    @property
    def finite(self) -> int:
        """Finite values."""
        return self.below + sum(self.bins) + self.above + self.unbinned

    @property
    def rows(self) -> int:
        """All rows."""
        return sum(self.presence)

    def __add__(self, other: NumericCounts) -> NumericCounts:
        kept = self.moments is not None and other.moments is not None
        return NumericCounts.model_construct(
            below=self.below + other.below,
            bins=tuple(map(int.__add__, self.bins, other.bins)),
            above=self.above + other.above,
            unbinned=self.unbinned + other.unbinned,
            missing=self.missing + other.missing,
            nan=self.nan + other.nan,
            neg_inf=self.neg_inf + other.neg_inf,
            pos_inf=self.pos_inf + other.pos_inf,
            moments=self.moments + other.moments if kept else None,  # type: ignore[operator]
            minimum=_extreme(min, self.minimum, other.minimum),
            maximum=_extreme(max, self.maximum, other.maximum),
        )

    def fits(self, other: NumericCounts | CategoricalCounts) -> bool:
        """Whether both count on the same number of bins."""
        return isinstance(other, NumericCounts) and len(self.bins) == len(other.bins)


class CategoricalCounts(Frozen):
    """Rows of a categorical column by level of the baseline's vocabulary.

    Attributes:
        levels: Rows of each level, in the vocabulary's order.
        outside: Rows whose value is not in the vocabulary: ``new`` ones, and in a baseline the
            levels that were too many to be listed.
        missing: Rows without a value.
        examples: Up to five values outside the vocabulary, the first in the order of text.
    """

    kind: Literal["categorical"] = "categorical"
    levels: tuple[Count, ...] = ()
    outside: Count = 0
    missing: Count = 0
    examples: tuple[str, ...] = ()

    @property
    def present(self) -> int:
        """Rows with a value."""
        return sum(self.levels) + self.outside

    @property
    def rows(self) -> int:
        """All rows."""
        return self.present + self.missing

    def __add__(self, other: CategoricalCounts) -> CategoricalCounts:
        return CategoricalCounts.model_construct(
            levels=tuple(map(int.__add__, self.levels, other.levels)),
            outside=self.outside + other.outside,
            missing=self.missing + other.missing,
            examples=tuple(sorted({*self.examples, *other.examples})[:EXAMPLES]),
        )

    def fits(self, other: NumericCounts | CategoricalCounts) -> bool:
        """Whether both count on vocabularies of the same size."""
        return isinstance(other, CategoricalCounts) and len(self.levels) == len(other.levels)


Counts = Annotated[NumericCounts | CategoricalCounts, Field(discriminator="kind")]


class NumericBins(Frozen):
    """Bins of a numeric column: ``(edges[i], edges[i + 1]]``, finite, ascending.

    Attributes:
        edges: The lowest lies just below the smallest value of the baseline, the highest is its
            largest; between them the fiftieths, the outer ones divided once more. A value that
            fills a bin alone has one of its own; so has each value where there are at most fifty.
            None where the baseline has no finite value.
        centre: Baseline's median, from which moments are taken.
        unit: Power of two in which moments are counted.
        iqr: Baseline's interquartile range.
    """

    kind: Literal["numeric"] = "numeric"
    edges: tuple[float, ...] = ()
    centre: float = 0.0
    unit: float = 1.0
    iqr: float = 0.0

    def nothing(self, rows: int = 0) -> NumericCounts:
        """Return the counts of so many rows without a value."""
        return NumericCounts(bins=(0,) * max(0, len(self.edges) - 1), missing=rows)


class Vocabulary(Frozen):
    """Levels of a categorical column, most frequent first, then in the order of text."""

    kind: Literal["categorical"] = "categorical"
    levels: tuple[str, ...] = ()

    def nothing(self, rows: int = 0) -> CategoricalCounts:
        """Return the counts of so many rows without a value."""
        return CategoricalCounts(levels=(0,) * len(self.levels), missing=rows)


Cells = Annotated[NumericBins | Vocabulary, Field(discriminator="kind")]


class ColumnBaseline(Frozen):
    """What one column held when its version was trained.

    Attributes:
        name: As in the captured features; ``prediction`` or the label's name for those.
        cells: Bins or vocabulary.
        counts: Rows of the baseline on them.
    """

    name: str
    cells: Cells
    counts: Counts

    @property
    def is_constant(self) -> bool:
        """Whether all values were one and the same."""
        counts = self.counts
        if isinstance(counts, NumericCounts):
            return counts.minimum is not None and counts.minimum == counts.maximum
        return sum(rows > 0 for rows in counts.levels) == 1 and not counts.outside

    @property
    def is_all_missing(self) -> bool:
        """Whether no row had a value."""
        return self.counts.rows == self.counts.missing

    def combined(self, one: Counts, two: Counts) -> Counts:
        """Return the counts of both, which lie on this column's cells."""
        if isinstance(one, NumericCounts) and isinstance(two, NumericCounts):
            return one + two
        assert isinstance(one, CategoricalCounts)
        assert isinstance(two, CategoricalCounts)
        return one + two

    def require(self, counts: NumericCounts | CategoricalCounts) -> Self:
        """Raise ValueError unless the counts lie on this column's cells."""
        expected = self.cells.nothing()
        if not expected.fits(counts):
            raise ValueError(f"counts of {self.name!r} do not lie on the baseline's cells")
        return self


def _extreme(choose: object, one: float | None, two: float | None) -> float | None:
    if one is None or two is None:
        return two if one is None else one
    return choose(one, two)  # type: ignore[operator, no-any-return]
