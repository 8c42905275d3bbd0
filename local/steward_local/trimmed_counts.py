"""CloudWatch's statistic ``TC``: how many values lie within bounds.

Source: "CloudWatch statistics definitions" (user guide): ``TC(low:high)`` counts the values above
``low`` and up to ``high``; either may be left out, and percents trim by rank.
"""

import re
from collections.abc import Callable
from typing import Any

from ministack.services import cloudwatch

_BOUNDS = re.compile(r"^TC\((?P<low>\d+(?:\.\d+)?)?:(?P<high>\d+(?:\.\d+)?)?\)$")


def count_within_bounds(original: Callable[..., Any]) -> Callable[..., Any]:
    """Answer ``TC`` with absolute bounds; percents stay unknown, as before."""

    def stat_value(stats: Any, stat_name: str, points: Any = None) -> Any:
        match = _BOUNDS.match(stat_name or "")
        if match is None or not (match["low"] or match["high"]):
            return original(stats, stat_name, points)
        samples = cloudwatch._percentile_samples(points or [])
        if samples is None:
            return None
        low = float(match["low"]) if match["low"] else float("-inf")
        high = float(match["high"]) if match["high"] else float("inf")
        return float(sum(weight for value, weight in samples if low < value <= high))

    return stat_value
