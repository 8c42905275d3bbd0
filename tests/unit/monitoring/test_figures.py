"""Figures on counts are those of scipy on the values, where each value has a bin of its own."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon

from steward.domain.monitoring.binning import count_numbers, learn_bins
from steward.domain.monitoring.column_tests import cells_of
from steward.domain.monitoring.figures import (
    auc_effect,
    describe_levels,
    describe_numbers,
    total_variation_effect,
    wasserstein,
    wasserstein_effect,
)
from steward.domain.p_values import merged

counts = st.lists(st.integers(0, 60), min_size=5, max_size=5)


@given(counts, counts)
def test_figures_are_those_of_scipy(one: list[int], two: list[int]) -> None:
    if not sum(one) or not sum(two):
        return
    new, old = np.array([0, *one, 0]), np.array([0, *two, 0])
    found = describe_numbers(new, old, np.arange(6.0))
    assert found is not None
    x, y = np.repeat(np.arange(5), one), np.repeat(np.arange(5), two)
    p, q = new / new.sum(), old / old.sum()
    assert found.kolmogorov_smirnov == pytest.approx(scipy.stats.ks_2samp(x, y).statistic)
    assert found.jensen_shannon == pytest.approx(jensenshannon(p, q, base=2), abs=1e-7)
    assert found.total_variation == pytest.approx(np.abs(p - q).sum() / 2)
    assert found.l_infinity == pytest.approx(np.abs(p - q).max())
    assert found.hellinger == pytest.approx(np.linalg.norm(np.sqrt(p) - np.sqrt(q)) / 2**0.5)
    u = scipy.stats.mannwhitneyu(x, y, use_continuity=False, method="asymptotic")
    assert found.auc == pytest.approx(u.statistic / (x.size * y.size))
    if len({*x, *y}) > 1:
        assert found.mann_whitney_p == pytest.approx(u.pvalue, rel=1e-6, abs=1e-12)


def test_distances_of_values_are_found_from_their_bins() -> None:
    chance = np.random.default_rng(2)
    old, new = chance.normal(0, 1, 20_000), chance.normal(0.3, 1.2, 5_000)
    cells = learn_bins(old)
    one, two = cells_of(count_numbers(new, cells)), cells_of(count_numbers(old, cells))
    found = describe_numbers(one, two, cells.edges)
    assert found is not None
    assert found.wasserstein == pytest.approx(scipy.stats.wasserstein_distance(new, old), rel=0.02)
    assert found.kolmogorov_smirnov == pytest.approx(
        scipy.stats.ks_2samp(new, old).statistic, abs=0.02
    )
    expected = scipy.stats.cramervonmises_2samp(new, old).statistic
    assert found.cramer_von_mises == pytest.approx(expected, rel=0.03)
    one, two = merged(one, two, 20)
    shares = (one + 0.5) / (one.sum() + 0.5 * one.size), (two + 0.5) / (two.sum() + 0.5 * two.size)
    both = scipy.stats.entropy(*shares) + scipy.stats.entropy(*shares[::-1])
    assert found.psi == pytest.approx(both)


def test_the_area_between_crossing_lines_is_that_of_two_triangles() -> None:
    edges = np.array([0.0, 1.0, 2.0, 3.0])
    new, old = np.array([0, 2, 0, 2, 0]), np.array([0, 1, 2, 1, 0])
    fine = np.linspace(0, 3, 300_001)
    gaps = [np.interp(fine, edges, np.cumsum(part)[:-1] / 4) for part in (new, old)]
    area = np.abs(gaps[0] - gaps[1]).mean() * 3
    assert float(wasserstein(new, old, edges)) == pytest.approx(area, rel=1e-4)


@pytest.mark.parametrize("rows", [100, 1_000, 10_000])
def test_effects_are_small_without_a_difference(rows: int) -> None:
    chance = np.random.default_rng(rows)
    shares = np.full(50, 1 / 50)
    edges = np.linspace(0, 1, 51)
    effects = []
    for _ in range(200):
        new, old = (np.pad(chance.multinomial(n, shares), 1) for n in (rows, 10_000))
        effects.append(
            [
                float(auc_effect(new, old)), float(wasserstein_effect(new, old, edges, 0.5)),
                total_variation_effect(new, old),
            ]
        )  # fmt: skip
    typical = 1 / rows**0.5 + 1 / 10_000**0.5
    assert (np.mean(effects, axis=0) < 0.5 * typical).all()


def test_a_true_shift_keeps_its_effect() -> None:
    chance = np.random.default_rng(9)
    old = chance.normal(0, 1, 50_000)
    cells = learn_bins(old)
    two = cells_of(count_numbers(old, cells))
    one = cells_of(count_numbers(chance.normal(0.2, 1, 50_000), cells))
    assert float(auc_effect(one, two)) == pytest.approx(0.1125, abs=0.01)
    effect = float(wasserstein_effect(one, two, cells.edges, cells.iqr))
    assert effect == pytest.approx(0.2 / 1.349, abs=0.01)


def test_an_empty_side_has_no_figures() -> None:
    nothing, some = np.zeros(5, dtype=np.int64), np.arange(5)
    assert describe_levels(nothing, some) is None
    assert describe_numbers(some, nothing, np.arange(4.0)) is None
    assert total_variation_effect(nothing, some) == 0
    assert float(auc_effect(nothing, some)) == 0
