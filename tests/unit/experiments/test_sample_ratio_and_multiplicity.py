"""Sample ratio, several hypotheses and quantiles: identities and edge cases."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from steward.domain.experiments import multiplicity, quantiles
from steward.domain.experiments.arm_statistics import Histogram, histogram_of
from steward.domain.experiments.beta_binomial import Counts
from steward.domain.experiments.quantiles import Block
from steward.domain.experiments.sample_ratio import (
    IMPOSSIBLE,
    Exposures,
    chi_square,
    sample_ratio,
    tilted_sample_ratio,
)

THIRDS = {"a": 0.5, "b": 0.3, "c": 0.2}


@pytest.mark.parametrize("test", [sample_ratio, tilted_sample_ratio])
def test_the_evidence_has_mean_one_over_all_outcomes(test: Callable[..., object]) -> None:
    n, total = 6, 0.0
    for a in range(n + 1):
        for b in range(n - a + 1):
            counts = {"a": a, "b": b, "c": n - a - b}
            found = test([Exposures(THIRDS, counts)])
            chance = stats.multinomial.pmf(list(counts.values()), n, list(THIRDS.values()))
            total += chance * math.exp(found.log_e)  # type: ignore[attr-defined]
    assert total == pytest.approx(1, rel=1e-10)


def test_an_arm_without_a_share_is_no_degree_of_freedom() -> None:
    """The case that gbstats answers with p = .0925: right is .0291."""
    with_zero = Exposures({"a": 0.5, "b": 0.5, "c": 0.0}, {"a": 1000, "b": 1100, "c": 0})
    without = Exposures({"a": 0.5, "b": 0.5}, {"a": 1000, "b": 1100})
    assert chi_square(with_zero).p_value == pytest.approx(0.0291, abs=5e-5)
    assert chi_square(with_zero) == chi_square(without)
    assert sample_ratio([with_zero]).log_e == sample_ratio([without]).log_e
    assert chi_square(with_zero).statistic == pytest.approx(
        stats.chisquare([1000, 1100]).statistic, rel=1e-12
    )


def test_one_exposure_of_an_arm_without_a_share_proves_the_mismatch() -> None:
    step = Exposures({"a": 1.0, "b": 0.0}, {"a": 10, "b": 1})
    assert sample_ratio([step]).log_e == IMPOSSIBLE
    assert tilted_sample_ratio([step]).log_e == IMPOSSIBLE
    assert chi_square(step).p_value == 0


def test_a_single_arm_proves_nothing() -> None:
    step = Exposures({"a": 1.0}, {"a": 10_000})
    assert sample_ratio([step]).log_e == 0
    assert chi_square(step).p_value == 1


def test_steps_multiply() -> None:
    first = Exposures({"a": 0.1, "b": 0.9}, {"a": 120, "b": 880})
    second = Exposures({"a": 0.5, "b": 0.5}, {"a": 480, "b": 520})
    assert sample_ratio([first, second]).log_e == pytest.approx(
        sample_ratio([first]).log_e + sample_ratio([second]).log_e
    )


def test_the_e_bh_procedure_rejects_the_largest_set_that_its_rule_allows() -> None:
    logs = {"a": math.log(30), "b": math.log(30), "c": math.log(26.6), "d": math.log(2)}
    assert multiplicity.e_benjamini_hochberg(logs, 0.05) == []
    logs["c"] = math.log(26.7)
    assert multiplicity.e_benjamini_hochberg(logs, 0.05) == ["a", "b", "c"]
    assert multiplicity.e_benjamini_hochberg({"x": math.log(20)}, 0.05) == ["x"]
    assert multiplicity.e_benjamini_hochberg({}, 0.05) == []


def test_a_guardrail_needs_the_evidence_of_its_share_of_the_budget() -> None:
    weights = {"errors": 0.6, "latency": 0.4}
    assert multiplicity.family_wise(
        {"errors": math.log(33.4), "latency": math.log(49.9)}, weights, 0.05
    ) == ["errors"]


def test_edges_are_two_percent_apart() -> None:
    edges = quantiles.log_spaced_edges(1, 60_000)
    assert edges[0] == 1
    assert edges[-2] < 60_000 <= edges[-1]
    assert max(b / a for a, b in itertools.pairwise(edges)) <= 1.02 + 1e-12


def test_the_limits_of_a_quantile_are_edges_around_it() -> None:
    values = np.random.default_rng(6).lognormal(4, 0.6, 20_000)
    edges = quantiles.log_spaced_edges(1, 10_000)
    found = quantiles.quantile_sequence(histogram_of(values.tolist(), edges), 0.95, 0.05)
    assert found.lower in edges
    assert found.upper in edges
    assert found.lower is not None
    assert found.upper is not None
    truth = math.exp(4 + 0.6 * stats.norm.ppf(0.95))
    assert found.lower < truth < found.upper < found.lower * 1.15


def test_a_quantile_beyond_the_edges_stays_open() -> None:
    slow = Histogram(edges=(1.0, 2.0), counts=(5,), above=5_000)
    found = quantiles.quantile_sequence(slow, 0.95, 0.05)
    assert (found.lower, found.upper, found.estimate) == (2.0, None, None)
    assert quantiles.quantile_sequence(Histogram(edges=(1, 2), counts=(0,)), 0.5, 0.1).n == 0


def test_blocks_without_both_arms_are_left_out() -> None:
    blocks = [Block(Counts(3, 10), Counts(5, 100)), Block(Counts(0, 0), Counts(9, 100))]
    assert quantiles.block_differences(blocks).total == 1
    worse = [Block(Counts(2, 10), Counts(5, 100))] * 300
    found = quantiles.slow_share_sequence(worse, 0.05)
    assert found.lower is not None
    assert found.upper is not None
    assert 0 < found.lower < 0.15 < found.upper


@pytest.mark.parametrize(
    "call",
    [
        lambda: sample_ratio([Exposures({"a": 0.5, "b": 0.6}, {})]),
        lambda: sample_ratio([Exposures({"a": -0.5, "b": 1.5}, {})]),
        lambda: sample_ratio([Exposures({"a": math.nan, "b": 1.0}, {})]),
        lambda: sample_ratio([Exposures({"a": 1.0}, {"b": 1})]),
        lambda: sample_ratio([Exposures({"a": 1.0}, {"a": -1})]),
        lambda: chi_square(Exposures({"a": 1.0}, {})),
        lambda: multiplicity.e_benjamini_hochberg({"a": math.nan}, 0.05),
        lambda: multiplicity.family_wise({"a": 1.0}, {"b": 0.5}, 0.05),
        lambda: multiplicity.family_wise({"a": 1.0}, {"a": 0.8, "b": 0.5}, 0.05),
        lambda: multiplicity.family_wise({"a": math.nan}, {"a": 0.8}, 0.05),
        lambda: quantiles.log_spaced_edges(0, 10),
        lambda: quantiles.log_spaced_edges(1, 10, 1.5),
        lambda: quantiles.quantile_sequence(Histogram(edges=(1, 2), counts=(0,)), 0, 0.05),
    ],
)
def test_impossible_arguments_are_named(call: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"must|need"):
        call()
