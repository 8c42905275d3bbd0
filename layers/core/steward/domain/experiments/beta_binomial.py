"""Binary metrics: beta-binomial mixture confidence sequences, exact at every sample size.

For s successes in n Bernoulli(p) units and the prior Beta(a, b),

    M_n(p) = B(a + s, b + n - s) / B(a, b) / (p^s (1 - p)^(n - s))

is a martingale with mean 1 (Robbins 1970; Howard, Ramdas, McAuliffe & Sekhon 2021, "Time-uniform,
nonparametric, nonasymptotic confidence sequences", Ann. Statist. 49), so that by Ville's
inequality {p : M_n(p) < 1 / alpha} covers p at all times at once with probability 1 - alpha. It
depends on counts alone. The prior must be fixed before the data; a wrong one costs width, never
validity.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from steward.domain.distributions import betaln, bisect
from steward.domain.experiments.inference import Interval, checked_alpha

NAME = "beta-binomial mixture confidence sequence"


class Prior(NamedTuple):
    """Parameters of the mixing beta distribution; (1/2, 1/2) is Jeffreys'."""

    a: float
    b: float


JEFFREYS = Prior(0.5, 0.5)


class Counts(NamedTuple):
    """Successes among the units of one arm in one step."""

    successes: int
    n: int


class Pair(NamedTuple):
    """Both arms of one step.

    Attributes:
        share: Chance that a unit of these two arms was assigned the candidate.
    """

    candidate: Counts
    stable: Counts
    share: float


def log_mixture(counts: Counts, p: float, prior: Prior = JEFFREYS) -> float:
    """Return log M_n(p); infinite where p makes the data impossible.

    Raises:
        ValueError: The counts or p are impossible.
    """
    return _log_marginal(counts, prior) - _log_likelihood(counts, p)


def _log_marginal(counts: Counts, prior: Prior) -> float:
    s, n = counts
    if not 0 <= s <= n:
        raise ValueError(f"successes must lie between 0 and n = {n}, not {s}")
    return betaln(prior.a + s, prior.b + n - s) - betaln(prior.a, prior.b)


def _log_likelihood(counts: Counts, p: float) -> float:
    if not 0 <= p <= 1:
        raise ValueError(f"p must lie between 0 and 1, not {p!r}")
    return _times_log(counts.successes, p) + _times_log(counts.n - counts.successes, 1 - p)


def _times_log(count: int, p: float) -> float:
    if count == 0:
        return 0.0
    return count * math.log(p) if p > 0 else -math.inf


def proportion_sequence(counts: Counts, alpha: float, prior: Prior = JEFFREYS) -> Interval:
    """Return the confidence sequence of one arm's probability at its present counts.

    Assumes units with one probability of success throughout: use it within one step, or where
    the rate does not move.
    """
    limit = -math.log(checked_alpha(alpha))
    estimate = counts.successes / counts.n if counts.n else 0.5
    marginal = _log_marginal(counts, prior)
    lower, upper = _level_set(
        lambda p: marginal - _log_likelihood(counts, p), estimate, 0.0, 1.0, limit
    )
    return _interval(NAME, estimate if counts.n else None, lower, upper, alpha, counts.n)


def _level_set(
    convex: Callable[[float], float], inside: float, low: float, high: float, limit: float
) -> tuple[float, float]:
    """Return the ends of {x : convex(x) < limit} around a point inside."""
    lower, upper = low, high
    if convex(low) >= limit:
        lower = bisect(lambda x: limit - convex(x), low, inside)
    if convex(high) >= limit:
        upper = bisect(lambda x: convex(x) - limit, inside, high)
    return lower, upper


def _interval(
    method: str, estimate: float | None, lower: float, upper: float | None, alpha: float, n: int
) -> Interval:
    return Interval(
        method=method, guarantee="exact", peeking="allowed", estimate=estimate, lower=lower,
        upper=upper, confidence=1 - alpha, n=n,
    )  # fmt: skip


def log_e_difference(steps: Sequence[Pair], difference: float, prior: Prior = JEFFREYS) -> float:
    """Return the log e-value against p_candidate - p_stable = difference in every step.

    Per step the product of both arms' martingales, at the rate of the stable arm that suits the
    hypothesis best (its constrained maximum likelihood, unique as the logarithm is concave).
    An infimum over the nuisance rate is an e-process for the composite hypothesis. Steps are
    multiplied, so that each may have its own rate and share. Conservative: about two prior
    volumes are paid per step; :func:`risk_ratio_sequence` and ``betting.difference_sequence``
    pay one.
    """
    return math.fsum(
        _log_marginal(step.candidate, prior)
        + _log_marginal(step.stable, prior)
        - _best_log_likelihood(step, difference)
        for step in steps
    )


