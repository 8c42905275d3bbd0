"""The comparison gate: three verdicts, slice veto, and laws that hold for any data."""

from __future__ import annotations

import tracemalloc
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from steward.domain.comparison import Comparison, ComparisonSettings, compare

Floats = NDArray[np.float64]
PLAN = ComparisonSettings(
    loss="brier", margin=0.02, confidence=0.95, bootstrap_samples=2000, seed=20,
    slice_confidence=0.99, slice_minimum_rows=25,
)  # fmt: skip


def _compare(
    labels: Floats,
    candidate: Floats,
    champion: Floats,
    *,
    slices: dict[str, list[str]] | None = None,
    **plan: object,
) -> Comparison:
    entities = [f"e{i:06d}" for i in range(labels.size)]
    settings_ = PLAN.model_copy(update=plan)
    return compare(entities, labels, candidate, champion, slices=slices or {}, settings=settings_)


def _rows(n: int, seed: int) -> tuple[Floats, Floats]:
    generator = np.random.default_rng(seed)
    probabilities = generator.beta(2, 2, n)
    return (generator.random(n) < probabilities).astype(np.float64), probabilities


def test_an_equal_candidate_passes_and_is_not_called_superior() -> None:
    labels, probabilities = _rows(118, 1)
    found = _compare(labels, probabilities, probabilities)
    assert (found.verdict, found.superior, found.proved_worse) == ("pass", False, False)
    assert (found.difference, found.lower, found.upper) == (0, 0, 0)


def test_a_candidate_without_information_is_worse() -> None:
    labels, probabilities = _rows(400, 2)
    found = _compare(labels, np.full(400, 0.9), probabilities)
    assert found.verdict == "worse"
    assert found.proved_worse
    assert not found.passed


def test_few_noisy_rows_are_inconclusive() -> None:
    labels, probabilities = _rows(20, 3)
    other = np.clip(probabilities + np.random.default_rng(3).normal(0, 0.3, 20), 0, 1)
    assert _compare(labels, other, probabilities).verdict == "inconclusive"


def test_a_clearly_better_candidate_is_proved_superior() -> None:
    labels, probabilities = _rows(400, 4)
    assert _compare(labels, probabilities, np.full(400, 0.9)).superior


def test_a_proved_loss_within_the_margin_passes_and_is_shown() -> None:
    labels, probabilities = _rows(2000, 5)
    slightly_off = np.clip(probabilities + 0.06, 0, 1)
    found = _compare(labels, slightly_off, probabilities)
    assert found.verdict == "pass"
    assert found.proved_worse


def test_a_slice_vetoes_only_when_proved_worse_and_wide_enough() -> None:
    labels, probabilities = _rows(1000, 6)
    side = ["broken" if i < 60 else "thin" if i < 80 else "sound" for i in range(1000)]
    candidate = probabilities.copy()
    candidate[:80] = 1 - labels[:80]
    found = _compare(labels, candidate, probabilities, slices={"side": side}, margin=0.2)
    assert found.verdict == "pass"
    assert {s.value: s.verdict for s in found.slices} == {
        "broken": "proved_worse", "thin": "not_judged", "sound": "not_proved_worse",
    }  # fmt: skip
    assert [s.value for s in found.vetoes] == ["broken"]
    assert next(s for s in found.slices if s.value == "thin").lower is None
    assert not found.passed


ROWS = st.lists(
    st.tuples(st.sampled_from([0.0, 1.0]), st.floats(0, 1), st.floats(0, 1)),
    min_size=1, max_size=40,
)  # fmt: skip


def _columns(rows: list[tuple[float, float, float]]) -> tuple[Floats, Floats, Floats]:
    labels, candidate, champion = (np.array(column) for column in zip(*rows, strict=True))
    return labels, candidate, champion


@settings(deadline=None)
@given(rows=ROWS)
def test_exchanging_the_versions_mirrors_the_difference(
    rows: list[tuple[float, float, float]],
) -> None:
    labels, candidate, champion = _columns(rows)
    there = _compare(labels, candidate, champion, bootstrap_samples=200)
    back = _compare(labels, champion, candidate, bootstrap_samples=200)
    assert back.difference == pytest.approx(-there.difference, abs=1e-12)
    assert not (there.superior and back.superior)
    assert not (there.proved_worse and there.superior)


@settings(deadline=None)
@given(rows=ROWS, low=st.floats(0, 0.5), more=st.floats(0, 0.5))
def test_a_wider_margin_never_turns_a_pass_around(
    rows: list[tuple[float, float, float]], low: float, more: float
) -> None:
    columns = _columns(rows)
    narrow = _compare(*columns, margin=low, bootstrap_samples=200)
    wide = _compare(*columns, margin=low + more, bootstrap_samples=200)
    assert narrow.verdict != "pass" or wide.verdict == "pass"


