"""Point estimates with their variance from frozen sums: means, ratios, adjusted by covariates.

All variances are those of the estimator (not of a unit), with n - 1 in the denominator.
"""

from __future__ import annotations

from typing import NamedTuple

from steward.domain.experiments.arm_statistics import ArmStatistics


class Estimate(NamedTuple):
    """An asymptotically normal estimate.

    Attributes:
        value: In the unit of the metric.
        variance: Of the estimate.
        n: Units.
        events: Events of the arm that has fewest; see :func:`events`.
    """

    value: float
    variance: float
    n: int
    events: float


def events(arm: ArmStatistics, *, signed: bool = False) -> float:
    """Return the effective number of events: (sum y)^2 / sum y^2 (Kish 1965).

    For a binary metric that is the number of successes; for a skewed amount the number of units
    that carry it. A metric with both signs has no such number: there the units count.
    """
    if signed:
        return float(arm.n)
    return arm.y * arm.y / arm.y2 if arm.y2 > 0 else 0.0


def mean(arm: ArmStatistics, *, signed: bool = False) -> Estimate | None:
    """Return the mean of y per unit; None with fewer than two units."""
    if arm.n < 2:
        return None
    variance = max(0.0, _central(arm.y2, arm.y, arm.y, arm.n)) / (arm.n - 1) / arm.n
    return Estimate(arm.mean, variance, arm.n, events(arm, signed=signed))


def adjusted_mean(
    arm: ArmStatistics, theta: float, covariate_mean: float, *, signed: bool = False
) -> Estimate | None:
    """Return the mean of y - theta (x - covariate_mean): CUPED (Deng, Xu, Kohavi & Walker 2013).

    theta and covariate_mean are fixed from pre-period data, x from before the exposure: then the
    difference of two arms is unbiased however wrong theta is, and its variance falls by the
    squared correlation if theta = cov(x, y) / var(x). The result is unbounded (rule 15).
    """
    if arm.n < 2:
        return None
    value = (arm.y - theta * arm.x) / arm.n + theta * covariate_mean
    spread = (
        _central(arm.y2, arm.y, arm.y, arm.n)
        - 2 * theta * _central(arm.xy, arm.x, arm.y, arm.n)
        + theta * theta * _central(arm.x2, arm.x, arm.x, arm.n)
    )
    return Estimate(
        value, max(0.0, spread) / (arm.n - 1) / arm.n, arm.n, events(arm, signed=signed)
    )


def ratio(
    arm: ArmStatistics, minimum_denominator: float, *, signed: bool = False
) -> Estimate | None:
    """Return sum y / sum d with its variance by the delta method on pairs of a unit.

        var(R) = (s_yy - 2 R s_yd + R^2 s_dd) / (n dbar^2)

    (Deng, Knoblich & Lu 2018, "Applying the delta method in metric analytics", KDD). Asymptotic;
    None below the minimum denominator, where the linearisation has no ground.
    """
    if arm.n < 2 or arm.d < max(minimum_denominator, 1e-300):
        return None
    value = arm.y / arm.d
    spread = (
        _central(arm.y2, arm.y, arm.y, arm.n)
        - 2 * value * _central(arm.yd, arm.y, arm.d, arm.n)
        + value * value * _central(arm.d2, arm.d, arm.d, arm.n)
    )
    per_unit = (arm.d / arm.n) ** 2
    variance = max(0.0, spread) / (arm.n - 1) / arm.n / per_unit
    return Estimate(value, variance, arm.n, events(arm, signed=signed))


def difference(candidate: Estimate | None, stable: Estimate | None) -> Estimate | None:
    """Return candidate minus stable for independent arms; None where one is not known."""
    if candidate is None or stable is None:
        return None
    return Estimate(
        candidate.value - stable.value,
        candidate.variance + stable.variance,
        candidate.n + stable.n,
        min(candidate.events, stable.events),
    )


def theta_from(pre_period: ArmStatistics) -> float:
    """Return cov(x, y) / var(x) of pre-period data, to be fixed in the plan; 0 if x is constant."""
    spread = _central(pre_period.x2, pre_period.x, pre_period.x, pre_period.n)
    if spread <= 0:
        return 0.0
    return _central(pre_period.xy, pre_period.x, pre_period.y, pre_period.n) / spread


def _central(product: float, first: float, second: float, n: int) -> float:
    """Return the sum of products about the means."""
    return product - first * second / n if n else 0.0
