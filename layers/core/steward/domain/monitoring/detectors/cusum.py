"""CUSUM: the sum of what lies above a target by more than a slack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from steward.domain.monitoring.detectors.stream import Detector, Status, positive


@dataclass
class Cusum(Detector):
    """The cumulative sum of E. S. Page, Biometrika 41 (1954), for a rise of the mean; two-sided
    as in D. C. Montgomery, "Introduction to Statistical Quality Control", chapter 9.

    up_t = max(0, up_{t-1} + x_t - target - slack), down_t = max(0, down_{t-1} + target - slack -
    x_t); drift where either is above ``threshold``. For normal values with deviation 1 and slack
    0.5 the one-sided average run length is 930 at threshold 5 (two-sided 465; Siegmund 1985).

    Attributes:
        target: Mean of the stream while all is well, such as the baseline's loss.
        slack: Half the change that should be found, in the unit of the stream.
        threshold: In the unit of the stream.
        two_sided: Whether a fall signals too.
        up: Sum above.
        down: Sum below.
    """

    name: ClassVar[str] = "cusum"
    target: float = 0.0
    slack: float = 0.5
    threshold: float = 5.0
    two_sided: bool = False
    up: float = 0.0
    down: float = 0.0

    def __post_init__(self) -> None:
        positive("threshold", self.threshold)
        if not self.slack >= 0:
            raise ValueError(f"slack must not be negative, not {self.slack!r}")

    def _take(self, value: float) -> Status:
        self.up = max(0.0, self.up + value - self.target - self.slack)
        if self.two_sided:
            self.down = max(0.0, self.down + self.target - self.slack - value)
        if max(self.up, self.down) <= self.threshold:
            return "stable"
        self.up, self.down = 0.0, 0.0
        return "drift"
