"""Group-sequential tests: alpha spent at planned looks (Lan & DeMets 1983).

The z-statistic at information fractions t_1 < ... < t_k has increments that are independent
normals; the boundary at each look is where the two-sided chance of a first crossing equals what
the spending function releases (Armitage, McPherson & Rowe 1969, by numerical integration over
z of the density of paths that have not crossed). Looks may differ from the plan in time and
number, but must not be chosen from the results; between looks nothing may be read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from steward.domain.distributions import bisect, norm_isf, norm_sf
from steward.domain.experiments.inference import SignificanceTest, checked_alpha

Spending = Literal["obrien_fleming", "pocock"]
Floats = NDArray[np.float64]

_POINTS = 401


def obrien_fleming(t: float, alpha: float) -> float:
    """Return the two-sided alpha spent at fraction t, alpha / 2 on either side.

    Each side spends 2 (1 - Phi(z_{alpha/4} / sqrt t)), as Lan and DeMets' own program does.
    """
    return 4 * norm_sf(norm_isf(alpha / 4) / math.sqrt(t))


def pocock(t: float, alpha: float) -> float:
    """Return alpha log(1 + (e - 1) t): two-sided alpha spent at fraction t."""
    return alpha * math.log1p((math.e - 1) * t)


SPENDING: dict[Spending, Callable[[float, float], float]] = {
    "obrien_fleming": obrien_fleming,
    "pocock": pocock,
}


def boundaries(
    fractions: Sequence[float], spending: Spending = "obrien_fleming", alpha: float = 0.05
) -> list[float]:
    """Return the |z| at which each look rejects.

    Args:
        fractions: Information (units so far / units planned) at each look, rising. An overrun
            (above 1) spends what is left at the first look at or past 1.
        spending: The spending function.
        alpha: Two-sided error over all looks.

    Raises:
        ValueError: Fractions do not rise, or a look follows the one that spent everything.
    """
    checked_alpha(alpha)
    found: list[float] = []
    spent, before = 0.0, 0.0
    grid: Floats = np.zeros(1)
    mass: Floats = np.ones(1)
    for position, fraction in enumerate(fractions):
        if not fraction > before:
            raise ValueError(f"fractions[{position}] must be above {before}, not {fraction!r}")
        if before >= 1:
            raise ValueError(f"fractions[{position}] must not follow a look at the full size")
        target = SPENDING[spending](min(1.0, fraction), alpha) - spent
        spread = math.sqrt(fraction - before)
        crossing = partial(_crossing, spread=spread, grid=grid, mass=mass)
        limit = _limit_for(crossing, target, 40.0 * math.sqrt(fraction))
        found.append(limit / math.sqrt(fraction))
        spent, before = spent + target, fraction
        grid, mass = _survivors(limit, spread, grid, mass)
    return found


def _limit_for(crossing: Callable[[float], float], target: float, far: float) -> float:
    return bisect(lambda limit: target - crossing(limit), 0.0, far)


def _crossing(limit: float, spread: float, grid: Floats, mass: Floats) -> float:
    """Return the chance that paths at ``grid`` are beyond +-limit after an increment."""
    scale = spread * math.sqrt(2)
    beyond = np.array(
        [math.erfc((limit - x) / scale) + math.erfc((limit + x) / scale) for x in grid]
    )
    return float(0.5 * (beyond @ mass))


def _survivors(limit: float, spread: float, grid: Floats, mass: Floats) -> tuple[Floats, Floats]:
    """Return a grid within the limits and the mass of surviving paths at it (Simpson)."""
    reach = min(limit, float(np.abs(grid).max()) + 9 * spread)
    points: Floats = np.linspace(-reach, reach, _POINTS).astype(np.float64)
    weights = np.full(_POINTS, 2.0)
    weights[1::2] = 4.0
    weights[0] = weights[-1] = 1.0
    steps = (points[:, None] - grid[None, :]) / spread
    density = np.exp(-0.5 * steps * steps) @ mass / (spread * math.sqrt(2 * math.pi))
    return points, (density * weights * (points[1] - points[0]) / 3).astype(np.float64)


def group_sequential(
    z: Sequence[float],
    fractions: Sequence[float],
    spending: Spending = "obrien_fleming",
    alpha: float = 0.05,
) -> SignificanceTest:
    """Return the test at the last look taken: p is 0 evidence beyond alpha unless it crossed.

    Args:
        z: z-statistic at each look so far.
        fractions: Information fraction at each look so far.
        spending: The spending function.
        alpha: Two-sided error over all looks.

    Returns:
        ``statistic`` is the last z, ``lower`` and ``upper`` the boundary there, and ``p_value``
        the least overall alpha at which a look so far would have crossed (to 1e-6).

    Raises:
        ValueError: z and fractions differ in length, or no look was taken.
    """
    if not z or len(z) != len(fractions):
        raise ValueError(f"z needs one value per look, not {len(z)} for {len(fractions)}")
    limits = boundaries(fractions, spending, alpha)

    def crosses(level: float) -> bool:
        at_level = boundaries(fractions, spending, level)
        return any(abs(value) >= limit for value, limit in zip(z, at_level, strict=True))

    low, high = 0.0, 1 - 1e-9
    while high - low > 1e-6:
        middle = 0.5 * (low + high)
        low, high = (low, middle) if crosses(middle) else (middle, high)
    return SignificanceTest(
        method=f"group-sequential test ({spending} spending)", guarantee="asymptotic",
        peeking="at_planned_looks", statistic=z[-1], p_value=high, estimate=z[-1],
        lower=-limits[-1], upper=limits[-1],
    )  # fmt: skip
