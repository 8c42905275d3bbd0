"""What an experiment freezes of one arm in one step: sums over randomised units, mergeable.

STATISTICS rule 10: per unit (entity) y is its total of the metric, d its denominator (requests,
say; 1 where the metric is a mean per unit) and x a covariate from before its first exposure.
The sums are enough for means, ratios and covariate adjustment; the histogram for everything
that needs the shape. Per-request counters cannot give the variance.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence

from pydantic import BaseModel, ConfigDict, Field, model_validator

from steward.domain.digests import digest_of
from steward.domain.errors import InvalidStatisticsError

SUMS = ("y", "x", "y2", "x2", "xy", "d", "d2", "yd")
_SLACK = 1e-9


class Frozen(BaseModel):
    """A record that never changes, built when it is first used."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class Histogram(Frozen):
    """Counts of units at edges that were fixed before the data.

    Bin i holds edges[i] <= y < edges[i + 1]; the last bin includes its upper edge. An edge that
    is written twice makes an atom, a bin of exactly that value: (0, 0, 1, 1) is binary. Values
    outside are counted in ``below`` and ``above``; for a bounded metric they count as the bound
    (the estimand is then the mean of the clipped value).
    """

    edges: tuple[float, ...] = Field(min_length=2)
    counts: tuple[int, ...]
    below: int = 0
    above: int = 0

    @model_validator(mode="after")
    def _check(self) -> Histogram:
        for position, edge in enumerate(self.edges):
            if not math.isfinite(edge):
                raise _refused(f"edges[{position}]", edge, "a finite number")
            if position and edge < self.edges[position - 1]:
                raise _refused(f"edges[{position}]", edge, "an edge not below the one before")
        if len(self.counts) != len(self.edges) - 1:
            raise _refused("counts", len(self.counts), f"{len(self.edges) - 1} counts")
        for position, count in enumerate((*self.counts, self.below, self.above)):
            if count < 0:
                raise _refused(f"counts[{position}]", count, "a count of 0 or more")
        return self

    @property
    def total(self) -> int:
        """Number of units, those outside the edges too."""
        return sum(self.counts) + self.below + self.above

    @property
    def clipped(self) -> tuple[int, ...]:
        """Counts with the units outside the edges in the outermost bins."""
        counts = list(self.counts)
        counts[0] += self.below
        counts[-1] += self.above
        return tuple(counts)

    def at_most(self, position: int) -> int:
        """Return how many units lie below ``edges[position]``: exact, whatever the bins."""
        return self.below + sum(self.counts[:position])

    def merge(self, other: Histogram) -> Histogram:
        """Return the histogram of both sets of units.

        Raises:
            InvalidStatisticsError: The edges differ.
        """
        if self.edges != other.edges:
            raise _refused("edges", other.edges[:3], "the edges of the other histogram")
        return Histogram(
            edges=self.edges,
            counts=tuple(a + b for a, b in zip(self.counts, other.counts, strict=True)),
            below=self.below + other.below,
            above=self.above + other.above,
        )


def histogram_of(values: Iterable[float], edges: Sequence[float]) -> Histogram:
    """Count values at fixed edges.

    Raises:
        InvalidStatisticsError: A value is NaN or infinite.
    """
    counts, below, above = [0] * (len(edges) - 1), 0, 0
    for position, value in enumerate(values):
        if not math.isfinite(value):
            raise _refused(f"values[{position}]", value, "a finite number")
        if value < edges[0]:
            below += 1
        elif value > edges[-1]:
            above += 1
        else:
            counts[bin_of(value, edges)] += 1
    return Histogram(edges=tuple(edges), counts=tuple(counts), below=below, above=above)


def bin_of(value: float, edges: Sequence[float]) -> int:
    """Return the bin of a value within the edges."""
    position = bisect_right(edges, value) - 1
    if position > 0 and edges[position] == edges[position - 1] == value:
        return position - 1
    return min(position, len(edges) - 2)


