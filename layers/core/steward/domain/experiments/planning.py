"""How many units an experiment needs, and which effect it can find: from the method used.

A fixed-horizon test with error alpha and power 1 - beta needs the variance of its estimate to be
(effect / (z_{alpha/2} + z_beta))^2. A sequence that may be read at any time replaces z_{alpha/2}
by its boundary at the planned size: 3.035 for the asymptotic one at alpha = .05, hence 1.92 times
the units or 1.38 times the effect (rule 12). For the exact betting sequence the boundary depends
on rates and shares, and is computed from the sequence itself at the expected counts.

Power is that of having decided by the planned end; a sequence often decides earlier.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

from steward.domain.distributions import bisect, norm_isf
from steward.domain.experiments import asymptotic
from steward.domain.experiments.arm_statistics import Frozen, Histogram
from steward.domain.experiments.betting import Arms, Bets, log_e_above, tuned
from steward.domain.experiments.tuning import stake_for, variance_of_difference

Method = Literal["fixed_horizon", "asymptotic", "betting"]
BINARY_EDGES = (0.0, 0.0, 1.0, 1.0)
_MOST = 10**10
_FINE = 10**9


class Detectable(Frozen):
    """The smallest effect that is found with the stated power by the planned end."""

    method: Method
    effect: float
    units: int
    power: float
    alpha: float


def units_for_mean(
    effect: float,
    candidate_variance: float,
    stable_variance: float,
    share: float,
    *,
    method: Literal["fixed_horizon", "asymptotic"] = "asymptotic",
    alpha: float = 0.05,
    power: float = 0.8,
) -> int:
    """Return the units of both arms that find a difference of means.

    Raises:
        ValueError: The effect is 0 or an argument is out of range.
    """
    if effect == 0:
        raise ValueError("effect must differ from 0")
    whole = _boundary(method, alpha) + norm_isf(1 - power)
    one_unit = variance_of_difference(candidate_variance, stable_variance, share, 1)
    return math.ceil(one_unit * (whole / effect) ** 2)


def detectable_mean(
    units: int,
    candidate_variance: float,
    stable_variance: float,
    share: float,
    *,
    method: Literal["fixed_horizon", "asymptotic"] = "asymptotic",
    alpha: float = 0.05,
    power: float = 0.8,
) -> Detectable:
    """Return the smallest difference of means that the units find.

    Raises:
        ValueError: An argument is out of range.
    """
    variance = variance_of_difference(candidate_variance, stable_variance, share, units)
    whole = _boundary(method, alpha) + norm_isf(1 - power)
    return Detectable(
        method=method, effect=whole * math.sqrt(variance), units=units, power=power, alpha=alpha
    )


def _boundary(method: Literal["fixed_horizon", "asymptotic"], alpha: float) -> float:
    return norm_isf(alpha / 2) if method == "fixed_horizon" else asymptotic.boundary(alpha)


def detectable_rate(
    units: int,
    stable_rate: float,
    share: float,
    *,
    method: Method = "betting",
    alpha: float = 0.05,
    power: float = 0.8,
) -> Detectable:
    """Return the smallest increase of a rate that the units find.

    For ``betting``: the e-value at the expected counts, with the candidate's rate lowered by
    z_beta standard errors, reaches 2 / alpha, with bets tuned to the planned units. ``effect``
    is 1 - stable_rate where nothing less is found.

    Raises:
        ValueError: An argument is out of range.
    """
    if not 0 < stable_rate < 1:
        raise ValueError(f"stable_rate must lie between 0 and 1, not {stable_rate!r}")
    threshold = math.log(2 / alpha)
    z_power = norm_isf(1 - power)

    def surplus(effect: float) -> float:
        rate = stable_rate + effect
        variance = variance_of_difference(
            rate * (1 - rate), stable_rate * (1 - stable_rate), share, units
        )
        seen = effect - z_power * math.sqrt(variance)
        if method != "betting":
            return seen - _boundary(method, alpha) * math.sqrt(variance)
        if seen <= 0:
            return -1.0
        bets = tuned(stake_for(variance, units))
        return _log_e_at(units, (stable_rate + seen, stable_rate), share, bets) - threshold

    effect = bisect(surplus, 0.0, 1 - stable_rate)
    return Detectable(method=method, effect=effect, units=units, power=power, alpha=alpha)


def _log_e_at(
    units: int,
    rates: tuple[float, float],
    share: float,
    bets: Bets,
    *,
    margin: float | None = None,
) -> float:
    """Return the log e-value at the expected counts of both arms, scaled to the units.

    Against no increase, or with a margin against an increase of at least that. The log fortune
    of each bet grows in proportion to the counts, so that they are scaled, not rounded.
    """
    candidate, stable = round(_FINE * share), round(_FINE * (1 - share))
    centre = rates[1]
    arms = Arms(
        _expected(candidate, min(1.0, rates[0])), _expected(stable, rates[1]), candidate / _FINE
    )
    if margin is None:
        return log_e_above([arms], 0.0, centre, bets, scale=units / _FINE)
    mirrored = Arms(arms.stable, arms.candidate, 1 - arms.share)
    return log_e_above([mirrored], -margin, centre, bets, scale=units / _FINE)


def _expected(n: int, rate: float) -> Histogram:
    successes = round(n * rate)
    return Histogram(edges=BINARY_EDGES, counts=(n - successes, 0, successes))


def units_for_rate(
    stable_rate: float,
    candidate_rate: float,
    share: float,
    *,
    method: Method = "betting",
    alpha: float = 0.05,
    power: float = 0.8,
) -> int:
    """Return the units of both arms that find the increase from one rate to the other.

    Raises:
        ValueError: The candidate's rate is not higher, or an argument is out of range.
    """
    effect = candidate_rate - stable_rate
    if not effect > 0:
        raise ValueError(f"candidate_rate must be above {stable_rate!r}, not {candidate_rate!r}")
    return _fewest(
        lambda units: (
            detectable_rate(
                units, stable_rate, share, method=method, alpha=alpha, power=power
            ).effect
            <= effect
        )
    )


def units_to_prove_margin(
    rate: float, margin: float, share: float, *, alpha: float = 0.05, power: float = 0.8
) -> int:
    """Return the units of both arms that prove an increase below the margin where there is none.

    By the betting sequence at the expected counts, the candidate's rate raised by z_beta
    standard errors: what a guardrail that must prove non-inferiority takes to advance.

    Raises:
        ValueError: The rate with the margin is not between 0 and 1, or an argument is out of
            range.
    """
    if not (rate > 0 and margin > 0 and rate + margin < 1):
        raise ValueError(f"rate and margin must be positive, sum below 1, not {rate!r}, {margin!r}")
    threshold = math.log(2 / alpha)
    z_power = norm_isf(1 - power)

    def proved(units: int) -> bool:
        variance = variance_of_difference(rate * (1 - rate), rate * (1 - rate), share, units)
        seen = rate + z_power * math.sqrt(variance)
        if seen >= rate + margin:
            return False
        bets = tuned(stake_for(variance, units))
        return _log_e_at(units, (seen, rate), share, bets, margin=margin) >= threshold

    return _fewest(proved)


def _fewest(enough: Callable[[int], bool]) -> int:
    """Return the least number of units that are enough, where more always are."""
    low, high = 1, _MOST
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return low


def requests_to_prove_harm(known_rate: float, harmful_rate: float, alpha: float = 0.01) -> int:
    """Return the candidate's requests that prove, on average, that its rate is above a known one.

        n = log(1 / alpha) / KL(harmful || known)

    Wald's expected sample size (1945) of the best bet: the harmful rate known beforehand, the
    stable rate known exactly, no overshoot. It gives the figures of STATISTICS rule 13 (55,
    1,177 and 4,207 at alpha = .01) and is a lower limit. :func:`units_for_rate` gives what a
    comparison with the concurrent stable version needs.

    Raises:
        ValueError: The rates are not 0 < known < harmful < 1.
    """
    if not 0 < known_rate < harmful_rate < 1:
        raise ValueError(
            f"rates must keep 0 < known < harmful < 1, not {known_rate!r}, {harmful_rate!r}"
        )
    information = harmful_rate * math.log(harmful_rate / known_rate) + (
        1 - harmful_rate
    ) * math.log((1 - harmful_rate) / (1 - known_rate))
    return math.ceil(-math.log(alpha) / information)
