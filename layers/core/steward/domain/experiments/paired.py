"""Shadow traffic: both versions answer the same request, so differences are paired.

Only where the answer cannot influence the outcome: a shadow is never answered (rule 17).
"""

from __future__ import annotations

from typing import NamedTuple

from steward.domain.distributions import binom_sf
from steward.domain.experiments import betting
from steward.domain.experiments.arm_statistics import ArmStatistics, Histogram
from steward.domain.experiments.beta_binomial import Counts, Prior, log_mixture
from steward.domain.experiments.estimates import Estimate, mean
from steward.domain.experiments.inference import Evidence, Interval, SignificanceTest

HALF = Prior(5.0, 5.0)


class Discordant(NamedTuple):
    """Pairs on which exactly one version errs; the concordant pairs say nothing of which is better.

    Attributes:
        candidate_only: Pairs on which only the candidate erred.
        stable_only: Pairs on which only the stable version erred.
        pairs: All pairs.
    """

    candidate_only: int
    stable_only: int
    pairs: int


def mcnemar(table: Discordant) -> SignificanceTest:
    """Return McNemar's exact test (1947): discordant pairs fall to either side by a fair coin.

    Raises:
        ValueError: A count is negative, or there are more discordant pairs than pairs.
    """
    n, larger = _checked(table), max(table.candidate_only, table.stable_only)
    return SignificanceTest(
        method="McNemar's exact test", guarantee="exact", statistic=float(larger),
        p_value=min(1.0, 2 * binom_sf(larger - 1, n, 0.5)) if n else 1.0,
        estimate=_difference(table),
    )  # fmt: skip


def sequential_mcnemar(table: Discordant) -> Evidence:
    """Return the beta-binomial evidence against the fair coin: McNemar's test at any time.

    Raises:
        ValueError: As in :func:`mcnemar`.
    """
    n = _checked(table)
    return Evidence(
        method="sequential McNemar test (beta-binomial mixture)", guarantee="exact",
        log_e=log_mixture(Counts(table.candidate_only, n), 0.5, HALF),
        null="both versions err equally often", n=table.pairs,
    )  # fmt: skip


def error_difference_sequence(table: Discordant, alpha: float) -> Interval:
    """Return the exact sequence of error rate (candidate) - error rate (stable), over all pairs.

    Raises:
        ValueError: As in :func:`mcnemar`.
    """
    n = _checked(table)
    histogram = Histogram(
        edges=(-1, -1, 0, 0, 1, 1),
        counts=(table.stable_only, 0, table.pairs - n, 0, table.candidate_only),
    )
    return bounded_difference_sequence(histogram, alpha)


def bounded_difference_sequence(differences: Histogram, alpha: float) -> Interval:
    """Return the exact sequence of the mean of bounded differences per pair (or entity)."""
    found = betting.mean_sequence([differences], alpha)
    return found.model_copy(update={"method": betting.NAME + " of paired differences"})


def mean_difference(differences: ArmStatistics) -> Estimate | None:
    """Return the estimate of the mean of unbounded differences, for ``asymptotic.sequence``."""
    return mean(differences, signed=True)


def _checked(table: Discordant) -> int:
    n = table.candidate_only + table.stable_only
    if min(table) < 0 or n > table.pairs:
        raise ValueError(f"counts must be 0 or more and within the pairs, not {tuple(table)}")
    return n


def _difference(table: Discordant) -> float:
    return (table.candidate_only - table.stable_only) / table.pairs if table.pairs else 0.0
