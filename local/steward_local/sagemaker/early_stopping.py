"""The rule by which a tuning job stops a training job that is not promising.

Source: "Stop Training Jobs Early" (developer guide). After each epoch, that is each time that the
objective is printed, its value is held against the median of the running averages, up to the same
epoch, of the jobs that completed before.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, median


def is_behind(values: Sequence[float], completed: Sequence[Sequence[float]], goal: str) -> bool:
    """Return whether a training job is worse than the median of those before it.

    Args:
        values: The objective after each of the job's epochs so far.
        completed: The same of each job that completed, at least one value each.
        goal: ``Minimize`` or ``Maximize``.
    """
    if not values or not completed:
        return False
    middle = median(fmean(earlier[: len(values)]) for earlier in completed)
    return values[-1] > middle if goal == "Minimize" else values[-1] < middle