class ArmStatistics(Frozen):
    """Sums over the matured units of one arm in one step.

    Attributes:
        n: Number of units.
        y: Sum of the metric's total per unit; ``y2`` of its squares, and so on for the
            covariate ``x``, the denominator ``d`` and the products ``xy`` and ``yd``.
        histogram: Counts of y, where the metric's method needs the shape.

    Raises:
        InvalidStatisticsError: NaN or an infinity, a negative n, d or sum of squares, or sums
            that no data can have (Cauchy-Schwarz).
    """

    n: int
    y: float = 0.0
    x: float = 0.0
    y2: float = 0.0
    x2: float = 0.0
    xy: float = 0.0
    d: float = 0.0
    d2: float = 0.0
    yd: float = 0.0
    histogram: Histogram | None = None

    @model_validator(mode="after")
    def _check(self) -> ArmStatistics:
        if self.n < 0:
            raise _refused("n", self.n, "a count of 0 or more")
        for name in SUMS:
            value = getattr(self, name)
            if not math.isfinite(value):
                raise _refused(name, value, "a finite number")
            if self.n == 0 and value != 0:
                raise _refused(name, value, "0 where there are no units")
        for name in ("y2", "x2", "d", "d2"):
            if getattr(self, name) < 0:
                raise _refused(name, getattr(self, name), "0 or more")
        for product, first, second, limit in (
            ("y", self.y, self.y, self.n * self.y2),
            ("x", self.x, self.x, self.n * self.x2),
            ("d", self.d, self.d, self.n * self.d2),
            ("xy", self.xy, self.xy, self.x2 * self.y2),
            ("yd", self.yd, self.yd, self.d2 * self.y2),
        ):
            if first * second > limit * (1 + _SLACK) + _SLACK:
                raise _refused(product, first, "a sum that agrees with its sums of squares")
        if self.histogram is not None and self.histogram.total != self.n:
            raise _refused("histogram", self.histogram.total, f"as many units as n = {self.n}")
        return self

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON; equal digests have equal verdicts."""
        return digest_of(self.model_dump(mode="json"))

    @property
    def mean(self) -> float:
        """Mean of y per unit; 0 without units."""
        return self.y / self.n if self.n else 0.0

    def merge(self, other: ArmStatistics) -> ArmStatistics:
        """Return the statistics of both disjoint sets of units of one arm and step.

        Counts merge exactly, sums to rounding (add in the order of cohort ids for equal bytes).

        Raises:
            InvalidStatisticsError: One has a histogram and the other, with units, has none.
        """
        histogram = self.histogram or other.histogram
        if self.histogram is not None and other.histogram is not None:
            histogram = self.histogram.merge(other.histogram)
        elif (self.histogram is None) != (other.histogram is None) and self.n and other.n:
            raise _refused("histogram", None, "a histogram in both or in none")
        sums = {name: getattr(self, name) + getattr(other, name) for name in SUMS}
        return ArmStatistics(n=self.n + other.n, histogram=histogram, **sums)


def statistics_of(
    y: Sequence[float],
    *,
    x: Sequence[float] | None = None,
    d: Sequence[float] | None = None,
    edges: Sequence[float] | None = None,
) -> ArmStatistics:
    """Freeze per-unit values with correctly rounded sums (``math.fsum``): the reference.

    Args:
        y: The metric's total per unit.
        x: Covariate per unit; 0 when left out.
        d: Denominator per unit; 1 when left out.
        edges: Edges of the histogram of y; no histogram when left out.

    Raises:
        InvalidStatisticsError: Lengths differ, or a value is NaN, infinite or impossible.
    """
    xs = [0.0] * len(y) if x is None else x
    ds = [1.0] * len(y) if d is None else d
    for name, column in (("x", xs), ("d", ds)):
        if len(column) != len(y):
            raise _refused(name, len(column), f"{len(y)} values, as y has")
    for name, column in (("y", y), ("x", xs), ("d", ds)):
        for position, value in enumerate(column):
            if not math.isfinite(value) or (name == "d" and value < 0):
                allowed = "a finite number" + (" of 0 or more" if name == "d" else "")
                raise _refused(f"{name}[{position}]", value, allowed)
    return ArmStatistics(
        n=len(y),
        y=math.fsum(y),
        x=math.fsum(xs),
        y2=math.fsum(value * value for value in y),
        x2=math.fsum(value * value for value in xs),
        xy=math.fsum(a * b for a, b in zip(xs, y, strict=True)),
        d=math.fsum(ds),
        d2=math.fsum(value * value for value in ds),
        yd=math.fsum(a * b for a, b in zip(y, ds, strict=True)),
        histogram=None if edges is None else histogram_of(y, edges),
    )


def _refused(field: str, value: object, allowed: str) -> InvalidStatisticsError:
    return InvalidStatisticsError(
        f"{field} is {value!r}; allowed is {allowed}", field=field, value=value, allowed=allowed
    )
