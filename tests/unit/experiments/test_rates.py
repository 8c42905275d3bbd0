"""Error rates, power and coverage by simulation with fixed seeds.

A rate of r repetitions has a standard error of sqrt(.05 .95 / r); ``TOLERANCE`` adds three of
them to the nominal 5 percent. Sequences are looked at after every batch.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from experiment_simulations import (
    Looks,
    asymptotic_rejects,
    average_look,
    betting_log_e,
    betting_rejects,
    elementwise,
    entity_statistics,
    ever,
    in_sequence,
    looks,
    naive_z,
    planned_bets,
    planned_mixture,
    risk_ratio_rejects,
    sticky_entities,
    weighted_rejects,
)
from steward.domain.experiments import (
    asymptotic,
    betting,
    estimates,
    group_sequential,
    paired,
    planning,
    quantiles,
)
from steward.domain.experiments.arm_statistics import ArmStatistics, Histogram
from steward.domain.experiments.beta_binomial import Counts, log_mixture
from steward.domain.experiments.plan import (
    ExperimentPlan,
    ExperimentRecord,
    Goal,
    Guardrail,
    Metric,
    StepRecord,
)
from steward.domain.experiments.verdicts import judge

REPETITIONS = 600
TOLERANCE = 0.05 + 3 * math.sqrt(0.05 * 0.95 / REPETITIONS)


@pytest.mark.parametrize("share", [0.5, 0.1])
@pytest.mark.parametrize("rate", [0.1, 0.01, 0.002])
def test_equal_arms_are_rarely_told_apart_however_often_one_looks(
    share: float, rate: float
) -> None:
    generator = np.random.default_rng(11)
    steps = [looks(generator, (REPETITIONS, 40), 250, share, (rate, rate))]
    mixture, bets = planned_mixture(10_000, share, rate), planned_bets(10_000, share, rate)
    assert ever(betting_rejects(steps, rate)) <= TOLERANCE
    assert ever(betting_rejects(steps, rate, bets=bets)) <= TOLERANCE
    assert ever(betting_rejects(steps, 0.5, bets=bets)) <= TOLERANCE
    assert ever(risk_ratio_rejects(steps)) <= TOLERANCE
    assert ever(asymptotic_rejects(steps, mixture)) <= TOLERANCE
    assert ever(weighted_rejects(steps, mixture)) <= TOLERANCE
    assert ever(naive_z(steps)) > 0.15
    assert naive_z(steps)[:, -1].mean() == pytest.approx(0.05, abs=0.035)


@pytest.mark.parametrize("rate", [0.01, 0.002])
def test_without_the_start_rule_the_asymptotic_sequence_fails_on_rare_events(rate: float) -> None:
    steps = [looks(np.random.default_rng(12), (REPETITIONS, 40), 250, 0.1, (rate, rate))]
    mixture = planned_mixture(10_000, 0.1, rate)
    assert ever(asymptotic_rejects(steps, mixture, minimum_events=0)) > 0.12
    assert ever(asymptotic_rejects(steps, mixture)) <= TOLERANCE


@pytest.mark.parametrize("p", [0.5, 0.03])
def test_a_proportion_is_covered_at_all_times(p: float) -> None:
    counts = np.random.default_rng(13).binomial(50, p, (REPETITIONS, 60)).cumsum(axis=1)
    n = np.arange(50, 3_001, 50)
    missed = elementwise(lambda s, m: log_mixture(Counts(s, m), p), counts, n) >= math.log(20)
    assert ever(missed) <= TOLERANCE


@pytest.mark.parametrize("share", [0.5, 0.1])
def test_a_difference_is_covered_at_all_times(share: float) -> None:
    steps = [looks(np.random.default_rng(14), (REPETITIONS, 40), 250, share, (0.13, 0.1))]
    bets = planned_bets(10_000, share, 0.1)
    assert ever(betting_rejects(steps, 0.1, 0.03, bets)) <= TOLERANCE
    assert ever(risk_ratio_rejects(steps, 1.3)) <= TOLERANCE
    mixture = planned_mixture(10_000, share, 0.1)
    assert ever(asymptotic_rejects(steps, mixture, 0.03)) <= TOLERANCE
    assert ever(weighted_rejects(steps, mixture, 0.03)) <= TOLERANCE


def test_the_mean_of_a_skewed_amount_is_covered_at_all_times() -> None:
    generator = np.random.default_rng(15)
    values = generator.lognormal(0, 1.5, (400, 2, 6_000))
    at = np.arange(200, 6_001, 200) - 1
    sums, squares = (np.cumsum(v, axis=2)[:, :, at] for v in (values, values**2))
    n = at + 1
    means = sums / n
    variances = (squares / n - means**2) / (n - 1)
    difference, variance = means[:, 0] - means[:, 1], variances.sum(axis=1)
    truth = (math.exp(1.5**2) - 1) * math.exp(1.5**2)
    mixture = asymptotic.mixture_variance(2 * truth / 6_000, 0.05)
    missed = elementwise(
        lambda d, v: asymptotic.log_e(d, v, 0.0, mixture), difference, variance
    ) >= math.log(20)
    assert ever(missed) <= TOLERANCE


def test_a_bounded_mean_is_covered_from_binned_values() -> None:
    """Bins of .02 round outward, which only widens."""
    generator = np.random.default_rng(16)
    edges = np.linspace(0, 1, 51)
    values = generator.beta(0.5, 4.5, (400, 40, 50))
    bins = np.minimum((values * 50).astype(int), 49)
    counts = np.stack([(bins == position).sum(axis=2) for position in range(50)], axis=-1)
    counts = counts.cumsum(axis=1)
    empty = Histogram(edges=tuple(edges.tolist()), counts=(0,) * 50)
    missed = []
    for scores, mean in ((betting.lower_scores(empty), 0.1), (betting.upper_scores(empty), -0.1)):
        filled = betting.Scores(scores.values, counts.astype(float), scores.floor)
        missed.append(betting.log_fortune([filled], mean) >= math.log(40))
    assert ever(missed[0] | missed[1]) <= TOLERANCE


def test_a_latency_quantile_is_covered_at_all_times() -> None:
    generator = np.random.default_rng(17)
    edges = np.array(quantiles.log_spaced_edges(5, 5_000))
    values = generator.lognormal(4, 0.5, (200, 20, 100))
    truth = math.exp(4 + 0.5 * 1.6448536)
    missed = 0
    for repetition in values:
        counts = np.zeros(edges.size - 1, dtype=int)
        for block in repetition:
            counts += np.histogram(block, edges)[0]
            found = quantiles.quantile_sequence(
                Histogram(edges=tuple(edges.tolist()), counts=tuple(counts.tolist())), 0.95, 0.05
            )
            lower, upper = found.lower or 0.0, found.upper or math.inf
            if not lower <= truth <= upper:
                missed += 1
                break
    assert missed / 200 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 200)


def test_entities_with_many_requests_are_the_unit() -> None:
    """Per-request analysis of sticky entities with rates of their own finds what is not there."""
    entities = sticky_entities(np.random.default_rng(18), 200, 1_500, 0.5)
    by_request, by_entity, by_ratio = 0, 0, 0
    for repetition in range(200):
        candidate = entities.candidate[repetition]
        n1, n0 = (entities.requests[repetition][arm].sum() for arm in (candidate, ~candidate))
        s1, s0 = (entities.errors[repetition][arm].sum() for arm in (candidate, ~candidate))
        one_look = [np.array([[int(value)]]) for value in (n1, s1, n0, s0)]
        by_request += bool(
            naive_z([Looks(one_look[0], one_look[1], one_look[2], one_look[3], 0.5)])[0, 0]
        )
        for until in range(150, 1_501, 150):
            arms = entity_statistics(entities, repetition, until)
            effect = estimates.difference(*(estimates.ratio(arm, 50) for arm in arms))
            found = asymptotic.sequence([effect], asymptotic.mixture_variance(2e-4, 0.05), 0.05)
            if found.lower is not None and not found.lower <= 0 <= (found.upper or 0):
                by_ratio += 1
                break
        shares = entities.errors[repetition] / entities.requests[repetition]
        histograms = [
            np.histogram(shares[arm], np.linspace(0, 1, 101))[0] for arm in (candidate, ~candidate)
        ]
        edges = tuple(np.linspace(0, 1, 101).tolist())
        first, second = (Histogram(edges=edges, counts=tuple(h.tolist())) for h in histograms)
        interval = betting.difference_sequence([betting.Arms(first, second, 0.5)], 0.05, 0.1)
        by_entity += not (interval.lower or 0) <= 0 <= (interval.upper or 0)
    limit = 0.05 + 3 * math.sqrt(0.05 * 0.95 / 200)
    assert by_request / 200 > 0.21
    assert by_ratio / 200 <= limit
    assert by_entity / 200 <= limit


def test_steps_of_different_shares_are_not_pooled_when_the_base_rate_moves() -> None:
    generator = np.random.default_rng(19)
    steps = in_sequence(
        [
            looks(generator, (REPETITIONS, 8), 1_000, share, (rate, rate))
            for share, rate in ((0.1, 0.05), (0.25, 0.1), (0.5, 0.2))
        ]
    )
    mixture, bets = planned_mixture(24_000, 0.25, 0.1), planned_bets(24_000, 0.25, 0.1)
    assert naive_z(steps)[:, -1].mean() > 0.9
    assert ever(betting_rejects(steps, 0.1, bets=bets)) <= TOLERANCE
    assert ever(risk_ratio_rejects(steps)) <= TOLERANCE
    assert ever(asymptotic_rejects(steps, mixture)) <= TOLERANCE
    assert ever(weighted_rejects(steps, mixture)) <= TOLERANCE


def test_slow_spells_are_judged_by_time_blocks() -> None:
    """Requests of a block and variant share a host; per request that is taken for evidence."""
    generator = np.random.default_rng(28)
    shape = (200, 200)
    requests = 1 + generator.poisson(20, (2, *shape))
    rates = generator.beta(0.2, 3.8, (2, *shape))
    slow = generator.binomial(requests, rates)
    total, slowed = requests.sum(axis=2), slow.sum(axis=2)
    one_look = [part[:, None] for part in (total[0], slowed[0], total[1], slowed[1])]
    per_request = Looks(one_look[0], one_look[1], one_look[2], one_look[3], 0.5)
    wrong = 0
    for repetition in range(shape[0]):
        blocks = [
            quantiles.Block(Counts(int(a), int(m)), Counts(int(b), int(n)))
            for a, m, b, n in zip(
                slow[0, repetition], requests[0, repetition],
                slow[1, repetition], requests[1, repetition], strict=True,
            )
        ]  # fmt: skip
        found = quantiles.slow_share_sequence(blocks, 0.05)
        wrong += not (found.lower or 0) <= 0 <= (found.upper or 0)
    assert naive_z([per_request]).mean() > 0.2
    assert wrong / 200 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 200)


def test_the_judge_seldom_errs_on_equal_arms_at_any_look() -> None:
    generator = np.random.default_rng(29)
    goal = Metric(name="goal", kind="binary", centre=0.1, stake=0.05)
    errors = Metric(name="errors", kind="binary", higher_is_better=False, centre=0.02)
    plan = ExperimentPlan(
        strategy="ab_test", candidate="new", stable="old", goals=(Goal(metric=goal),),
        guardrails=(Guardrail(metric=errors, weight=1, must_prove="harm"),),
    )  # fmt: skip
    promoted = stopped = held = 0
    for _ in range(120):
        parts = {rate: looks(generator, (1, 6), 800, 0.5, (rate, rate)) for rate in (0.1, 0.02)}
        seen = set()
        for look in range(6):
            frozen = {
                name: {
                    "new": _of(parts[rate].n1[0, look], parts[rate].s1[0, look]),
                    "old": _of(parts[rate].n0[0, look], parts[rate].s0[0, look]),
                }
                for name, rate in (("goal", 0.1), ("errors", 0.02))
            }
            step = StepRecord(
                step_id="ab",
                propensities={"new": 0.5, "old": 0.5},
                exposures={arm: frozen["goal"][arm].n for arm in ("new", "old")},
                statistics=frozen,
            )
            seen.add(judge(plan, ExperimentRecord(steps=(step,))).verdict)
        promoted += "promote" in seen
        stopped += "roll_back" in seen
        held += "hold" in seen
    limit = 0.05 + 3 * math.sqrt(0.05 * 0.95 / 120)
    assert promoted / 120 <= limit / 2
    assert stopped / 120 <= limit
    assert held == 0


def _of(n: int, successes: int) -> ArmStatistics:
    return ArmStatistics(n=int(n), y=float(successes), y2=float(successes))


def test_only_matured_cohorts_enter_when_outcomes_are_late() -> None:
    """Equal conversion, but the candidate's arrives up to 10 hours late and the other's up to 2."""
    generator = np.random.default_rng(20)
    shape, window = (300, 24), 10
    late = {1: 10, 0: 2}
    n = {arm: generator.binomial(400, 0.5, shape) for arm in (1, 0)}
    by_delay = {
        arm: np.stack(
            [generator.binomial(n[arm] // late[arm], 0.1) for _ in range(late[arm])], axis=-1
        )
        for arm in (1, 0)
    }
    pooled, matured = {}, {}
    for arm in (1, 0):
        units = n[arm] // late[arm] * late[arm]
        arrived = np.zeros(shape, dtype=int)
        for hour in range(shape[1]):
            for delay in range(late[arm]):
                if hour + delay < shape[1]:
                    arrived[:, hour + delay] += by_delay[arm][:, hour, delay]
        pooled[arm] = (units.cumsum(axis=1), arrived.cumsum(axis=1))
        closed = shape[1] - window
        matured[arm] = (
            units[:, :closed].cumsum(axis=1), by_delay[arm].sum(axis=2)[:, :closed].cumsum(axis=1)
        )  # fmt: skip
    too_early = [Looks(*pooled[1], *pooled[0], 0.5)]
    closed_only = [Looks(*matured[1], *matured[0], 0.5)]
    mixture = planned_mixture(5_600, 0.5, 0.1)
    assert naive_z(too_early)[:, -1].mean() > 0.27
    assert ever(asymptotic_rejects(too_early, mixture)) > 0.27
    assert ever(asymptotic_rejects(closed_only, mixture)) <= TOLERANCE
    assert ever(betting_rejects(closed_only, 0.1)) <= TOLERANCE


@pytest.mark.parametrize("share", [0.5, 0.1])
@pytest.mark.parametrize("method", ["asymptotic", "betting"])
def test_the_planned_size_finds_the_planned_effect(method: planning.Method, share: float) -> None:
    units = planning.units_for_rate(0.1, 0.12, share, method=method)
    fixed = planning.units_for_rate(0.1, 0.12, share, method="fixed_horizon")
    steps = [looks(np.random.default_rng(21), (REPETITIONS, 50), units // 50, share, (0.12, 0.1))]
    if method == "asymptotic":
        found = asymptotic_rejects(steps, planned_mixture(units, share, 0.1))
    else:
        found = betting_rejects(steps, 0.1, bets=planned_bets(units, share, 0.1))
    assert 0.77 <= ever(found) <= 0.92
    assert average_look(found) * units / 50 < 1.3 * fixed
    assert 1.6 < units / fixed < 2.1


def test_planned_looks_keep_the_error_and_the_power_of_the_fixed_horizon() -> None:
    generator = np.random.default_rng(22)
    fractions = [0.2, 0.4, 0.6, 0.8, 1.0]
    limits = np.array(group_sequential.boundaries(fractions))
    drift = 1.959964 + 0.841621
    z = generator.normal(size=(20_000, 5)).cumsum(axis=1) / np.sqrt(np.arange(1, 6))
    assert (np.abs(z) >= limits).any(axis=1).mean() == pytest.approx(0.05, abs=0.005)
    shifted = z + drift * np.sqrt(fractions)
    assert (np.abs(shifted) >= limits).any(axis=1).mean() == pytest.approx(0.79, abs=0.015)


def test_a_shared_budget_stops_few_harmless_ramps_and_renewing_alpha_stops_many() -> None:
    """Three guardrails, five steps: e-processes are carried over, alpha is not renewed."""
    generator = np.random.default_rng(23)
    shares, rates = (0.05, 0.1, 0.25, 0.5, 0.5), (0.02, 0.05, 0.1)
    carried = np.zeros(REPETITIONS, dtype=bool)
    renewed = np.zeros(REPETITIONS, dtype=bool)
    for rate in rates:
        parts = [looks(generator, (REPETITIONS, 6), 500, s, (rate, rate)) for s in shares]
        log_e = betting_log_e(in_sequence(parts), rate, bets=planned_bets(15_000, 0.25, rate))
        carried |= (log_e >= math.log(3 / 0.05)).any(axis=1)
        for part in parts:
            renewed |= naive_z([part], 1.644854).any(axis=1)
    assert carried.mean() <= TOLERANCE
    assert renewed.mean() > 0.6


def test_a_paired_comparison_keeps_its_error_and_finds_a_difference() -> None:
    generator = np.random.default_rng(26)

    def found(chances: tuple[float, float]) -> float:
        counts = generator.multinomial(100, [*chances, 1 - sum(chances)], (REPETITIONS, 30))
        total = counts.cumsum(axis=1)
        log_e = elementwise(
            lambda a, b: paired.sequential_mcnemar(paired.Discordant(a, b, a + b)).log_e,
            total[..., 0], total[..., 1],
        )  # fmt: skip
        return ever(log_e >= math.log(20))

    assert found((0.03, 0.03)) <= TOLERANCE
    assert found((0.06, 0.03)) > 0.9
