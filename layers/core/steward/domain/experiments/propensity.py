"""Estimates where shares change: inverse propensity weights with the logged chance of each arm.

For unit i with arm A and the logged propensity p_A of its step or batch, the score

    z = (1[A = candidate] / p_candidate - 1[A = stable] / p_stable) (y - f(x))

has the mean mu_candidate - mu_stable whatever the shares or the base rate do (Horvitz & Thompson
1952); with a prediction f fixed beforehand it is the augmented estimator (AIPW, Robins, Rotnitzky
& Zhao 1994) with one outcome model for both arms, f = intercept + slope x. Being fixed, f cannot
bias. Scores are a martingale difference sequence under adaptive shares too (bandits), so that the
asymptotic confidence sequence holds for their mean.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from steward.domain.experiments.arm_statistics import ArmStatistics
from steward.domain.experiments.estimates import Estimate, events


class Weighted(NamedTuple):
    """Both arms of one step with the chances that a unit was assigned each.

    Attributes:
        units: All units of the step, those of other arms too (their score is 0).
    """

    candidate: ArmStatistics
    stable: ArmStatistics
    candidate_propensity: float
    stable_propensity: float
    units: int


class Model(NamedTuple):
    """The fixed prediction f(x) = intercept + slope x; (0, 0) is plain weighting."""

    intercept: float = 0.0
    slope: float = 0.0


UNADJUSTED = Model()


def weighted_difference(
    steps: Sequence[Weighted],
    model: Model = UNADJUSTED,
    *,
    signed: bool = False,
) -> Estimate | None:
    """Return the mean score over all units of all steps, with its variance.

    Raises:
        ValueError: A propensity is not in (0, 1], or fewer units than the two arms have.
    """
    total = square = 0.0
    units = 0
    for step in steps:
        if step.units < step.candidate.n + step.stable.n:
            raise ValueError(f"units must be those of all arms, not {step.units}")
        units += step.units
        for arm, propensity, sign in (
            (step.candidate, step.candidate_propensity, 1),
            (step.stable, step.stable_propensity, -1),
        ):
            if not 0 < propensity <= 1:
                raise ValueError(f"propensity must lie in (0, 1], not {propensity!r}")
            first, second = residual_sums(arm, model)
            total += sign * first / propensity
            square += second / propensity**2
    if units < 2:
        return None
    value = total / units
    variance = max(0.0, square / units - value * value) / units
    fewest = min(
        math.fsum(events(getattr(step, arm), signed=signed) for step in steps)
        for arm in ("candidate", "stable")
    )
    return Estimate(value, variance, units, fewest)


def weighted_mean(
    arm: Sequence[tuple[ArmStatistics, float, int]],
    covariate_mean: float = 0.0,
    model: Model = UNADJUSTED,
    *,
    signed: bool = False,
) -> Estimate | None:
    """Return the mean of one arm had it got all units.

    Args:
        arm: Per step the arm's statistics, its propensity and the units of all arms.
        covariate_mean: Mean of x over all units, fixed beforehand.
        model: The fixed prediction.
        signed: As in ``estimates.events``.
    """
    total = square = 0.0
    units = 0
    for statistics, propensity, step_units in arm:
        if not 0 < propensity <= 1:
            raise ValueError(f"propensity must lie in (0, 1], not {propensity!r}")
        first, second = residual_sums(statistics, model)
        total += first / propensity
        square += second / propensity**2
        units += step_units
    if units < 2:
        return None
    value = total / units
    variance = max(0.0, square / units - value * value) / units
    known = math.fsum(events(statistics, signed=signed) for statistics, _, _ in arm)
    base = model.intercept + model.slope * covariate_mean
    return Estimate(value + base, variance, units, known)


def residual_sums(arm: ArmStatistics, model: Model) -> tuple[float, float]:
    """Return the sums of y - f(x) and of its squares, from the frozen sums."""
    c, b = model
    first = arm.y - c * arm.n - b * arm.x
    second = (
        arm.y2 - 2 * c * arm.y - 2 * b * arm.xy
        + c * c * arm.n + 2 * b * c * arm.x + b * b * arm.x2
    )  # fmt: skip
    return first, max(0.0, second)
