"""Thompson sampling in frozen batches, with a floor share for every variant.

After each batch the shares follow the posterior chance of being best (Thompson 1933), computed by
quadrature rather than drawn, so that the same matured statistics always give the same shares:

    share = floor + (1 - arms floor) P(best)

The floor (>= .05) bounds the inverse propensities, without which nothing can be estimated. Within
a batch shares are frozen; an entity keeps its first arm. As shares follow outcomes, inference goes
by logged propensities (``propensity``, ``betting``, ``sample_ratio.tilted_sample_ratio``);
``refuse_unless_adaptive`` names what is not valid. The raw pooled counts steer the allocation
alone: they may be biased by a moving base rate, which costs regret and never an error rate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from steward.domain.distributions import beta_cdf, betaln
from steward.domain.errors import MethodRefusedError
from steward.domain.experiments.arm_statistics import ArmStatistics, Frozen
from steward.domain.experiments.bayesian import Posterior, logit_range, posterior, softplus
from steward.domain.experiments.beta_binomial import Counts, Prior
from steward.domain.experiments.propensity import Weighted

MINIMUM_FLOOR = 0.05
UNIFORM = Prior(1.0, 1.0)
_NODES = 201

REFUSED = {
    "two-proportion z-test": "arms are not independent samples where shares follow outcomes",
    "Welch's t-test": "arms are not independent samples where shares follow outcomes",
    "Mann-Whitney U test": "arms are not independent samples where shares follow outcomes",
    "group-sequential test": "the information of a look follows outcomes",
    "mean": "pooling over batches of different shares is biased by a moving base rate",
    "ratio": "pooling over batches of different shares is biased by a moving base rate",
    "adjusted": "CUPED of pooled arms is biased where shares follow outcomes; use weighted",
    "chi-square test of the sample ratio": "the intended ratio changes with every batch",
    "sequential sample-ratio test (Dirichlet-multinomial)": "it tests a fixed ratio",
}
"""Methods and metric kinds that are invalid under adaptive shares, with the reason."""


class Batch(Frozen):
    """One frozen batch: shares were fixed before it, statistics matured after it.

    Attributes:
        shares: Probability of each arm throughout the batch.
        statistics: Matured statistics per arm of the rewarded metric.
    """

    shares: dict[str, float]
    statistics: dict[str, ArmStatistics]


def refuse_unless_adaptive(method: str) -> None:
    """Refuse a method that is not valid where shares follow outcomes.

    Raises:
        MethodRefusedError: It is one of ``REFUSED``.
    """
    reason = REFUSED.get(method)
    if reason is not None:
        raise MethodRefusedError(
            f"{method} is not valid for a bandit: {reason}", field="method", value=method,
            allowed="weighted, binary or bounded metrics and the tilted sample-ratio test",
        )  # fmt: skip


def next_shares(
    batches: Sequence[Batch], arms: Sequence[str], floor: float, *, higher_is_better: bool = True
) -> dict[str, float]:
    """Return the shares of the next batch from all matured batches of a binary reward.

    Raises:
        ValueError: The floor is below .05 or too high for the number of arms, or a reward is
            not binary.
    """
    if not floor >= MINIMUM_FLOOR or floor * len(arms) > 1 + 1e-12:
        raise ValueError(
            f"floor must lie between {MINIMUM_FLOOR} and 1 / {len(arms)} arms, not {floor!r}"
        )
    posteriors = {}
    for arm in arms:
        seen = [batch.statistics[arm] for batch in batches if arm in batch.statistics]
        successes, n = math.fsum(s.y for s in seen), sum(s.n for s in seen)
        if not 0 <= successes <= n or any(abs(s.y - s.y2) > 1e-9 for s in seen):
            raise ValueError(f"the reward of {arm} must be 0 or 1 per unit")
        counts = Counts(round(successes), n)
        if not higher_is_better:
            counts = Counts(n - counts.successes, n)
        posteriors[arm] = posterior(counts, UNIFORM)
    best = chance_of_best(posteriors)
    left = 1 - floor * len(arms)
    return {arm: floor + left * best[arm] for arm in arms}


def chance_of_best(posteriors: Mapping[str, Posterior]) -> dict[str, float]:
    """Return P(arm has the highest rate) for each arm, summing to 1.

    P = int f_a(p) prod F_b(p) dp by Simpson's rule in logit(p).
    """
    *first, last = posteriors
    chances = {
        arm: _chance_above_all(
            posteriors[arm], [other for name, other in posteriors.items() if name != arm]
        )
        for arm in first
    }
    left = 1 - math.fsum(chances.values())
    if left < 0:  # by rounding of the quadrature
        return {arm: chance / (1 - left) for arm, chance in chances.items()} | {last: 0.0}
    return {**chances, last: left}


def _chance_above_all(own: Posterior, others: Sequence[Posterior]) -> float:
    low, high = logit_range(own)
    width = (high - low) / (_NODES - 1)
    norm = betaln(own.a, own.b)
    total = 0.0
    for node in range(_NODES):
        logit = low + node * width
        log_p, log_q = -softplus(-logit), -softplus(logit)
        density = math.exp(own.a * log_p + own.b * log_q - norm)
        if density < 1e-14:
            continue
        p = math.exp(log_p)
        weight = 1 if node in (0, _NODES - 1) else 4 if node % 2 else 2
        total += weight * density * math.prod(beta_cdf(p, other.a, other.b) for other in others)
    return total * width / 3


def weighted_steps(batches: Sequence[Batch], candidate: str, stable: str) -> list[Weighted]:
    """Return the batches as ``propensity.weighted_difference`` takes them."""
    nothing = ArmStatistics(n=0)
    return [
        Weighted(
            batch.statistics.get(candidate, nothing),
            batch.statistics.get(stable, nothing),
            batch.shares[candidate],
            batch.shares[stable],
            sum(arm.n for arm in batch.statistics.values()),
        )
        for batch in batches
    ]
