"""Page-Hinkley: how far the sum of deviations has risen above its lowest point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from steward.domain.monitoring.detectors.stream import Detector, Status, positive


@dataclass
class PageHinkley(Detector):
    """The Page-Hinkley test for a rise of the mean: E. S. Page, "Continuous inspection schemes",
    Biometrika 41 (1954); D. V. Hinkley, Biometrika 58 (1971); in the form of J. Gama,
    R. Sebastiao and P. P. Rodrigues, "On evaluating stream learning algorithms", Machine
    Learning 90 (2013).

    With x'_t the mean of x_1 to x_t, m_t = sum of (x_i - x'_i - delta) and M_t = min m_i, it
    signals when m_t - M_t > threshold.

    Attributes:
        delta: Magnitude of change that is tolerated.
        threshold: Lambda of the test, in the unit of the stream.
        minimum: Values before it may signal.
        n: Values since it began.
        mean: Their mean.
        above: m_t - M_t.
    """

    name: ClassVar[str] = "page_hinkley"
    delta: float = 0.005
    threshold: float = 50.0
    minimum: int = 30
    n: int = 0
    mean: float = 0.0
    above: float = 0.0

    def __post_init__(self) -> None:
        positive("threshold", self.threshold)

    def _take(self, value: float) -> Status:
        self.n += 1
        self.mean += (value - self.mean) / self.n
        # m_t - M_t obeys this recursion, which needs no ever-growing sum.
        self.above = max(0.0, self.above + value - self.mean - self.delta)
        if self.n < self.minimum or self.above <= self.threshold:
            return "stable"
        self.n, self.mean, self.above = 0, 0.0, 0.0
        return "drift"