def _best_log_likelihood(step: Pair, difference: float) -> float:
    (s1, n1), (s0, n0) = step.candidate, step.stable
    low, high = max(0.0, -difference), min(1.0, 1 - difference)

    def falling_slope(p: float) -> float:
        q = min(1.0, max(0.0, p + difference))
        slope = _ratio(s0, p) - _ratio(n0 - s0, 1 - p) + _ratio(s1, q) - _ratio(n1 - s1, 1 - q)
        return -slope

    best = bisect(falling_slope, low, high)
    moved = min(1.0, max(0.0, best + difference))
    return _log_likelihood(step.stable, best) + _log_likelihood(step.candidate, moved)


def _ratio(count: int, p: float) -> float:
    if count == 0:
        return 0.0
    return count / p if p > 0 else 1e300


def difference_sequence(steps: Sequence[Pair], alpha: float, prior: Prior = JEFFREYS) -> Interval:
    """Return the confidence sequence of p_candidate - p_stable: see :func:`log_e_difference`.

    Where steps contradict one difference so strongly that none is left (chance below alpha if
    there is one), the best supported value is both limits.
    """
    limit = -math.log(checked_alpha(alpha))

    def log_e(difference: float) -> float:
        return log_e_difference(steps, difference, prior)

    n = sum(step.candidate.n + step.stable.n for step in steps)
    best = _lowest(log_e, -1.0, 1.0)
    if log_e(best) >= limit:
        return _interval(NAME + " of a difference", best, best, best, alpha, n)
    lower, upper = _level_set(log_e, best, -1.0, 1.0, limit)
    estimate = best if any(s.candidate.n and s.stable.n for s in steps) else None
    return _interval(NAME + " of a difference", estimate, lower, upper, alpha, n)


def _lowest(convex: Callable[[float], float], low: float, high: float) -> float:
    """Return the minimiser of a convex function by golden-section search, to 1e-9."""
    golden = (math.sqrt(5) - 1) / 2
    inner, outer = high - golden * (high - low), low + golden * (high - low)
    at_inner, at_outer = convex(inner), convex(outer)
    while high - low > 1e-9:
        if at_inner <= at_outer:
            high, outer, at_outer = outer, inner, at_inner
            inner = high - golden * (high - low)
            at_inner = convex(inner)
        else:
            low, inner, at_inner = inner, outer, at_outer
            outer = low + golden * (high - low)
            at_outer = convex(outer)
    return 0.5 * (low + high)


def log_e_risk_ratio(steps: Sequence[Pair], ratio: float, scale: float = 0.3) -> float:
    """Return the log e-value against p_candidate / p_stable = ratio.

    Of the units that succeed, the chance of being the candidate's is

        theta = share ratio / (share ratio + 1 - share),

    whatever the base rate is and however it moves (Lindon & Malek 2022, "Anytime-valid inference
    for multinomial count data", NeurIPS, section on conversion rates). So the successes alone
    carry an exact beta-binomial martingale per step; steps are multiplied. The prior is centred
    on ratio 1 with a standard deviation of about ``scale`` in log ratio. Successes should be the
    rarer kind; of a rate p a fraction p of the information is not used.

    Raises:
        ValueError: A share is not between 0 and 1, the ratio or scale not positive.
    """
    if not (ratio > 0 and scale > 0):
        raise ValueError(f"ratio and scale must be positive, not {ratio!r} and {scale!r}")
    return math.fsum(_log_e_share(step, ratio, scale) for step in steps)


def _log_e_share(step: Pair, ratio: float, scale: float) -> float:
    share = step.share
    if not 0 < share < 1:
        raise ValueError(f"share must lie between 0 and 1, not {share!r}")
    k = max(1.0, 1 / (share * (1 - share) * scale * scale) - 1)
    successes = Counts(step.candidate.successes, step.candidate.successes + step.stable.successes)
    theta = share * ratio / (share * ratio + 1 - share)
    return log_mixture(successes, theta, Prior(k * share, k * (1 - share)))


def risk_ratio_sequence(steps: Sequence[Pair], alpha: float, scale: float = 0.3) -> Interval:
    """Return the confidence sequence of p_candidate / p_stable: see :func:`log_e_risk_ratio`.

    ``upper`` is None where no limit is known yet (one arm without successes).
    """
    limit = -math.log(checked_alpha(alpha))
    far = 50.0

    def log_e(log_ratio: float) -> float:
        return log_e_risk_ratio(steps, math.exp(log_ratio), scale)

    n = sum(step.candidate.n + step.stable.n for step in steps)
    best = _lowest(log_e, -far, far)
    method = NAME + " of a risk ratio"
    if log_e(best) >= limit:
        return _interval(method, math.exp(best), math.exp(best), math.exp(best), alpha, n)
    lower, upper = _level_set(log_e, best, -far, far, limit)
    settled = abs(best) < far - 1
    return _interval(
        method, math.exp(best) if settled else None,
        math.exp(lower) if lower > -far else 0.0,
        math.exp(upper) if upper < far else None, alpha, n,
    )  # fmt: skip
