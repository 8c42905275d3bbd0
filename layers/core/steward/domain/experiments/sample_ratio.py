"""Sample-ratio mismatch, tested at any time on first exposures.

Under the intended shares p the counts n of first exposures are multinomial. With a Dirichlet(k p)
mixture over the shares,

    e = B(k p + n) / B(k p) / prod p_i^n_i

is a martingale with mean 1 (Lindon & Malek 2022, "Anytime-valid inference for multinomial count
data", NeurIPS). Arms with a share of 0 take no part in the mixture (they are no degree of
freedom), and one exposure of such an arm proves the mismatch.

Where shares change by step the e-values of the steps are multiplied. Where they change often
(bandits) that pays for the mixture in every batch; there a fixed family of tilts is used:
an arm that loses or gains a constant factor of its exposures.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from steward.domain.distributions import chi2_sf
from steward.domain.experiments.inference import Evidence, SignificanceTest

NAME = "sequential sample-ratio test (Dirichlet-multinomial)"
TILT_NAME = "sequential sample-ratio test (tilted propensities)"
CONCENTRATION = 100.0
IMPOSSIBLE = 1e6
"""Stands for an infinite log e-value, which JSON has not."""

_TILTS = tuple(
    math.log1p(sign * change) for change in (0.02, 0.05, 0.1, 0.2, 0.4) for sign in (-1, 1)
)


class Exposures(NamedTuple):
    """First exposures per arm in one step, with the shares that were intended.

    Attributes:
        propensities: Probability of each arm; of a bandit the predictable one of the batch.
        counts: Entities that were first exposed to each arm.
    """

    propensities: Mapping[str, float]
    counts: Mapping[str, int]


def sample_ratio(steps: Sequence[Exposures], concentration: float = CONCENTRATION) -> Evidence:
    """Return the evidence against the intended shares, over all steps.

    Raises:
        ValueError: Shares do not sum to 1, a share or count is negative, an arm is unknown.
    """
    logs = []
    for step in steps:
        shares, counts, impossible = _checked(step)
        if impossible:
            return _evidence(NAME, IMPOSSIBLE, steps)
        logs.append(_log_dirichlet_multinomial(shares, counts, concentration))
    return _evidence(NAME, math.fsum(logs), steps)


def _log_dirichlet_multinomial(
    shares: Sequence[float], counts: Sequence[int], concentration: float
) -> float:
    if len(shares) == 1:
        return 0.0
    return math.fsum(
        [
            math.lgamma(concentration) - math.lgamma(concentration + sum(counts)),
            *(
                math.lgamma(concentration * p + n) - math.lgamma(concentration * p)
                - n * math.log(p)
                for p, n in zip(shares, counts, strict=True)
            ),
        ]
    )  # fmt: skip


def tilted_sample_ratio(batches: Sequence[Exposures]) -> Evidence:
    """Return the evidence against the predictable propensities of many batches.

    For arm a and tilt eta the alternative gives it p_a e^eta / (1 - p_a + p_a e^eta) in every
    batch and leaves the others in proportion. Each likelihood ratio is a martingale under the
    logged propensities, and so is their average over arms and tilts.

    Raises:
        ValueError: As in :func:`sample_ratio`.
    """
    arms = sorted({arm for batch in batches for arm in batch.propensities})
    logs = dict.fromkeys(((arm, tilt) for arm in arms for tilt in _TILTS), 0.0)
    for batch in batches:
        if _checked(batch)[2]:
            return _evidence(TILT_NAME, IMPOSSIBLE, batches)
        n = sum(batch.counts.values())
        for arm, tilt in logs:
            p = batch.propensities.get(arm, 0.0)
            if 0 < p < 1:
                logs[arm, tilt] += batch.counts.get(arm, 0) * tilt - n * math.log1p(
                    p * math.expm1(tilt)
                )
    if not logs:
        return _evidence(TILT_NAME, 0.0, batches)
    top = max(logs.values())
    mixed = top + math.log(math.fsum(math.exp(v - top) for v in logs.values()) / len(logs))
    return _evidence(TILT_NAME, mixed, batches)


def chi_square(step: Exposures) -> SignificanceTest:
    """Return Pearson's chi-square test of one step: a single look, df = arms with a share - 1.

    Raises:
        ValueError: As in :func:`sample_ratio`, or there are no exposures.
    """
    shares, counts, impossible = _checked(step)
    n = sum(counts)
    if n == 0:
        raise ValueError("the test needs exposures, not 0")
    statistic = math.fsum((c - n * p) ** 2 / (n * p) for p, c in zip(shares, counts, strict=True))
    p_value = chi2_sf(statistic, len(shares) - 1) if len(shares) > 1 else 1.0
    return SignificanceTest(
        method="chi-square test of the sample ratio", guarantee="asymptotic",
        statistic=statistic, p_value=0.0 if impossible else p_value, estimate=statistic / n,
    )  # fmt: skip


def _checked(step: Exposures) -> tuple[list[float], list[int], bool]:
    """Return shares and counts of the arms with a share, and whether another arm was exposed."""
    for arm, share in step.propensities.items():
        if not (math.isfinite(share) and share >= 0):
            raise ValueError(f"propensities[{arm}] must be 0 or more, not {share!r}")
    whole = math.fsum(step.propensities.values())
    if abs(whole - 1) > 1e-9:
        raise ValueError(f"propensities must sum to 1, not {whole!r}")
    for arm, count in step.counts.items():
        if arm not in step.propensities:
            raise ValueError(f"counts[{arm}] must be of an arm with a propensity")
        if count < 0:
            raise ValueError(f"counts[{arm}] must be 0 or more, not {count!r}")
    live = [arm for arm, share in sorted(step.propensities.items()) if share > 0]
    impossible = any(n > 0 for arm, n in step.counts.items() if step.propensities[arm] == 0)
    return (
        [step.propensities[arm] for arm in live],
        [step.counts.get(arm, 0) for arm in live],
        impossible,
    )


def _evidence(method: str, log_e: float, steps: Sequence[Exposures]) -> Evidence:
    return Evidence(
        method=method, guarantee="exact", log_e=log_e,
        null="arms are exposed in the intended shares",
        n=sum(sum(step.counts.values()) for step in steps),
    )  # fmt: skip
