"""The known tests against scipy and published tables."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from steward.domain.distributions import norm_sf
from steward.domain.experiments import bayesian, fixed_horizon, group_sequential, paired
from steward.domain.experiments.arm_statistics import ArmStatistics, Histogram, statistics_of
from steward.domain.experiments.beta_binomial import Counts
from steward.domain.experiments.estimates import Estimate


def test_the_two_proportion_z_squared_is_chi_square() -> None:
    found = fixed_horizon.two_proportion_z(Counts(45, 400), Counts(30, 450))
    chi = stats.chi2_contingency([[45, 355], [30, 420]], correction=False)
    assert found.statistic**2 == pytest.approx(chi.statistic, rel=1e-12)
    assert found.p_value == pytest.approx(chi.pvalue, rel=1e-9)
    assert found.peeking == "not_allowed"


def test_welch_agrees_with_scipy() -> None:
    generator = np.random.default_rng(3)
    a, b = generator.normal(0.3, 2, 50), generator.normal(0, 1, 80)
    found = fixed_horizon.welch_t(statistics_of(a.tolist()), statistics_of(b.tolist()))
    expected = stats.ttest_ind(a, b, equal_var=False)
    assert found.statistic == pytest.approx(expected.statistic, rel=1e-10)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-9)
    limits = expected.confidence_interval(0.95)
    assert (found.lower, found.upper) == pytest.approx((limits.low, limits.high), rel=1e-9)


@pytest.mark.parametrize("shift", [0, 1])
def test_mann_whitney_from_histograms_agrees_with_scipy(shift: int) -> None:
    generator = np.random.default_rng(8)
    a, b = generator.poisson(3, 60) + shift, generator.poisson(3, 90)
    edges = tuple(position - 0.5 for position in range(12))
    first, second = (statistics_of(v.tolist(), edges=edges).histogram for v in (a, b))
    assert first is not None
    assert second is not None
    found = fixed_horizon.mann_whitney(first, second)
    expected = stats.mannwhitneyu(a, b, method="asymptotic")
    assert found.statistic == pytest.approx(expected.statistic)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-9)


@pytest.mark.parametrize(
    ("spending", "table"),
    [
        ("obrien_fleming", [4.8769, 3.3569, 2.6803, 2.2898, 2.0310]),
        ("pocock", [2.4380, 2.4268, 2.4101, 2.3966, 2.3859]),
    ],
)
def test_boundaries_agree_with_the_published_table(
    spending: group_sequential.Spending, table: list[float]
) -> None:
    """Five equal looks, two-sided .05: tables of Lan & DeMets' program (ldbounds)."""
    fractions = [0.2, 0.4, 0.6, 0.8, 1.0]
    assert group_sequential.boundaries(fractions, spending) == pytest.approx(table, abs=6e-4)


@pytest.mark.parametrize("spending", ["obrien_fleming", "pocock"])
def test_boundaries_keep_alpha_at_uneven_looks_and_an_overrun(
    spending: group_sequential.Spending,
) -> None:
    fractions = np.array([0.1, 0.15, 0.6, 1.2])
    limits = np.array(group_sequential.boundaries(fractions.tolist(), spending))
    generator = np.random.default_rng(20)
    steps = generator.normal(size=(100_000, 4)) * np.sqrt(np.diff(fractions, prepend=0))
    z = steps.cumsum(axis=1) / np.sqrt(fractions)
    rate = (np.abs(z) >= limits).any(axis=1).mean()
    assert rate == pytest.approx(0.05, abs=0.0025)


def test_one_look_is_the_z_test() -> None:
    found = group_sequential.group_sequential([2.2], [1.0])
    assert found.upper == pytest.approx(1.959964, abs=1e-6)
    assert found.p_value == pytest.approx(2 * norm_sf(2.2), abs=1e-5)
    assert found.peeking == "at_planned_looks"


def test_a_crossing_at_an_earlier_look_counts() -> None:
    assert group_sequential.group_sequential([3.5, 0.1], [0.5, 1.0]).p_value < 0.05
    assert group_sequential.group_sequential([2.2, 0.1], [0.5, 1.0]).p_value > 0.05


