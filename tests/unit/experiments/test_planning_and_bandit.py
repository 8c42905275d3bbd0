"""Plans by the method used, and Thompson sampling's shares."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from experiment_simulations import betting_log_e, looks, planned_bets
from steward.domain.errors import MethodRefusedError
from steward.domain.experiments import bandit, planning
from steward.domain.experiments.arm_statistics import ArmStatistics
from steward.domain.experiments.bandit import Batch
from steward.domain.experiments.bayesian import Posterior


def test_a_sequence_needs_almost_twice_the_units_or_resolves_a_larger_effect() -> None:
    units = {
        method: planning.units_for_mean(0.01, 1, 1, 0.5, method=method)
        for method in ("fixed_horizon", "asymptotic")
    }
    assert units["fixed_horizon"] == math.ceil(4 * ((1.959964 + 0.841621) / 0.01) ** 2)
    assert units["asymptotic"] / units["fixed_horizon"] == pytest.approx(1.92, abs=0.01)
    effects = {
        method: planning.detectable_mean(10_000, 1, 2, 0.1, method=method).effect
        for method in ("fixed_horizon", "asymptotic")
    }
    assert effects["asymptotic"] / effects["fixed_horizon"] == pytest.approx(1.38, abs=0.005)


@pytest.mark.parametrize("method", ["fixed_horizon", "asymptotic", "betting"])
@pytest.mark.parametrize("share", [0.1, 0.5])
def test_units_and_detectable_effect_invert_each_other(
    method: planning.Method, share: float
) -> None:
    units = planning.units_for_rate(0.1, 0.12, share, method=method)
    found = planning.detectable_rate(units, 0.1, share, method=method)
    assert found.effect == pytest.approx(0.02, rel=1e-3)
    assert found.units == units


@pytest.mark.parametrize(
    ("known", "harmful", "requests"), [(0.02, 0.10, 55), (0.01, 0.02, 1_177), (0.01, 0.015, 4_207)]
)
def test_guardrail_requests_agree_with_the_rule(
    known: float, harmful: float, requests: int
) -> None:
    """The last is 4,207.02, which this rounds up."""
    assert planning.requests_to_prove_harm(known, harmful) == pytest.approx(requests, abs=1)


def test_the_planned_size_proves_a_margin_in_four_of_five_cases() -> None:
    units = planning.units_to_prove_margin(0.05, 0.02, 0.25)
    bets = planned_bets(units, 0.25, 0.05)
    steps = [looks(np.random.default_rng(31), (1_000, 1), units, 0.25, (0.05, 0.05))]
    log_e = betting_log_e(steps, 0.05, 0.02, bets, below=True)
    assert (log_e >= math.log(40)).mean() == pytest.approx(0.8, abs=0.05)
    assert units < planning.units_to_prove_margin(0.05, 0.01, 0.25)


def test_the_chance_of_being_best_agrees_with_draws() -> None:
    posteriors = {"a": Posterior(20, 180), "b": Posterior(28, 172), "c": Posterior(1, 1)}
    draws = np.random.default_rng(1).beta([20, 28, 1], [180, 172, 1], (400_000, 3))
    best = np.bincount(draws.argmax(axis=1), minlength=3) / 400_000
    found = bandit.chance_of_best(posteriors)
    assert list(found.values()) == pytest.approx(best.tolist(), abs=0.003)
    assert math.fsum(found.values()) == pytest.approx(1, abs=1e-12)


def test_two_arms_agree_with_the_chance_to_win_in_closed_form() -> None:
    found = bandit.chance_of_best({"a": Posterior(2, 1), "b": Posterior(1, 1)})
    assert found["a"] == pytest.approx(2 / 3, abs=1e-8)


def binary(successes: int, n: int) -> ArmStatistics:
    return ArmStatistics(n=n, y=successes, y2=successes)


def test_shares_follow_the_matured_batches_down_to_the_floor() -> None:
    batches = [
        Batch(
            shares={"a": 0.5, "b": 0.5},
            statistics={"a": binary(10, 1_000), "b": binary(200, 1_000)},
        )
    ]
    shares = bandit.next_shares(batches, ["a", "b"], 0.05)
    assert shares == pytest.approx({"a": 0.05, "b": 0.95}, abs=1e-9)
    turned = bandit.next_shares(batches, ["a", "b"], 0.05, higher_is_better=False)
    assert turned == pytest.approx({"a": 0.95, "b": 0.05}, abs=1e-9)


def test_without_outcomes_every_arm_has_the_same_share() -> None:
    assert bandit.next_shares([], ["a", "b", "c", "d"], 0.05) == pytest.approx(
        dict.fromkeys("abcd", 0.25)
    )
    nothing = [Batch(shares={"a": 0.5, "b": 0.5}, statistics={"a": binary(0, 0)})]
    assert bandit.next_shares(nothing, ["a", "b"], 0.1)["a"] == pytest.approx(0.5)


def test_the_same_outcomes_give_the_same_shares_to_the_last_bit() -> None:
    batches = [Batch(shares={"a": 0.5, "b": 0.5},
                     statistics={"a": binary(31, 290), "b": binary(40, 310)})]  # fmt: skip
    assert bandit.next_shares(batches, ["a", "b"], 0.05) == bandit.next_shares(
        batches, ["a", "b"], 0.05
    )


@pytest.mark.parametrize("method", sorted(bandit.REFUSED))
def test_invalid_methods_are_refused_with_a_reason(method: str) -> None:
    with pytest.raises(MethodRefusedError) as refused:
        bandit.refuse_unless_adaptive(method)
    assert refused.value.value == method


@pytest.mark.parametrize("method", ["weighted", "binary", "bounded"])
def test_weighted_methods_are_allowed(method: str) -> None:
    bandit.refuse_unless_adaptive(method)
    assert method not in bandit.REFUSED


@pytest.mark.parametrize(
    "call",
    [
        lambda: bandit.next_shares([], ["a", "b"], 0.01),
        lambda: bandit.next_shares([], ["a", "b"], 0.6),
        lambda: bandit.next_shares([], ["a", "b"], math.nan),
        lambda: bandit.next_shares(
            [Batch(shares={"a": 1}, statistics={"a": ArmStatistics(n=2, y=1.5, y2=2)})], ["a"], 0.1
        ),
        lambda: planning.units_for_mean(0, 1, 1, 0.5),
        lambda: planning.detectable_mean(0, 1, 1, 0.5),
        lambda: planning.detectable_rate(10, 1.0, 0.5),
        lambda: planning.units_for_rate(0.1, 0.1, 0.5),
        lambda: planning.units_to_prove_margin(0.1, 0.9, 0.5),
        lambda: planning.requests_to_prove_harm(0.1, 0.05),
    ],
)  # fmt: skip
def test_impossible_arguments_are_named(call: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match="must"):
        call()


def test_the_normal_approximation_of_a_plan_holds_for_scipys_normal() -> None:
    assert planning.detectable_mean(400, 1, 1, 0.5, method="fixed_horizon").effect == pytest.approx(
        (stats.norm.isf(0.025) + stats.norm.isf(0.2)) * math.sqrt(4 / 400), rel=1e-9
    )
