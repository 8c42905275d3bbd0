"""Rates of false and of true verdicts, on smaller numbers than bench/drift_calibration.py."""

from __future__ import annotations

import numpy as np
import pytest

from drift_simulations import (
    families,
    first_alarms,
    flagged_windows,
    lower_limit,
    power,
    references,
    seasonal_streams,
    uneven_hours,
    windows,
)
from steward.domain.monitoring.baseline import Baseline, column_baselines
from steward.domain.monitoring.binning import count_numbers, learn_bins
from steward.domain.monitoring.column_tests import (
    cells_of,
    detectable_effect,
    detectable_variation,
    rows_needed,
)
from steward.domain.monitoring.profiles import profile_chunk
from steward.domain.monitoring.verdicts import judge_window
from steward.domain.p_values import cauchy_combined, levels_p


@pytest.mark.parametrize("reference", [1_000, 50_000])
@pytest.mark.parametrize("rows", [100, 5_000])
def test_windows_without_drift_are_flagged_no_more_than_they_say(reference: int, rows: int) -> None:
    found = flagged_windows(np.random.default_rng([1, reference, rows]), reference, rows, 120)
    assert lower_limit(int(found.any(1).sum()), 120) <= 0.05


def test_simulated_counts_are_those_of_real_columns() -> None:
    """The cells of real references hold what the simulation says, on average and in spread."""
    chance = np.random.default_rng(7)
    for rows in (300, 1_000):
        real, drawn = [], references(chance, rows, (400,))
        for _ in range(400):
            cells = learn_bins(chance.random(rows))
            real.append(np.diff([0.0, *cells.edges, 1.0]))
        masses = np.array(real)
        expected = drawn.masses
        assert masses.shape == expected.shape
        close = 5 * expected.std(0) / 20 + 1e-9
        assert (np.abs(masses.mean(0) - expected.mean(0)) < close).all()
        assert masses.std(0)[3:-3] == pytest.approx(expected.std(0)[3:-3], rel=0.25)
        values = chance.random(rows)
        counts = cells_of(count_numbers(values, learn_bins(values)))
        assert counts.tolist() == drawn.counts[0].tolist()


def test_verdicts_on_rows_are_flagged_like_simulated_ones() -> None:
    chance = np.random.default_rng(3)
    flagged = 0
    for _ in range(40):
        columns = {f"x{n}": chance.normal(0, 1, 1_000) for n in range(20)}
        baseline = Baseline(project="p", rows=1_000, features=column_baselines(columns))
        new = {name: chance.normal(0, 1, 500) for name in columns}
        flagged += bool(judge_window(baseline, profile_chunk(baseline, new, "c")).changed)
    assert lower_limit(flagged, 40) <= 0.05


@pytest.mark.parametrize(("sds", "rows"), [(0.2, 500), (0.08, 5_000)])
def test_promised_shifts_are_found(sds: float, rows: int) -> None:
    laws = families()
    chance = np.random.default_rng(5)
    assert power(chance, laws, sds, 10_000, rows, 60).found.mean() >= 0.9
    for law in laws:
        assert power(chance, [law], sds, 10_000, rows, 12).found.mean() >= 0.7


def test_a_fortnight_of_hourly_looks_is_quiet_and_a_shift_is_found_soon() -> None:
    alarms, late = 0, []
    for seed in range(12):
        chance = np.random.default_rng([6, seed])
        drawn = references(chance, 2_000, (8,))
        hours = windows(chance, 60, np.broadcast_to(drawn.masses, (336, *drawn.masses.shape)))
        alarms += bool((first_alarms(hours, drawn.counts) >= 0).any())
        moved = drawn.masses[..., ::-1] * np.linspace(0.4, 1.6, drawn.masses.shape[-1])
        after = windows(chance, 60, np.broadcast_to(moved, (48, *moved.shape)))
        found = first_alarms(np.concatenate([hours[:96], after]), drawn.counts, history=96)
        late.append(int(found.min()))
    assert alarms <= 2
    assert 0 <= min(late) <= max(late) <= 12


def test_a_declared_season_is_quiet_where_the_naive_comparison_is_not() -> None:
    found = seasonal_streams(np.random.default_rng(8), 2, columns=4, looks=48)
    assert found.naive_hours > 0.5
    assert found.matched_hours < 0.1
    assert (found.undeclared, found.matched) == (1.0, 0.0)


def test_learnt_dispersion_quiets_uneven_hours() -> None:
    plain, learnt = uneven_hours(np.random.default_rng(9), 60)
    assert plain > 0.8
    assert lower_limit(round(learnt * 60), 60) <= 0.05


@pytest.mark.parametrize(("reference", "rows"), [(10_000, 500), (1_000, 2_000), (50_000, 5_000)])
def test_the_detectable_effect_is_found_with_power_of_four_in_five(
    reference: int, rows: int
) -> None:
    level = 0.03 / 40
    effect = detectable_effect(rows, reference, level)
    # |2 AUC - 1| of two normals that lie d deviations apart is 2 Phi(d / sqrt 2) - 1.
    from scipy.stats import norm

    sds = 2**0.5 * norm.ppf((1 + effect) / 2)
    chance = np.random.default_rng([10, rows])
    law = [families()[0]]
    found = power(chance, law, float(sds), reference, rows, 200, moved=1, min_effect=0.0).found
    assert found.mean() == pytest.approx(0.8, abs=0.1)
    assert rows_needed(reference, level, effect) == pytest.approx(rows, abs=2)


def test_the_detectable_variation_is_found_with_power_of_four_in_five() -> None:
    chance, level, cells = np.random.default_rng(11), 0.03 / 10, 6
    variation = detectable_variation(800, 10_000, level, cells=cells)
    shares = np.full(cells, 1 / cells)
    moved = shares + np.tile([1.0, -1.0], 3) * 2 * variation / cells
    hits = 0
    for _ in range(400):
        new, old = chance.multinomial(800, moved), chance.multinomial(10_000, shares)
        hits += cauchy_combined(levels_p(np.append(new, 0), np.append(old, 0))) <= level
    assert hits / 400 == pytest.approx(0.8, abs=0.08)
