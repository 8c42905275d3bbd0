"""Limits of a mean over series and days: what one day moves at once is drawn at once."""

from __future__ import annotations

import math
from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from steward.domain.comparison import Comparison, ComparisonSettings, compare
from steward.domain.evaluation import evaluate
from steward.domain.evaluation_results import RANGES
from steward.domain.resampling import codes_of
from steward.domain.time_blocks import (
    Days,
    block_days,
    block_means,
    block_weights,
    days_of,
    limits,
    ordinals_of,
)

Floats = NDArray[np.float64]
PLAN = ComparisonSettings(
    loss="absolute_error", margin=0.3, confidence=0.95, bootstrap_samples=300, seed=20,
    slice_confidence=0.99, slice_minimum_rows=25,
)  # fmt: skip
FIRST = date(2026, 1, 5)


def panel(series: int, days: int) -> tuple[list[str], list[date]]:
    entities = [f"s{n:02d}" for n in range(series) for _ in range(days)]
    return entities, [FIRST + timedelta(days=n) for n in range(days)] * series


def compared(differences: Floats, **given_: Any) -> Comparison:
    """A candidate that loses so much more than a champion, a row for each series."""
    entities, days = panel(*differences.shape)
    champion = np.full(differences.size, 100.0)
    return compare(
        entities, np.zeros(differences.size), champion + differences.ravel(), champion,
        **{"slices": {}, "settings": PLAN, "asked_on": days, **given_},
    )  # fmt: skip


def on(numbers: tuple[int, ...], lead: int) -> Days:
    return days_of(ordinals_of([FIRST + timedelta(days=n) for n in numbers]), lead)


def shocked(series: int, days: int, seed: int, shift: float = 0.0) -> Floats:
    draw = np.random.default_rng(seed)
    return shift + 0.5 * draw.normal(size=days) + draw.normal(size=(series, days))


@pytest.mark.parametrize(
    ("days", "lead", "block"),
    [(1, 1, 1), (8, 1, 2), (27, 1, 3), (28, 1, 4), (64, 1, 4), (65, 1, 5), (56, 7, 7)],
)
def test_a_block_is_as_long_as_the_cube_root_of_the_days_or_the_lead(
    days: int, lead: int, block: int
) -> None:
    assert block_days(days, lead) == block


def test_days_without_rows_are_left_out_and_the_rest_is_numbered_in_order() -> None:
    days = on((9, 0, 2, 9), 1)
    assert (list(days.codes), days.count, days.block) == ([2, 0, 1, 2], 3, 2)


@pytest.mark.parametrize(
    ("step", "lead", "block"), [(1, 7, 7), (7, 7, 3), (7, 28, 4), (7, 29, 5), (2, 7, 4)]
)
def test_what_overlaps_is_counted_in_days_that_have_rows(step: int, lead: int, block: int) -> None:
    """Of weekly forecasts of a week none overlaps; of a month four do."""
    assert on(tuple(n * step for n in range(20)), lead).block == block


def test_a_block_of_all_days_is_the_mean_itself() -> None:
    values = np.arange(10).astype(np.float64)
    means = block_means(values, Days(np.arange(10), 10), samples=50, seed=1)
    assert means == pytest.approx(np.full(50, 4.5))


def test_all_rows_of_a_day_are_drawn_together() -> None:
    # Each day's rows sum to 0, so that no draw of whole days has another mean.
    values = np.array([5.0, -5.0, 1.0, -1.0, 80.0, -80.0])
    days = Days(np.array([0, 0, 1, 1, 2, 2]), 1)
    assert block_means(values, days, samples=100, seed=1) == pytest.approx(np.zeros(100))


def test_blocks_keep_neighbours_and_the_last_one_is_cut() -> None:
    """Ten days in blocks of four: the spread of replicates is that of 4, 4 and 2 days."""
    values = np.array([1.0] * 5 + [-1.0] * 5)
    means = block_means(values, Days(np.arange(10), 4), samples=20_000, seed=3)

    def spread(length: int) -> float:
        around = np.concatenate([values, values])
        return float(np.var([around[n : n + length].sum() for n in range(10)]))

    assert means.var() == pytest.approx((2 * spread(4) + spread(2)) / 100, rel=0.05)


def test_days_with_more_rows_weigh_more() -> None:
    values, codes = np.array([0.0, 3.0, 3.0, 3.0]), np.array([0, 1, 1, 1])
    means = block_means(values, Days(codes, 2), samples=20, seed=1)
    assert means == pytest.approx(np.full(20, 2.25))


@given(st.integers(1, 9), st.integers(1, 40), st.integers(1, 12), st.integers(0, 99))
def test_replicates_stay_within_the_values_whatever_the_shape(
    series: int, count: int, lead: int, seed: int
) -> None:
    values = np.random.default_rng(seed).normal(size=series * count)
    codes = np.tile(np.arange(count), series)
    days = Days(codes, block_days(count, lead))
    means = block_means(values, days, samples=30, seed=seed)
    assert means.size == 30
    assert values.min() - 1e-9 <= means.min()
    assert means.max() <= values.max() + 1e-9


