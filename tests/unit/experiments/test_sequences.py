"""Exact and asymptotic sequences: identities, known values and refusals (rates: test_rates)."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from steward.domain.experiments import (
    asymptotic,
    beta_binomial,
    betting,
    estimates,
    propensity,
    tuning,
)
from steward.domain.experiments.arm_statistics import ArmStatistics, Histogram, statistics_of
from steward.domain.experiments.beta_binomial import Counts, Pair, Prior
from steward.domain.experiments.estimates import Estimate

BINARY = (0.0, 0.0, 1.0, 1.0)


def binary(successes: int, n: int) -> Histogram:
    return Histogram(edges=BINARY, counts=(n - successes, 0, successes))


def test_the_mixture_has_mean_one_over_all_outcomes() -> None:
    n, p, prior = 12, 0.3, Prior(0.7, 2.0)
    mean = math.fsum(
        stats.binom.pmf(s, n, p) * math.exp(beta_binomial.log_mixture(Counts(s, n), p, prior))
        for s in range(n + 1)
    )
    assert mean == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize(("s", "n"), [(0, 0), (0, 40), (40, 40), (3, 40), (1_000, 50_000)])
def test_the_limits_of_a_proportion_are_where_the_mixture_reaches_one_over_alpha(
    s: int, n: int
) -> None:
    found = beta_binomial.proportion_sequence(Counts(s, n), 0.05)
    assert found.lower is not None
    assert found.upper is not None
    for limit, end in ((found.lower, 0.0), (found.upper, 1.0)):
        at_limit = beta_binomial.log_mixture(Counts(s, n), limit)
        if limit == end:
            assert at_limit <= math.log(20)
        else:
            assert at_limit == pytest.approx(math.log(20), abs=1e-6)


def test_the_difference_is_an_infimum_over_the_rate_of_the_stable_arm() -> None:
    step = Pair(Counts(12, 90), Counts(30, 800), 0.1)
    by_grid = min(
        beta_binomial.log_mixture(step.candidate, p + 0.02)
        + beta_binomial.log_mixture(step.stable, p)
        for p in np.linspace(1e-4, 0.5, 40_001)
    )
    assert beta_binomial.log_e_difference([step], 0.02) == pytest.approx(by_grid, abs=1e-6)
    found = beta_binomial.difference_sequence([step], 0.05)
    assert found.estimate == pytest.approx(12 / 90 - 30 / 800, abs=1e-6)
    for limit in (found.lower, found.upper):
        assert limit is not None
        assert beta_binomial.log_e_difference([step], limit) == pytest.approx(math.log(20))


def test_the_risk_ratio_uses_the_successes_alone() -> None:
    steps = [
        Pair(Counts(40, 500), Counts(300, 4_500), 0.1),
        Pair(Counts(20, 99), Counts(9, 99), 0.5),
    ]
    found = beta_binomial.risk_ratio_sequence(steps, 0.05)
    assert found.lower is not None
    assert found.upper is not None
    assert found.lower < (found.estimate or 0) < found.upper
    for limit in (found.lower, found.upper):
        assert beta_binomial.log_e_risk_ratio(steps, limit) == pytest.approx(math.log(20))
    more = [step._replace(stable=step.stable._replace(n=10**6)) for step in steps]
    assert beta_binomial.log_e_risk_ratio(more, 1.3) == beta_binomial.log_e_risk_ratio(steps, 1.3)


def test_without_successes_the_risk_ratio_stays_open() -> None:
    found = beta_binomial.risk_ratio_sequence([Pair(Counts(0, 10), Counts(0, 90), 0.1)], 0.05)
    assert (found.lower, found.upper) == (0, None)


def test_nothing_is_known_without_units() -> None:
    assert beta_binomial.proportion_sequence(Counts(0, 0), 0.05).estimate is None
    found = beta_binomial.difference_sequence([Pair(Counts(0, 0), Counts(0, 0), 0.5)], 0.05)
    assert (found.estimate, found.lower, found.upper) == (None, -1, 1)
    empty = binary(0, 0)
    bounded = betting.difference_sequence([betting.Arms(empty, empty, 0.5)], 0.05, 0.5)
    assert (bounded.estimate, bounded.lower, bounded.upper) == (None, -1, 1)


def test_a_fortune_has_mean_one_over_all_outcomes() -> None:
    n, p = 10, 0.3
    mean = math.fsum(
        stats.binom.pmf(s, n, p)
        * math.exp(betting.log_fortune([betting.lower_scores(binary(s, n))], p))
        for s in range(n + 1)
    )
    assert mean == pytest.approx(1, rel=1e-12)


def test_the_score_of_both_arms_has_mean_one_over_all_outcomes() -> None:
    share, p, units = 0.2, 0.3, 5
    cells = [share * (1 - p), share * p, (1 - share) * (1 - p), (1 - share) * p]
    total = 0.0
    for n1 in range(units + 1):
        for s1 in range(n1 + 1):
            for s0 in range(units - n1 + 1):
                counts = [n1 - s1, s1, units - n1 - s0, s0]
                arms = betting.Arms(binary(s1, n1), binary(s0, units - n1), share)
                chance = stats.multinomial.pmf(counts, units, cells)
                total += chance * math.exp(betting.log_e_above([arms], 0.0, 0.25))
    assert total == pytest.approx(1, rel=1e-9)


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_a_betting_sequence_is_near_the_normal_one_and_mirrors(share: float) -> None:
    n1, n0 = int(50_000 * share), int(50_000 * (1 - share))
    arms = betting.Arms(binary(n1 * 12 // 100, n1), binary(n0 // 10, n0), share)
    found = betting.difference_sequence([arms], 0.05, 0.1)
    assert found.lower is not None
    assert found.upper is not None
    assert found.lower < 0.02 < found.upper
    deviation = math.sqrt(0.12 * 0.88 / n1 + 0.1 * 0.9 / n0)
    assert 5.6 < (found.upper - found.lower) / deviation < 8.2
    mirrored = betting.difference_sequence(
        [betting.Arms(arms.stable, arms.candidate, 1 - share)], 0.05, 0.1
    )
    assert mirrored.lower == pytest.approx(-found.upper, abs=1e-12)
    assert mirrored.upper == pytest.approx(-found.lower, abs=1e-12)


@pytest.mark.parametrize("bets", [betting.UNTUNED, betting.tuned(0.05), betting.tuned(3.0)])
@pytest.mark.parametrize("share", [0.05, 0.5])
def test_the_mean_of_a_fortune_is_one_with_any_fixed_bets(bets: betting.Bets, share: float) -> None:
    scores = betting.difference_scores(betting.Arms(binary(0, 0), binary(0, 0), share), 0.1)
    p = 0.2
    chances = [share * (1 - p), 0, share * p, (1 - share) * (1 - p), 0, (1 - share) * p]
    mean = 0.0
    for first in range(6):
        for second in range(6):
            counts = np.bincount([first, second], minlength=6).astype(float)
            fortune = betting.log_fortune(
                [betting.Scores(scores.values, counts, scores.floor)], 0.0, bets
            )
            mean += chances[first] * chances[second] * math.exp(fortune)
    assert mean == pytest.approx(1, rel=1e-12)


def test_bets_that_are_tuned_to_the_size_are_narrower_there() -> None:
    arms = betting.Arms(binary(1_050, 10_000), binary(1_000, 10_000), 0.5)
    stake = tuning.stake_for(0.09 * 4 / 20_000, 20_000)
    plain = betting.difference_sequence([arms], 0.05, 0.1)
    suited = betting.difference_sequence([arms], 0.05, 0.1, betting.tuned(stake))
    far = betting.difference_sequence([arms], 0.05, 0.1, betting.tuned(stake * 20))
    widths = [(found.upper or 0) - (found.lower or 0) for found in (suited, plain, far)]
    assert widths[0] < 0.93 * widths[1]
    assert widths[2] < 1.2 * widths[1]


def test_the_limits_of_a_mean_move_outward_with_coarser_bins() -> None:
    values = np.random.default_rng(1).beta(2, 5, 4_000).tolist()
    fine = statistics_of(values, edges=np.linspace(0, 1, 401).tolist()).histogram
    coarse = statistics_of(values, edges=np.linspace(0, 1, 21).tolist()).histogram
    assert fine is not None
    assert coarse is not None
    inner = betting.mean_sequence([fine], 0.05)
    outer = betting.mean_sequence([coarse], 0.05)
    assert inner.lower is not None and inner.upper is not None  # noqa: PT018
    assert outer.lower is not None and outer.upper is not None  # noqa: PT018
    assert outer.lower < inner.lower < 2 / 7 < inner.upper < outer.upper


def test_the_boundary_at_the_planned_size_is_about_three_standard_errors() -> None:
    assert asymptotic.boundary(0.05) == pytest.approx(3.035, abs=5e-4)
    variance = 0.37
    mixture = asymptotic.mixture_variance(variance, 0.05)
    half = asymptotic.half_width(variance, mixture, 0.05)
    assert half / math.sqrt(variance) == pytest.approx(asymptotic.boundary(0.05), rel=1e-12)
    for other in (0.5, 2.0):
        assert asymptotic.half_width(variance, mixture * other, 0.05) > half


def test_evidence_and_interval_of_the_normal_mixture_are_duals() -> None:
    steps = [Estimate(0.5, 0.04, 100, 50), Estimate(0.1, 0.01, 400, 90)]
    found = asymptotic.sequence(steps, 0.3, 0.05)
    for limit in (found.lower, found.upper):
        assert limit is not None
        evidence = sum(asymptotic.log_e(s.value, s.variance, limit, 0.3) for s in steps)
        assert evidence == pytest.approx(math.log(20), rel=1e-12)


def test_a_one_sided_mixture_is_the_integral_over_positive_effects() -> None:
    z, v = 1.3, 4.0
    grid = np.linspace(0, 40, 400_001)
    prior = 2 * stats.norm.pdf(grid, scale=math.sqrt(v))
    integral = np.trapezoid(prior * np.exp(z * grid - grid * grid / 2), grid)
    assert asymptotic.log_e_above(z, 1.0, 0.0, v) == pytest.approx(math.log(integral), abs=1e-8)
    assert asymptotic.log_e_below(-z, 1.0, 0.0, v) == asymptotic.log_e_above(z, 1.0, 0.0, v)


def test_asymptotic_sequences_wait_for_five_events_in_each_arm() -> None:
    few, many = statistics_of([1.0] * 4 + [0.0] * 996), statistics_of([1.0] * 90 + [0.0] * 910)
    waiting = estimates.difference(estimates.mean(few), estimates.mean(many))
    found = asymptotic.sequence([waiting], 0.1, 0.05)
    assert (found.lower, found.upper, found.waits_for) == (None, None, "5 events in each arm")
    enough = statistics_of([1.0] * 5 + [0.0] * 995)
    ready = estimates.difference(estimates.mean(enough), estimates.mean(many))
    assert asymptotic.sequence([ready], 0.1, 0.05).waits_for is None


def test_estimates_agree_with_those_of_the_units() -> None:
    generator = np.random.default_rng(5)
    x = generator.normal(3, 2, 400)
    d = generator.poisson(4, 400) + 1.0
    y = 2 * x + d + generator.normal(0, 1, 400)
    arm = statistics_of(y.tolist(), x=x.tolist(), d=d.tolist())
    plain = estimates.mean(arm, signed=True)
    assert plain is not None
    assert plain.variance == pytest.approx(y.var(ddof=1) / 400, rel=1e-10)
    adjusted = estimates.adjusted_mean(arm, 1.7, 2.9, signed=True)
    corrected = y - 1.7 * (x - 2.9)
    assert adjusted is not None
    assert adjusted.value == pytest.approx(corrected.mean(), rel=1e-12)
    assert adjusted.variance == pytest.approx(corrected.var(ddof=1) / 400, rel=1e-9)
    assert estimates.theta_from(arm) == pytest.approx(np.cov(x, y)[0, 1] / x.var(ddof=1), rel=1e-10)
    ratio = estimates.ratio(arm, 100, signed=True)
    assert ratio is not None
    share = y.sum() / d.sum()
    linearised = (y - share * d) / d.mean()
    assert ratio.value == pytest.approx(share, rel=1e-12)
    assert ratio.variance == pytest.approx(linearised.var(ddof=1) / 400, rel=1e-9)
    assert estimates.ratio(arm, 1e6) is None


def test_weighted_estimates_agree_with_the_scores_of_the_units() -> None:
    generator = np.random.default_rng(9)
    scores: list[float] = []
    steps = []
    model = propensity.Model(0.4, 0.2)
    for share, units in ((0.1, 300), (0.5, 500)):
        treated = generator.random(units) < share
        x = generator.normal(size=units)
        y = 1 + 0.3 * x + 0.5 * treated + generator.normal(size=units)
        residual = y - 0.4 - 0.2 * x
        scores += np.where(treated, residual / share, -residual / (1 - share)).tolist()
        arms = [statistics_of(y[rows].tolist(), x=x[rows].tolist()) for rows in (treated, ~treated)]
        steps.append(propensity.Weighted(arms[0], arms[1], share, 1 - share, units))
    found = propensity.weighted_difference(steps, model, signed=True)
    assert found is not None
    assert found.value == pytest.approx(np.mean(scores), rel=1e-10)
    assert found.variance == pytest.approx(np.var(scores) / len(scores), rel=1e-9)
    arm = [(s.candidate, s.candidate_propensity, s.units) for s in steps]
    other = [(s.stable, s.stable_propensity, s.units) for s in steps]
    one = propensity.weighted_mean(arm, 0.0, model)
    two = propensity.weighted_mean(other, 0.0, model)
    assert one is not None
    assert two is not None
    assert one.value - two.value == pytest.approx(found.value, rel=1e-10)


NOTHING = ArmStatistics(n=0)


@pytest.mark.parametrize(
    "call",
    [
        lambda: beta_binomial.log_mixture(Counts(3, 2), 0.5),
        lambda: beta_binomial.log_mixture(Counts(1, 2), 1.5),
        lambda: beta_binomial.proportion_sequence(Counts(1, 2), 0),
        lambda: beta_binomial.log_e_risk_ratio([Pair(Counts(1, 2), Counts(1, 2), 0.0)], 1.0),
        lambda: beta_binomial.log_e_risk_ratio([], -1.0),
        lambda: betting.log_fortune([betting.lower_scores(binary(1, 2))], 0.0),
        lambda: betting.log_e_above([betting.Arms(binary(1, 2), binary(1, 2), 1.0)], 0, 0.5),
        lambda: betting.log_e_above(
            [betting.Arms(binary(1, 2), Histogram(edges=(0, 1), counts=(1,)), 0.5)], 0, 0.5
        ),
        lambda: betting.tuned(0),
        lambda: betting.mean_sequence([binary(1, 2), Histogram(edges=(0, 2), counts=(1,))], 0.05),
        lambda: betting.difference_sequence([], 0.05, 0.1),
        lambda: tuning.stake_for(0, 3),
        lambda: asymptotic.mixture_variance(0, 0.05),
        lambda: asymptotic.sequence([], math.nan, 0.05),
        lambda: propensity.weighted_difference(
            [propensity.Weighted(NOTHING, NOTHING, 0.0, 0.5, 3)]
        ),
        lambda: propensity.weighted_difference(
            [propensity.Weighted(ArmStatistics(n=4), NOTHING, 0.5, 0.5, 3)]
        ),
        lambda: propensity.weighted_mean([(NOTHING, 1.5, 3)]),
    ],
)
def test_impossible_arguments_are_named(call: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"must|need"):
        call()