@settings(deadline=None)
@given(rows=ROWS, seed=st.integers(0, 1000))
def test_neither_verdict_nor_digest_depends_on_the_order_of_rows(
    rows: list[tuple[float, float, float]], seed: int
) -> None:
    labels, candidate, champion = _columns(rows)
    entities = [f"e{i}" for i in range(labels.size)]
    slices = {"side": ["left" if i % 2 else "right" for i in range(labels.size)]}
    plan = PLAN.model_copy(update={"bootstrap_samples": 50, "slice_minimum_rows": 2})
    order = np.random.default_rng(seed).permutation(labels.size)
    shuffled = compare(
        [entities[i] for i in order], labels[order], candidate[order], champion[order],
        slices={"side": [slices["side"][i] for i in order]}, settings=plan,
    )  # fmt: skip
    assert shuffled == compare(entities, labels, candidate, champion, slices=slices, settings=plan)


@settings(deadline=None)
@given(st.integers(0, 99))
def test_rows_of_equal_numbers_have_one_digest_whatever_their_order(seed: int) -> None:
    """A series that is forecast to be 0 each day differs by its days and slices alone."""
    days = [date(2026, 1, 1) + timedelta(days=n) for n in range(12)] * 2
    entities = ["a"] * 12 + ["b"] * 12
    slices = {
        "weekend": ["yes" if day.weekday() > 4 else "no" for day in days],
        "month": [str(n % 5) for n in range(24)],
    }

    plan = PLAN.model_copy(update={"bootstrap_samples": 50})

    def digest(order: list[int]) -> str:
        zeros = np.zeros(24)
        return compare(
            [entities[i] for i in order], zeros, zeros, zeros, settings=plan,
            slices={name: [column[i] for i in order] for name, column in slices.items()},
            asked_on=[days[i] for i in order],
        ).inputs_digest  # fmt: skip

    order = [int(i) for i in np.random.default_rng(seed).permutation(24)]
    assert digest(order) == digest(list(range(24)))


def test_the_digest_changes_with_each_input() -> None:
    labels, probabilities = _rows(30, 8)
    other = probabilities.copy()
    other[0] = np.nextafter(other[0], 1)
    sides = {"side": ["left"] * 30}
    digests = {
        _compare(labels, probabilities, probabilities).inputs_digest,
        _compare(1 - labels, probabilities, probabilities).inputs_digest,
        _compare(labels, other, probabilities).inputs_digest,
        _compare(labels, probabilities, other).inputs_digest,
        _compare(labels, probabilities, probabilities, seed=21).inputs_digest,
        _compare(labels, probabilities, probabilities, margin=0.03).inputs_digest,
        _compare(labels, probabilities, probabilities, slices=sides).inputs_digest,
    }
    assert len(digests) == 7


def test_a_negative_zero_has_the_digest_of_zero() -> None:
    labels, probabilities = np.array([0.0, 1.0]), np.array([0.0, 0.5])
    negative = np.array([-0.0, 0.5])
    zero = _compare(labels, probabilities, probabilities).inputs_digest
    assert _compare(labels, negative, probabilities).inputs_digest == zero


def test_false_superiority_and_false_loss_stay_near_their_level() -> None:
    generator = np.random.default_rng(11)
    superior = worse = 0
    for _ in range(400):
        labels, probabilities = _rows(118, int(generator.integers(1 << 30)))
        other = np.clip(probabilities + generator.normal(0, 0.1, 118), 0, 1)
        swap = generator.random(118) < 0.5
        found = _compare(
            labels, np.where(swap, other, probabilities), np.where(swap, probabilities, other),
            bootstrap_samples=500,
        )  # fmt: skip
        superior += found.superior
        worse += found.proved_worse
    # level 5 %; three standard errors of 400 repetitions are 3.3 points
    assert superior / 400 <= 0.083
    assert worse / 400 <= 0.083


def test_a_hundred_thousand_rows_need_little_memory() -> None:
    labels, probabilities = _rows(100_000, 12)
    other = np.clip(probabilities + 0.01, 0, 1)
    tracemalloc.start()
    found = _compare(labels, other, probabilities, bootstrap_samples=200)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.rows == 100_000
    assert peak < 48 * 2**20


@pytest.mark.parametrize("series", [1, 2, 4])
def test_many_rows_of_a_few_series_prove_nothing(series: int) -> None:
    labels, probabilities = _rows(200, 4)
    entities = [f"store-{row % series}" for row in range(200)]
    for candidate, champion in (
        (np.full(200, 0.9), probabilities), (probabilities, np.full(200, 0.9)),
    ):  # fmt: skip
        found = compare(entities, labels, candidate, champion, slices={}, settings=PLAN)
        assert found.entities == series
        assert (found.verdict, found.superior, found.proved_worse) == (
            "inconclusive", False, False,
        )  # fmt: skip


def test_a_slice_that_is_one_series_is_not_judged() -> None:
    labels, probabilities = _rows(400, 5)
    entities = [f"store-{row % 8}" for row in range(400)]
    size = ["big" if entity == "store-0" else "small" for entity in entities]
    found = compare(
        entities, labels, np.full(400, 0.9), probabilities, slices={"size": size}, settings=PLAN
    )
    assert found.verdict == "worse"
    assert {s.value: s.verdict for s in found.slices} == {
        "big": "not_judged", "small": "proved_worse",
    }  # fmt: skip
