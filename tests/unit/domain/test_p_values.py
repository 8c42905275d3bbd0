"""Our own tests on counts say what scipy says."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from steward.domain.distribution_arrays import chi2_sf, erfc_positive, two_sided_p
from steward.domain.p_values import (
    adjusted,
    cauchy_combined,
    discoveries,
    fisher_p,
    g_statistic,
    group_starts,
    homogeneity_p,
    levels_p,
    pooled,
    rank_statistics,
    rank_sum_p,
    scale_p,
)

counts = st.lists(st.integers(0, 40), min_size=4, max_size=50)


@given(counts, st.randoms(use_true_random=False))
def test_the_rank_sum_of_counts_is_that_of_their_values(new: list[int], draw: object) -> None:
    old = [draw.randint(0, 40) for _ in new]  # type: ignore[attr-defined]
    one = np.repeat(np.arange(len(new)), new)
    two = np.repeat(np.arange(len(old)), old)
    if not one.size or not two.size or len({*one, *two}) < 2:
        return
    expected = scipy.stats.mannwhitneyu(one, two, use_continuity=False, method="asymptotic").pvalue
    assert rank_sum_p(np.array(new), np.array(old)) == pytest.approx(expected, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_the_scale_of_counts_is_moods_test_without_ties(seed: int) -> None:
    draw = np.random.default_rng(seed)
    places = draw.permutation(300) < 120
    new, old = places.astype(np.int64), (~places).astype(np.int64)
    expected = scipy.stats.mood(np.flatnonzero(places), np.flatnonzero(~places)).pvalue
    assert scale_p(new, old) == pytest.approx(expected, rel=1e-9)


@given(counts)
def test_homogeneity_is_the_contingency_test(new: list[int]) -> None:
    old = [count + 3 for count in reversed(new)]
    if sum(new) == 0:
        return
    expected = scipy.stats.chi2_contingency(np.array([new, old]), correction=False).pvalue
    assert homogeneity_p(np.array(new), np.array(old)) == pytest.approx(
        expected, rel=1e-8, abs=1e-14
    )


def test_tiny_p_values_stay_tiny_when_they_are_combined() -> None:
    assert cauchy_combined([1e-40, 0.9, 0.4]) == pytest.approx(3e-40, rel=1e-6)
    assert cauchy_combined([0.5, 0.5]) == pytest.approx(0.5)
    assert 0 <= cauchy_combined([1.0, 1.0, 1.0]) <= 1


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_discoveries_are_benjamini_and_hochbergs(p_values: list[float]) -> None:
    adjusted = scipy.stats.false_discovery_control(p_values)
    close = [abs(value - 0.03) < 1e-12 for value in adjusted]
    if not any(close):
        assert discoveries(p_values, 0.03) == [bool(value <= 0.03) for value in adjusted]


def test_tails_of_arrays_are_scipys() -> None:
    x = np.concatenate([np.linspace(0, 60, 301), np.geomspace(60, 1300, 60)])
    for df in (1, 2, 3, 10, 19, 50, 121, 201):
        expected = scipy.stats.chi2.sf(x, df)
        assert chi2_sf(x, df) == pytest.approx(expected, rel=1e-9, abs=1e-290)
    mixed = chi2_sf(np.array([3.0, 3.0, 3.0, -1.0]), np.array([0, 1, 4, 2]))
    assert mixed == pytest.approx([1.0, scipy.stats.chi2.sf(3, 1), scipy.stats.chi2.sf(3, 4), 1.0])
    z = np.linspace(0, 26, 500)
    assert erfc_positive(z) == pytest.approx(scipy.special.erfc(z), rel=1e-9)
    assert two_sided_p(-z) == pytest.approx(2 * scipy.stats.norm.sf(z), rel=1e-9)
    with pytest.raises(ValueError, match="0 to 400"):
        chi2_sf(1.0, 401)


def test_levels_are_pooled_until_five_are_expected() -> None:
    new, old = np.array([1, 1, 30, 2, 30, 1]), np.array([10, 10, 300, 20, 300, 10])
    one, two = pooled(new, old)
    assert (one.tolist(), two.tolist()) == ([30, 30, 5], [300, 300, 50])


def test_levels_that_the_reference_could_have_missed_are_pooled_with_what_it_did_miss() -> None:
    """With five new rows for each old one, a level of 30 rows is unseen before once in 240."""
    new, old = np.array([4_000, 25, 45, 30]), np.array([800, 5, 9, 0])
    one, two = pooled(new, old)
    assert (one.tolist(), two.tolist()) == ([4_000, 45, 55], [800, 9, 5])


def test_unseen_levels_of_a_long_tail_are_no_difference() -> None:
    chance = np.random.default_rng(6)
    shares = 1 / np.arange(1, 151)
    shares /= shares.sum()
    below = 0
    for _ in range(1_000):
        old, new = chance.multinomial(1_000, shares), chance.multinomial(5_000, shares)
        known = old > 0
        parts = levels_p(np.append(new[known], new[~known].sum()), np.append(old[known], 0))
        below += cauchy_combined(parts) <= 0.01
    assert below <= 0.01 * 1_000 + 3.5 * (0.01 * 1_000) ** 0.5


@given(counts, st.integers(1, 4000))
def test_groups_of_cells_hold_five_expected_and_a_twentieth(old: list[int], rows: int) -> None:
    reference = np.array(old)
    starts = group_starts(reference, rows, 20)
    groups = np.add.reduceat(reference, starts)
    total = int(reference.sum())
    assert starts[0] == 0
    assert len(starts) <= 20
    if len(starts) > 1:
        assert (groups * min(rows, total) / total).min() >= 5 - 1e-6
        assert groups.min() >= total / 20 - 1e-6


def test_many_columns_are_judged_as_one_after_the_other() -> None:
    chance = np.random.default_rng(3)
    new, old = chance.integers(0, 30, (2, 7, 50)), chance.integers(0, 30, (7, 50))
    ranks, scales = rank_statistics(new, old)
    for window in range(2):
        for column in range(7):
            pair = new[window, column], old[column]
            assert two_sided_p(ranks)[window, column] == pytest.approx(rank_sum_p(*pair))
            assert two_sided_p(scales)[window, column] == pytest.approx(scale_p(*pair))


@pytest.mark.parametrize("pair", [([0, 5, 0], [0, 9, 0]), ([0, 0], [3, 4]), ([0, 0], [0, 0])])
def test_nothing_to_compare_is_no_difference(pair: tuple[list[int], list[int]]) -> None:
    new, old = np.array(pair[0]), np.array(pair[1])
    found = [rank_sum_p(new, old), scale_p(new, old), homogeneity_p(new, old)]
    assert found == pytest.approx([1, 1, 1])
    assert levels_p(new, old) == []
    assert cauchy_combined([]) == 1.0


@given(st.integers(0, 9), st.integers(0, 300), st.integers(0, 9), st.integers(0, 3000))
def test_fishers_test_is_twice_the_smaller_tail(a: int, n: int, b: int, m: int) -> None:
    n, m = n + a, m + b
    if n + m == 0:
        return
    table = np.array([[a, n - a], [b, m - b]])
    tails = [
        scipy.stats.fisher_exact(table, alternative=side).pvalue for side in ("less", "greater")
    ]
    assert fisher_p(a, n, b, m) == pytest.approx(min(1.0, 2 * min(tails)), rel=1e-9)
    assert fisher_p(b, m, a, n) == pytest.approx(fisher_p(a, n, b, m), rel=1e-9)


def test_the_g_statistic_is_scipys() -> None:
    new, old = np.array([5, 0, 30, 12]), np.array([80, 9, 210, 77])
    value, degrees = g_statistic(new, old)
    expected = scipy.stats.chi2_contingency(
        np.array([new, old]), correction=False, lambda_="log-likelihood"
    )
    assert float(value) == pytest.approx(expected.statistic, rel=1e-12)
    assert int(degrees) == expected.dof
    assert levels_p(new, old, statistic="g")[-1] != levels_p(new, old)[-1]


def test_a_new_level_is_found_exactly_and_one_new_row_is_none() -> None:
    old = np.array([6_000, 4_000, 0])
    many, one = np.array([290, 190, 20]), np.array([300, 199, 1])
    assert min(levels_p(many, old)) < 1e-20
    exact, chi2 = levels_p(one, old)
    assert exact == pytest.approx(2 * 500 / 10_500, rel=1e-6)
    assert chi2 > 0.5


def test_rare_levels_do_not_alarm_more_often_than_they_say() -> None:
    chance = np.random.default_rng(4)
    shares = np.append(np.full(60, 0.0004), [0.5, 1 - 0.5 - 60 * 0.0004])
    below = 0
    for _ in range(3_000):
        old, new = chance.multinomial(10_000, shares), chance.multinomial(120, shares)
        below += cauchy_combined(levels_p(np.append(new, 0), np.append(old, 0))) <= 0.01
    assert below <= 0.01 * 3_000 + 3.5 * (0.01 * 3_000) ** 0.5


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_adjusted_p_values_are_those_of_the_literature(p_values: list[float]) -> None:
    count = len(p_values)
    assert adjusted(p_values) == pytest.approx(scipy.stats.false_discovery_control(p_values))
    assert adjusted(p_values, "benjamini_yekutieli") == pytest.approx(
        scipy.stats.false_discovery_control(p_values, method="by")
    )
    assert adjusted(p_values, "bonferroni") == pytest.approx([min(1, p * count) for p in p_values])
    ranked = sorted(p_values)
    expected = [
        max(min(1, (count - place) * value) for place, value in enumerate(ranked) if value <= p)
        for p in p_values
    ]
    assert adjusted(p_values, "holm") == pytest.approx(expected)
    both = adjusted(np.array([p_values, p_values]))
    assert both[1] == pytest.approx(adjusted(p_values))
    assert discoveries([], 0.05) == []
