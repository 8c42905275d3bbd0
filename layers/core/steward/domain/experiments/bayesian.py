"""Bayesian summaries: chance to win and expected loss. No error rate is promised under peeking.

The posterior itself may be read at any time, but stopping when the chance to win passes 95 percent
errs far more often than in 5 percent of A/A tests: labelled so, and never a rollback trigger.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from steward.domain.distributions import beta_cdf, betaln, norm_cdf, norm_pdf
from steward.domain.experiments.arm_statistics import Frozen
from steward.domain.experiments.beta_binomial import JEFFREYS, Counts, Prior
from steward.domain.experiments.estimates import Estimate
from steward.domain.experiments.inference import Guarantee, Peeking

_NODES = 401
_REACH = 9.0


class Posterior(NamedTuple):
    """A beta posterior of one arm's rate."""

    a: float
    b: float

    @property
    def mean(self) -> float:
        """Posterior mean."""
        return self.a / (self.a + self.b)


class BayesianComparison(Frozen):
    """What the posterior says of candidate against stable.

    Attributes:
        chance_to_win: P(candidate better than stable).
        expected_loss: Expected loss in the unit of the metric if the candidate is chosen:
            E[max(stable - candidate, 0)] where higher is better.
    """

    method: str
    guarantee: Guarantee = "bayesian"
    peeking: Peeking = "not_allowed"
    chance_to_win: float
    expected_loss: float
    estimate: float


def posterior(counts: Counts, prior: Prior = JEFFREYS) -> Posterior:
    """Return Beta(a + s, b + n - s)."""
    return Posterior(prior.a + counts.successes, prior.b + counts.n - counts.successes)


def beta_binomial_comparison(
    candidate: Counts, stable: Counts, prior: Prior = JEFFREYS, *, higher_is_better: bool = True
) -> BayesianComparison:
    """Compare two rates under independent beta priors.

    P(p1 > p0) = int f1(p) F0(p) dp, by Simpson's rule in logit(p) over the mass of f1, and

        E[max(p0 - p1, 0)] = E[p0] P(p0' > p1) - E[p1] P(p0 > p1')

    where a prime has one success more (Stucchio 2015), both to about 1e-9.
    """
    one, zero = posterior(candidate, prior), posterior(stable, prior)
    better, worse = (one, zero) if higher_is_better else (zero, one)
    loss = worse.mean * chance_above(Posterior(worse.a + 1, worse.b), better)
    loss -= better.mean * chance_above(worse, Posterior(better.a + 1, better.b))
    return BayesianComparison(
        method="Bayesian beta-binomial model",
        chance_to_win=chance_above(better, worse),
        expected_loss=max(0.0, loss),
        estimate=one.mean - zero.mean,
    )


def chance_above(first: Posterior, second: Posterior) -> float:
    """Return P(X > Y) of independent X ~ first and Y ~ second."""
    low, high = logit_range(first)
    width = (high - low) / (_NODES - 1)
    total = 0.0
    norm = betaln(first.a, first.b)
    for node in range(_NODES):
        logit = low + node * width
        log_p, log_q = -softplus(-logit), -softplus(logit)
        density = math.exp(first.a * log_p + first.b * log_q - norm)
        if density < 1e-18:
            continue
        weight = 1 if node in (0, _NODES - 1) else 4 if node % 2 else 2
        total += weight * density * beta_cdf(math.exp(log_p), second.a, second.b)
    return min(1.0, total * width / 3)


def logit_range(beta: Posterior) -> tuple[float, float]:
    """Return where the density of logit(p), prop. to p^a (1-p)^b, has all but 1e-17 of its mass.

    It is log-concave with tails exp(a x) and exp(-b x), and curvature ab / (a + b) at its mode.
    """
    mode = math.log(beta.a / beta.b)
    deviation = math.sqrt(1 / beta.a + 1 / beta.b)
    return mode - _REACH * deviation - 20 / beta.a, mode + _REACH * deviation + 20 / beta.b


def softplus(x: float) -> float:
    """Return log(1 + e^x) without overflow; -softplus(-x) is the logarithm of the logistic."""
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def normal_comparison(
    effect: Estimate, prior_mean: float, prior_variance: float, *, higher_is_better: bool = True
) -> BayesianComparison:
    """Compare means with a normal prior on the effect candidate - stable (conjugate).

    With posterior N(m, s^2), chance to win Phi(m / s), and for the loss
    E[max(-effect, 0)] = s phi(m / s) - m Phi(-m / s).

    Raises:
        ValueError: A variance is not positive.
    """
    if not (prior_variance > 0 and effect.variance > 0):
        raise ValueError(
            f"variances must be positive, not {prior_variance!r} and {effect.variance!r}"
        )
    precision = 1 / prior_variance + 1 / effect.variance
    mean = (prior_mean / prior_variance + effect.value / effect.variance) / precision
    deviation = math.sqrt(1 / precision)
    z = mean / deviation if higher_is_better else -mean / deviation
    return BayesianComparison(
        method="Bayesian normal model",
        chance_to_win=norm_cdf(z),
        expected_loss=max(0.0, deviation * (norm_pdf(z) - z * norm_cdf(-z))),
        estimate=mean,
    )
