"""KSWIN: the newest values against a sample of the older ones."""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from steward.domain.monitoring.detectors.stream import Detector, Status, positive, probability


@dataclass
class Kswin(Detector):
    """C. Raab, M. Heusinger and F.-M. Schleif, "Reactive soft prototype computing for concept
    drift streams", Neurocomputing 416 (2020).

    The last ``recent`` values of a sliding window are compared with as many that are drawn
    without replacement from the rest of it: drift where their Kolmogorov-Smirnov distance is above
    sqrt(-ln alpha / recent). It looks at every value, so alpha is no false-alarm rate of a stream.
    On drift only the newest values stay.

    Attributes:
        alpha: As in the bound.
        window: Size of the sliding window.
        recent: Size of the newest part.
        seed: Draws follow from it and the number of values seen.
        values: The window.
        seen: Values so far.
    """

    name: ClassVar[str] = "kswin"
    alpha: float = 0.005
    window: int = 100
    recent: int = 30
    seed: int = 0
    values: list[float] = field(default_factory=list)
    seen: int = 0

    def __post_init__(self) -> None:
        probability("alpha", self.alpha)
        positive("recent", self.recent)
        if self.window < 2 * self.recent:
            raise ValueError(
                f"window must be at least twice recent = {self.recent}, not {self.window!r}"
            )

    def _take(self, value: float) -> Status:
        self.seen += 1
        self.values.append(value)
        if len(self.values) > self.window:
            del self.values[0]
        if len(self.values) < self.window:
            return "stable"
        older = self._drawn(self.values[: -self.recent])
        newest = self.values[-self.recent :]
        if ks_distance(older, newest) <= math.sqrt(-math.log(self.alpha) / self.recent):
            return "stable"
        self.values = newest
        return "drift"

    def _drawn(self, older: Sequence[float]) -> list[float]:
        """Draw without replacement; all state of the draw is the seed and the count."""

        def order(place: int) -> bytes:
            return hashlib.blake2b(f"{self.seed}:{self.seen}:{place}".encode()).digest()

        return [older[place] for place in sorted(range(len(older)), key=order)[: self.recent]]


def ks_distance(one: Sequence[float], two: Sequence[float]) -> float:
    """Return the largest difference of two empirical distribution functions."""
    first, second = sorted(one), sorted(two)
    return max(
        abs(bisect_right(first, x) / len(first) - bisect_right(second, x) / len(second))
        for x in {*first, *second}
    )