@given(st.integers(1, 8), st.integers(1, 30), st.integers(0, 99))
def test_limits_hold_the_mean_and_are_finite(series: int, count: int, seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=series * count)
    entities, dates = panel(series, count)
    low, high = limits(
        values,
        codes_of(entities),
        days_of(ordinals_of(dates), 1),
        confidence=0.95,
        samples=200,
        seed=seed,
    )
    assert math.isfinite(low)
    assert math.isfinite(high)
    assert low <= values.mean() + 1e-9
    assert values.mean() - 1e-9 <= high


def test_equal_versions_have_no_difference_at_all() -> None:
    found = compared(np.zeros((6, 28)))
    assert (found.verdict, found.lower, found.upper) == ("pass", 0, 0)


def test_what_one_day_moves_is_seldom_called_a_difference() -> None:
    """Equal versions whose series share a day's shock: claims by series alone, and by both."""
    claims = {True: 0, False: 0}
    for seed in range(120):
        differences = shocked(12, 28, seed)
        for by_time in claims:
            found = compared(differences, **({} if by_time else {"asked_on": None}))
            claims[by_time] += found.proved_worse or found.superior
    assert claims[False] > 0.3 * 120
    assert claims[True] < 0.15 * 120


def test_a_real_difference_is_found() -> None:
    found = sum(compared(shocked(12, 28, seed, 0.5)).verdict == "worse" for seed in range(40))
    assert found > 35


def test_too_few_blocks_prove_nothing_and_the_reason_says_what_would() -> None:
    found = compared(shocked(12, 7, 1, 9.0))
    assert (found.verdict, found.proved_worse, found.superior) == ("inconclusive", False, False)
    assert found.undecided_because is not None
    assert "7 days judge in blocks of 2, at least 8 are needed" in found.undecided_because
    assert compared(shocked(12, 8, 1, 9.0)).verdict == "worse"


def test_outcomes_that_overlap_need_more_days() -> None:
    found = compared(shocked(12, 28, 1, 9.0), lead_days=8)
    assert (found.verdict, found.block_days) == ("inconclusive", 8)
    assert "at least 32" in str(found.undecided_because)


def test_one_series_is_judged_by_its_days() -> None:
    assert compared(shocked(1, 56, 1, 5.0)).verdict == "worse"
    alone = compared(shocked(1, 56, 1, 5.0), asked_on=None)
    assert alone.verdict == "inconclusive"
    assert "1 entities judge, at least 5 are needed" in str(alone.undecided_because)


def test_a_version_that_suits_few_series_is_not_proved_better_by_many_days() -> None:
    """A tenth of the series gains much on all its days: that is few draws, however many days."""
    differences = np.random.default_rng(1).normal(0, 0.05, (10, 200))
    differences[0] -= 3
    assert not compared(differences).superior


def test_a_slice_has_days_of_its_own() -> None:
    """Weekends of three weeks are 6 days in blocks of 2: three of them, and not judged."""
    differences = shocked(12, 21, 1, 9.0)
    _, days = panel(12, 21)
    parts = ["weekend" if day.weekday() > 4 else "week" for day in days]
    found = {slice_.value: slice_.verdict for slice_ in compared(
        differences, slices={"part": parts}).slices}  # fmt: skip
    assert found == {"week": "proved_worse", "weekend": "not_judged"}


def test_the_order_of_the_rows_changes_nothing_and_the_days_do() -> None:
    differences = shocked(6, 28, 2).ravel()
    entities, days = panel(6, 28)

    def at(order: NDArray[np.intp], dates: list[date]) -> Comparison:
        champion = np.full(differences.size, 100.0)
        return compare(
            [entities[row] for row in order], np.zeros(differences.size),
            (champion + differences)[order], champion, slices={}, settings=PLAN,
            asked_on=[dates[row] for row in order],
        )  # fmt: skip

    there = np.arange(differences.size)
    straight = at(there, days)
    assert straight == at(np.random.default_rng(1).permutation(there), days)
    other = at(there, days[::-1])
    assert other.inputs_digest != straight.inputs_digest


def test_as_many_days_as_rows_are_asked_for() -> None:
    with pytest.raises(ValueError, match="asked_on has 1 rows"):
        compared(np.zeros((6, 28)), asked_on=[FIRST])


