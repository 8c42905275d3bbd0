"""DDM: the error rate against the lowest that it has been."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from steward.domain.monitoring.detectors.stream import Detector, Status, positive


@dataclass
class Ddm(Detector):
    """J. Gama, P. Medas, G. Castillo and P. Rodrigues, "Learning with drift detection", SBIA 2004.

    After n answers with error rate p and s = sqrt(p (1 - p) / n), the pair with the least p + s is
    kept. It warns at p + s > p_min + 2 s_min and signals at p + s > p_min + 3 s_min. Where no
    answer was wrong yet s_min is 0 and the first error signals: that is the method, use it where
    errors are not rare.

    Attributes:
        minimum: It looks after more answers than these, where the binomial is near normal.
        warning: Multiple of s_min that warns.
        drift: Multiple of s_min that signals.
        n: Answers since it began.
        errors: Wrong ones among them.
        rate_min: Error rate where p + s was least; None before ``minimum``.
        deviation_min: s there.
    """

    name: ClassVar[str] = "ddm"
    minimum: int = 30
    warning: float = 2.0
    drift: float = 3.0
    n: int = 0
    errors: int = 0
    rate_min: float | None = None
    deviation_min: float | None = None

    def __post_init__(self) -> None:
        positive("minimum", self.minimum)
        positive("warning", self.warning)
        if self.drift < self.warning:
            raise ValueError(f"drift must not be below warning, not {self.drift!r}")

    def _take(self, value: float) -> Status:
        if value not in (0.0, 1.0):
            raise ValueError(f"DDM takes 1 for an error and 0 for none, not {value!r}")
        self.n += 1
        self.errors += int(value)
        if self.n <= self.minimum:
            return "stable"
        rate = self.errors / self.n
        deviation = math.sqrt(rate * (1 - rate) / self.n)
        if self.rate_min is None or self.deviation_min is None or (
            rate + deviation <= self.rate_min + self.deviation_min
        ):  # fmt: skip
            self.rate_min, self.deviation_min = rate, deviation
        above = rate + deviation - self.rate_min
        if above > self.drift * self.deviation_min:
            self.n, self.errors, self.rate_min, self.deviation_min = 0, 0, None, None
            return "drift"
        return "warning" if above > self.warning * self.deviation_min else "stable"
