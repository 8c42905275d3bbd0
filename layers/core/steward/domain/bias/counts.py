"""Counts of a group's labelled predictions, which add up over windows."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from steward.domain.bias.rates import RATES, Rate


class GroupCounts(BaseModel):
    """A group's labelled predictions; sums of windows are counts of their union.

    Attributes:
        tp: Predicted 1, label 1.
        fp: Predicted 1, label 0.
        fn: Predicted 0, label 1.
        tn: Predicted 0, label 0.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    tp: int = 0
    fp: int = 0
    fn: int = 0
    tn: int = 0

    @property
    def n(self) -> int:
        """Rows."""
        return self.tp + self.fp + self.fn + self.tn

    def merge(self, other: GroupCounts) -> GroupCounts:
        """Return the counts of both sets of rows."""
        return GroupCounts(
            tp=self.tp + other.tp, fp=self.fp + other.fp, fn=self.fn + other.fn,
            tn=self.tn + other.tn,
        )  # fmt: skip

    def rate(self, rate: Rate) -> tuple[int, int]:
        """Return successes and denominator of a rate."""
        over, under = RATES[rate]
        return sum(getattr(self, cell) for cell in over), sum(getattr(self, cell) for cell in under)