def test_chance_to_win_and_expected_loss_agree_with_draws_from_the_posterior() -> None:
    generator = np.random.default_rng(4)
    found = bayesian.beta_binomial_comparison(Counts(30, 210), Counts(24, 190))
    one, zero = generator.beta(30.5, 180.5, 10**6), generator.beta(24.5, 166.5, 10**6)
    assert found.chance_to_win == pytest.approx((one > zero).mean(), abs=0.0015)
    assert found.expected_loss == pytest.approx(np.maximum(zero - one, 0).mean(), rel=0.01)
    assert found.guarantee == "bayesian"
    lower = bayesian.beta_binomial_comparison(
        Counts(30, 210), Counts(24, 190), higher_is_better=False
    )
    assert lower.chance_to_win == pytest.approx(1 - found.chance_to_win, abs=1e-9)
    assert lower.expected_loss - found.expected_loss == pytest.approx(
        bayesian.posterior(Counts(30, 210)).mean - bayesian.posterior(Counts(24, 190)).mean
    )


@pytest.mark.parametrize(("s", "n"), [(0, 0), (0, 1), (1, 10**6), (5 * 10**5, 10**6), (7, 7)])
def test_equal_posteriors_win_half_of_the_time(s: int, n: int) -> None:
    found = bayesian.beta_binomial_comparison(Counts(s, n), Counts(s, n))
    assert found.chance_to_win == pytest.approx(0.5, abs=1e-7)


def test_a_known_case_of_the_beta_in_closed_form() -> None:
    """P(X > Y) for Beta(2, 1) against the uniform is E[X] = 2/3."""
    found = bayesian.chance_above(bayesian.Posterior(2, 1), bayesian.Posterior(1, 1))
    assert found == pytest.approx(2 / 3, abs=1e-9)


def test_the_normal_model_is_conjugate() -> None:
    found = bayesian.normal_comparison(Estimate(0.2, 0.04, 100, 100), 0.0, 0.04)
    assert found.estimate == pytest.approx(0.1)
    deviation = math.sqrt(0.02)
    assert found.chance_to_win == pytest.approx(stats.norm.cdf(0.1 / deviation), rel=1e-9)
    draws = np.random.default_rng(2).normal(0.1, deviation, 10**6)
    assert found.expected_loss == pytest.approx(np.maximum(-draws, 0).mean(), rel=0.02)


@pytest.mark.parametrize(("a", "b"), [(9, 2), (0, 0), (3, 3), (40, 61)])
def test_mcnemar_agrees_with_the_binomial_test(a: int, b: int) -> None:
    found = paired.mcnemar(paired.Discordant(a, b, 500))
    expected = stats.binomtest(a, a + b, 0.5).pvalue if a + b else 1.0
    assert found.p_value == pytest.approx(expected, rel=1e-9)
    assert found.estimate == (a - b) / 500


def test_the_paired_sequence_needs_fewer_pairs_than_two_arms() -> None:
    found = paired.error_difference_sequence(paired.Discordant(60, 20, 2_000), 0.05)
    assert found.lower is not None
    assert found.upper is not None
    assert 0 < found.lower < 0.02 < found.upper
    assert paired.sequential_mcnemar(paired.Discordant(60, 20, 2_000)).log_e > math.log(20)
    assert paired.sequential_mcnemar(paired.Discordant(5, 5, 2_000)).log_e < 0
    assert paired.mean_difference(statistics_of([1.0, -1.0, 0.5])) is not None


SMALL = Histogram(edges=(0, 1), counts=(1,))


@pytest.mark.parametrize(
    "call",
    [
        lambda: fixed_horizon.two_proportion_z(Counts(0, 0), Counts(1, 2)),
        lambda: fixed_horizon.welch_t(ArmStatistics(n=1), ArmStatistics(n=5)),
        lambda: fixed_horizon.welch_t(ArmStatistics(n=5), ArmStatistics(n=5)),
        lambda: fixed_horizon.mann_whitney(SMALL, Histogram(edges=(0, 2), counts=(1,))),
        lambda: fixed_horizon.mann_whitney(SMALL, Histogram(edges=(0, 1), counts=(0,))),
        lambda: group_sequential.boundaries([0.5, 0.4]),
        lambda: group_sequential.boundaries([1.0, 1.2]),
        lambda: group_sequential.group_sequential([], []),
        lambda: bayesian.normal_comparison(Estimate(0, 0, 1, 1), 0, 1),
        lambda: paired.mcnemar(paired.Discordant(2, 2, 3)),
        lambda: paired.sequential_mcnemar(paired.Discordant(-1, 2, 3)),
    ],
)
def test_impossible_arguments_are_named(call: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"must|need"):
        call()