@given(st.integers(1, 6), st.integers(1, 30), st.integers(1, 9), st.integers(0, 99))
def test_weights_draw_as_many_days_as_there_are_and_whole_days(
    series: int, count: int, lead: int, seed: int
) -> None:
    _, dates = panel(series, count)
    days = days_of(ordinals_of(dates), lead)
    drawn = np.concatenate(list(block_weights(days, samples=20, seed=seed)))
    assert drawn.shape == (20, series * count)
    by_day = drawn.reshape(20, series, count)
    assert (by_day == by_day[:, :1]).all()
    assert (by_day[:, 0].sum(axis=1) == count).all()


def test_weights_and_means_have_the_same_spread() -> None:
    values = np.random.default_rng(1).normal(size=30)
    days = Days(np.arange(30), 4)
    means = block_means(values, days, samples=8000, seed=3)
    weights = np.concatenate(list(block_weights(days, samples=8000, seed=4)))
    assert (weights @ values / 30).std() == pytest.approx(means.std(), rel=0.05)


@pytest.mark.parametrize("task", ["regression", "binary"])
def test_intervals_of_metrics_are_wider_where_days_are_shared(task: Any) -> None:
    entities, dates = panel(12, 28)
    draw = np.random.default_rng(1)
    shared = np.tile(draw.normal(size=28), 12)
    labels = draw.normal(size=shared.size)
    answers = labels + shared + 0.3 * draw.normal(size=shared.size)
    if task == "binary":
        labels, answers = (labels > 0).astype(np.float64), 1 / (1 + np.exp(-2 * answers))

    def width(**given_: Any) -> dict[str, float]:
        found = evaluate(
            entities, labels, answers, slices={"part": ["all"] * labels.size}, task=task,
            confidence=0.95, bootstrap_samples=300, seed=20, slice_minimum_rows=25, **given_,
        )  # fmt: skip
        assert found.slices[0].metrics == found.metrics
        for one in found.metrics:
            assert one.lower is not None
            assert one.upper is not None
            assert one.value is not None
            assert one.lower < one.value < one.upper
        return {m.metric: float(m.upper or 0) - float(m.lower or 0) for m in found.metrics}

    alone, both = width(), width(asked_on=dates)
    name = "rmse" if task == "regression" else "brier"
    assert both[name] > 1.5 * alone[name]


@pytest.mark.parametrize("task", ["regression", "binary"])
@pytest.mark.parametrize(
    ("lead", "block", "needed"), [(28, 28, 112), (14, 14, 56), (9, 9, 36), (7, 7, None)]
)
def test_metrics_of_too_few_blocks_have_a_value_and_no_interval(
    task: Any, lead: int, block: int, needed: int | None
) -> None:
    entities, dates = panel(3, 28)
    draw = np.random.default_rng(1)
    labels, answers = draw.normal(size=84), draw.normal(size=84)
    if task == "binary":
        labels, answers = (labels > 0).astype(np.float64), 1 / (1 + np.exp(-2 * answers))
    found = evaluate(
        entities, labels, answers, slices={"part": ["all"] * 84}, task=task, confidence=0.95,
        bootstrap_samples=50, seed=20, slice_minimum_rows=2, asked_on=dates, lead_days=lead,
    )  # fmt: skip
    why = (
        f"28 days judge in blocks of {block}, at least {needed} are needed: "
        "a longer split.horizon_days"
    )
    for one in [*found.metrics, *found.slices[0].metrics]:
        assert one.value is not None
        told = (one.lower is None, one.upper is None, one.undefined_because)
        assert told == ((True, True, why) if needed else (False, False, None))


@given(st.integers(0, 99), st.sampled_from(["regression", "binary"]), st.integers(3, 7))
@settings(deadline=None, max_examples=40)
def test_limits_are_values_that_the_metric_can_have(seed: int, task: Any, lead: int) -> None:
    entities, dates = panel(3, 28)
    draw = np.random.default_rng(seed)
    labels = draw.normal(size=84)
    answers = labels + draw.choice([1e-9, 0.01, 3.0]) * np.tile(draw.standard_t(1, 28), 3)
    if task == "binary":
        labels = (labels > 0).astype(np.float64)
        answers = 1 / (1 + np.exp(-np.clip(answers, -30, 30)))
    found = evaluate(
        entities, labels, answers, slices={}, task=task, confidence=0.95, bootstrap_samples=50,
        seed=seed, slice_minimum_rows=2, asked_on=dates, lead_days=lead,
    )  # fmt: skip
    for one in found.metrics:
        least, greatest = RANGES[one.metric]
        assert one.lower is not None
        assert one.upper is not None
        assert least <= one.lower <= one.upper <= greatest


def test_an_undefined_metric_stays_undefined() -> None:
    entities, dates = panel(2, 10)
    found = evaluate(
        entities, np.ones(20), np.full(20, 0.5), slices={}, task="regression", confidence=0.95,
        bootstrap_samples=50, seed=20, slice_minimum_rows=25, asked_on=dates,
    )  # fmt: skip
    explained = found.metric("r2")
    assert (explained.value, explained.undefined_because) == (None, "all 20 labels are equal")
