"""What a plan tunes its sequences by; plain arithmetic, so that whoever plans needs no numpy."""

from __future__ import annotations

import math


def variance_of_difference(
    candidate_variance: float, stable_variance: float, share: float, units: float
) -> float:
    """Return the variance of the difference of means: (v1 / share + v0 / (1 - share)) / units.

    Raises:
        ValueError: The share is not between 0 and 1, or there are no units.
    """
    if not (0 < share < 1 and units > 0):
        raise ValueError(f"share must lie in (0, 1) and units above 0, not {share!r}, {units!r}")
    return (candidate_variance / share + stable_variance / (1 - share)) / units


def stake_for(variance: float, units: int) -> float:
    """Return the stake that suits an estimate of that variance over so many units.

    The best constant bet on a mean that is z standard errors off is z / (units sqrt(variance));
    z is where the sequence decides, about 3.2.

    Raises:
        ValueError: The variance or the number of units is not positive.
    """
    if not (variance > 0 and units > 0):
        raise ValueError(f"variance and units must be positive, not {variance!r}, {units!r}")
    return 3.2 / (units * math.sqrt(variance))
