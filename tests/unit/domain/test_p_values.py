"""Our own tests on counts say what scipy says."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from steward.domain.p_values import (
    cauchy_combined,
    chi_square_sf,
    discoveries,
    homogeneity_p,
    merged,
    normal_quantile,
    pooled,
    rank_sum_p,
    scale_p,
)

counts = st.lists(st.integers(0, 40), min_size=4, max_size=50)


@given(st.floats(0.0, 400.0), st.integers(1, 120))
def test_the_tail_of_chi_square_is_scipys(x: float, degrees: int) -> None:
    expected = scipy.stats.chi2.sf(x, degrees)
    assert chi_square_sf(x, degrees) == pytest.approx(expected, rel=1e-9, abs=1e-14)


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


@given(st.floats(1e-9, 1 - 1e-9))
def test_the_normal_quantile_is_scipys(p: float) -> None:
    assert normal_quantile(p) == pytest.approx(scipy.stats.norm.ppf(p), rel=1e-7, abs=1e-7)


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


def test_bins_and_levels_are_pooled_until_five_are_expected() -> None:
    new, old = np.array([1, 1, 30, 2, 30, 1]), np.array([10, 10, 300, 20, 300, 10])
    for one, two in (merged(new, old, 20), pooled(new, old)):
        assert (one.sum(), two.sum()) == (new.sum(), old.sum())
    one, two = merged(new, old, 20)
    expected = (one + two) * new.sum() / (new.sum() + old.sum())
    assert expected.min() >= 5
