"""ADWIN: a window that shrinks where two parts of it have different means."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

from steward.domain.monitoring.detectors.stream import Detector, Status, positive, probability


class _Part(NamedTuple):
    """Number of values, their mean and their sum of squared deviations."""

    n: float
    mean: float
    squares: float

    def plus(self, other: _Part) -> _Part:
        """Return both together (Chan, Golub and LeVeque 1979)."""
        n = self.n + other.n
        if n == 0:
            return self
        step = other.mean - self.mean
        return _Part(
            n,
            self.mean + step * other.n / n,
            self.squares + other.squares + step * step * self.n * other.n / n,
        )


_EMPTY = _Part(0, 0.0, 0.0)


@dataclass
class Adwin(Detector):
    """ADWIN2 of A. Bifet and R. Gavalda, "Learning from time-changing data with adaptive
    windowing", SIAM International Conference on Data Mining 2007.

    The window is an exponential histogram: row i holds at most ``per_row`` buckets of 2^i values.
    Of every split into an older part of n0 and a newer part of n1 values it asks whether

        |mean0 - mean1| > sqrt(2 / m * v * ln(2 / d)) + 2 / (3 m) * ln(2 / d),

    with 1 / m = 1 / n0 + 1 / n1, d = delta / ln n and v the variance of the window; while some
    split does, the oldest bucket is dropped. The bound is for values in [0, 1]; scale others.
    It sees changes up and down: ``change`` is positive where the mean rose.

    Attributes:
        delta: Confidence of the cut.
        clock: Splits are looked at after each so many values (1 in the paper; 32 is customary).
        per_row: Buckets of one size before the two oldest become one.
        minimum: Values that either part needs.
        rows: The buckets as (mean, sum of squared deviations), oldest first in a row.
        seen: Values so far.
        change: New mean less old at the last change.
    """

    name: ClassVar[str] = "adwin"
    delta: float = 0.002
    clock: int = 32
    per_row: int = 5
    minimum: int = 5
    rows: list[list[list[float]]] = field(default_factory=list)
    seen: int = 0
    change: float = 0.0

    def __post_init__(self) -> None:
        probability("delta", self.delta)
        for name in ("clock", "per_row", "minimum"):
            positive(name, getattr(self, name))

    @property
    def width(self) -> int:
        """Number of values in the window."""
        return int(self._whole().n)

    @property
    def mean(self) -> float:
        """Mean of the window."""
        return self._whole().mean

    def _take(self, value: float) -> Status:
        self.seen += 1
        self._insert(value)
        if self.seen % self.clock:
            return "stable"
        before, dropped = self.mean, False
        while self._cut():
            self._drop_oldest()
            dropped = True
        if not dropped:
            return "stable"
        self.change = self.mean - before
        return "drift"

    def _insert(self, value: float) -> None:
        carried: list[float] | None = [value, 0.0]
        place = 0
        while carried is not None:
            if place == len(self.rows):
                self.rows.append([])
            row = self.rows[place]
            row.append(carried)
            carried = None
            if len(row) > self.per_row:
                size = float(2**place)
                one, two = (_Part(size, mean, squares) for mean, squares in row[:2])
                del row[:2]
                merged = one.plus(two)
                carried = [merged.mean, merged.squares]
            place += 1

    def _parts(self) -> Iterator[_Part]:
        """Yield the buckets, oldest first."""
        for place in range(len(self.rows) - 1, -1, -1):
            for mean, squares in self.rows[place]:
                yield _Part(float(2**place), mean, squares)

    def _whole(self) -> _Part:
        whole = _EMPTY
        for part in self._parts():
            whole = whole.plus(part)
        return whole

    def _cut(self) -> bool:
        whole = self._whole()
        if whole.n < 2 * self.minimum:
            return False
        variance = whole.squares / whole.n
        log = math.log(2 * math.log(whole.n) / self.delta)
        n, total = 0.0, 0.0
        for part in self._parts():
            n, total = n + part.n, total + part.n * part.mean
            rest = whole.n - n
            if n < self.minimum:
                continue
            if rest < self.minimum:
                break
            inverse = 1 / n + 1 / rest
            bound = math.sqrt(2 * inverse * variance * log) + 2 / 3 * inverse * log
            if abs(total / n - (whole.n * whole.mean - total) / rest) > bound:
                return True
        return False

    def _drop_oldest(self) -> None:
        del self.rows[-1][0]
        while self.rows and not self.rows[-1]:
            self.rows.pop()
