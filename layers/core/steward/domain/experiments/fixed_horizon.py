"""The tests that people know, right at one look that was planned beforehand: never to be peeked at.

Looked at after every batch, a 5 percent z-test of two equal arms rejects in about 30 percent of
cases. They are here for comparison and for experiments that end once, at their planned size.
"""

from __future__ import annotations

import math

from steward.domain.distributions import norm_isf, norm_sf, t_isf, t_sf
from steward.domain.experiments.arm_statistics import ArmStatistics, Histogram
from steward.domain.experiments.beta_binomial import Counts
from steward.domain.experiments.inference import SignificanceTest, checked_alpha


def two_proportion_z(candidate: Counts, stable: Counts, alpha: float = 0.05) -> SignificanceTest:
    """Return the two-proportion z-test: pooled variance for z, unpooled (Wald) for the limits.

    Raises:
        ValueError: An arm has no units.
    """
    checked_alpha(alpha)
    (s1, n1), (s0, n0) = candidate, stable
    if min(n1, n0) < 1:
        raise ValueError(f"each arm needs a unit, not {n1} and {n0}")
    p1, p0, pooled = s1 / n1, s0 / n0, (s1 + s0) / (n1 + n0)
    deviation = math.sqrt(pooled * (1 - pooled) * (1 / n1 + 1 / n0))
    z = (p1 - p0) / deviation if deviation > 0 else 0.0
    half = norm_isf(alpha / 2) * math.sqrt(p1 * (1 - p1) / n1 + p0 * (1 - p0) / n0)
    return SignificanceTest(
        method="two-proportion z-test", guarantee="asymptotic", statistic=z,
        p_value=2 * norm_sf(abs(z)), estimate=p1 - p0, lower=p1 - p0 - half,
        upper=p1 - p0 + half,
    )  # fmt: skip


def welch_t(
    candidate: ArmStatistics, stable: ArmStatistics, alpha: float = 0.05
) -> SignificanceTest:
    """Return Welch's t-test (1947) of y per unit, with Satterthwaite's degrees of freedom.

    Raises:
        ValueError: An arm has fewer than two units, or neither arm varies.
    """
    checked_alpha(alpha)
    parts = []
    for arm in (candidate, stable):
        if arm.n < 2:
            raise ValueError(f"each arm needs two units, not {arm.n}")
        parts.append(max(0.0, arm.y2 - arm.y * arm.mean) / (arm.n - 1) / arm.n)
    variance = parts[0] + parts[1]
    if variance == 0:
        raise ValueError("an arm must vary: both variances are 0")
    df = variance**2 / (parts[0] ** 2 / (candidate.n - 1) + parts[1] ** 2 / (stable.n - 1))
    estimate = candidate.mean - stable.mean
    t = estimate / math.sqrt(variance)
    half = t_isf(alpha / 2, df) * math.sqrt(variance)
    return SignificanceTest(
        method="Welch's t-test", guarantee="asymptotic", statistic=t,
        p_value=min(1.0, 2 * t_sf(abs(t), df)), estimate=estimate, lower=estimate - half,
        upper=estimate + half,
    )  # fmt: skip


def mann_whitney(candidate: Histogram, stable: Histogram) -> SignificanceTest:
    """Return the Mann-Whitney U test with values of one bin tied, corrected for ties.

        var(U) = n1 n0 / 12 (N + 1 - sum (t^3 - t) / (N (N - 1)))

    z with continuity correction (Mann & Whitney 1947; Lehmann 1975). The estimate is
    P(candidate > stable) + P(tie) / 2 - 1/2.

    Raises:
        ValueError: The edges differ, or an arm has no units.
    """
    if candidate.edges != stable.edges:
        raise ValueError("both arms need the same edges")
    first = (candidate.below, *candidate.counts, candidate.above)
    second = (stable.below, *stable.counts, stable.above)
    n1, n0 = sum(first), sum(second)
    if min(n1, n0) < 1:
        raise ValueError(f"each arm needs a unit, not {n1} and {n0}")
    u, lower, ties = 0.0, 0, 0
    for a, b in zip(first, second, strict=True):
        u += a * (lower + 0.5 * b)
        lower += b
        ties += (a + b) ** 3 - (a + b)
    total = n1 + n0
    variance = n1 * n0 / 12 * (total + 1 - ties / (total * (total - 1))) if total > 1 else 0.0
    shift = u - n1 * n0 / 2
    z = max(0.0, abs(shift) - 0.5) / math.sqrt(variance) if variance > 0 else 0.0
    return SignificanceTest(
        method="Mann-Whitney U test", guarantee="asymptotic", statistic=u,
        p_value=min(1.0, 2 * norm_sf(z)), estimate=shift / (n1 * n0),
    )  # fmt: skip
