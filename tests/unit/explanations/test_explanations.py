"""Shapley values: the axioms, closed forms, and estimates that know how wrong they are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from steward.domain.errors import RejectedError
from steward.domain.explanations.exact import explain_exactly, explain_linear, shapley_values
from steward.domain.explanations.importance import mean_absolute, permutation_importance
from steward.domain.explanations.kernel import explain_by_kernel
from steward.domain.explanations.values import Background, asked
from steward.domain.losses import row_losses

Floats = NDArray[np.float64]
games = st.integers(1, 5).flatmap(
    lambda d: st.lists(st.floats(-10, 10, allow_subnormal=False), min_size=2**d, max_size=2**d).map(
        lambda worth: (d, np.array(worth))
    )
)


def background(rows: int = 30, features: int = 5, seed: int = 3) -> Background:
    return Background.of(np.random.default_rng(seed).normal(size=(rows, features)))


def forest(rows: Floats) -> Floats:
    """A model with interactions and steps."""
    steps = np.where(rows[:, 0] > 0, rows[:, 1] * rows[:, 2], np.abs(rows[:, 3]))
    return np.asarray(steps + (rows[:, -1] > 0.5))


@given(games)
def test_values_add_to_the_worth_of_all(game: tuple[int, Floats]) -> None:
    d, worth = game

    values = shapley_values(worth, d)

    assert values.sum() == pytest.approx(worth[-1] - worth[0], abs=1e-9)


@given(games, st.data())
def test_who_adds_nothing_gets_nothing(game: tuple[int, Floats], data: st.DataObject) -> None:
    d, worth = game
    dummy = data.draw(st.integers(0, d - 1))
    numbers = np.arange(2**d)
    same = worth[numbers & ~(1 << dummy)]

    assert shapley_values(same, d)[dummy] == pytest.approx(0, abs=1e-9)


@given(games, st.data())
def test_features_that_do_the_same_get_the_same(
    game: tuple[int, Floats], data: st.DataObject
) -> None:
    d, worth = game
    i, j = data.draw(st.tuples(st.integers(0, d - 1), st.integers(0, d - 1)))
    numbers = np.arange(2**d)
    swapped = numbers & ~(1 << i) & ~(1 << j)
    swapped |= ((numbers >> i) & 1) << j | ((numbers >> j) & 1) << i
    symmetric = worth + worth[swapped]

    values = shapley_values(symmetric, d)

    assert values[i] == pytest.approx(values[j], abs=1e-9)


def test_a_linear_model_has_its_closed_form() -> None:
    rows, weights = background(), np.array([2.0, -1, 0, 0.5, 3])
    row = np.arange(5, dtype=np.float64)

    exact = explain_exactly(lambda x: x @ weights + 7, row, rows)
    closed = explain_linear(weights, 7, row, rows)

    np.testing.assert_allclose(exact.values, closed.values, atol=1e-10)
    assert exact.base == pytest.approx(closed.base)
    assert exact.values[2] == pytest.approx(0, abs=1e-12)
    assert exact.additive
    assert closed.additive


def test_the_kernel_over_all_coalitions_is_exact() -> None:
    rows, row = background(), np.array([0.3, -1, 2, 0.1, 1])

    exact = explain_exactly(forest, row, rows)
    kernel = explain_by_kernel(forest, row, rows)

    np.testing.assert_allclose(kernel.values, exact.values, atol=1e-9)
    assert not kernel.errors.any()


def test_the_kernel_by_sampling_is_as_wrong_as_it_says() -> None:
    rows = background(features=11)
    row = np.random.default_rng(5).normal(size=11)
    truth = explain_exactly(forest, row, rows).values
    far = []
    for seed in range(40):
        found = explain_by_kernel(forest, row, rows, samples=200, seed=seed)
        assert found.additive
        far.append((found.values - truth) / found.errors)

    spread = float(np.sqrt(np.mean(np.square(far))))
    assert 0.7 < spread < 1.6  # ten groups: the standard error itself is known to a quarter
    assert np.abs(np.mean(far, axis=0)).max() < 1


def test_more_samples_are_closer() -> None:
    rows = background(features=11)
    row = np.random.default_rng(5).normal(size=11)
    truth = explain_exactly(forest, row, rows).values

    few, many = (
        np.mean([
            np.abs(explain_by_kernel(forest, row, rows, samples=n, seed=s).values - truth).mean()
            for s in range(10)
        ])
        for n in (100, 800)
    )  # fmt: skip

    assert many < few / 2


def test_a_model_that_is_not_additive_over_the_background_shows_it() -> None:
    calls = []

    def moody(rows: Floats) -> Floats:
        calls.append(len(rows))
        return np.asarray(rows.sum(axis=1) + 0.001 * len(calls))

    found = explain_by_kernel(moody, np.ones(3), background(features=3))
    assert found.additive  # by construction, which is why this proves nothing

    linear = explain_linear(np.ones(3), 0, np.ones(3), background(features=3))
    assert linear.additive


@settings(deadline=None, max_examples=20)
@given(st.integers(2, 8), st.integers(0, 1000))
def test_kernel_and_exact_agree_for_any_size(d: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(d, d))
    rows = Background.of(rng.normal(size=(5, d)))
    row = rng.normal(size=d)

    def model(x: Floats) -> Floats:
        return np.asarray(np.tanh(np.einsum("ni,ij,nj->n", x, weights, x) / d))

    np.testing.assert_allclose(
        explain_by_kernel(model, row, rows).values,
        explain_exactly(model, row, rows).values,
        atol=1e-8,
    )


def test_a_background_is_known_by_its_digest() -> None:
    rows = np.arange(6, dtype=np.float64).reshape(2, 3)

    assert Background.of(rows).digest == Background.of(rows.copy()).digest
    assert Background.of(rows).digest != Background.of(rows.reshape(3, 2)).digest
    assert Background.of(rows).digest != Background.of(rows + 1e-12).digest


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda: Background.of(np.empty((0, 3))), "background"),
        (lambda: Background.of(np.array([[1.0, np.nan]])), "background[0, 1]"),
        (lambda: explain_exactly(forest, np.ones(4), background()), "row"),
        (lambda: explain_exactly(forest, np.array([1, 2, 3, np.inf, 0]), background()),
         "row[0, 3]"),
        (lambda: explain_exactly(forest, np.ones(13), background(features=13)), "features"),
        (lambda: explain_by_kernel(forest, np.ones(5), background(), samples=9), "samples"),
        (lambda: explain_by_kernel(forest, np.ones(1), background(features=1)), "samples"),
        (lambda: explain_exactly(lambda rows: rows, np.ones(5), background()), "predictions"),
        (lambda: asked(lambda rows: rows[:, 0] * np.nan, np.ones((2, 2))), "predictions[0, 0]"),
        (lambda: mean_absolute([], ["a"]), "explanations"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_by_name(call, field: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(RejectedError) as refused:
        call()

    assert refused.value.field == field


def test_mean_absolute_values_are_shares_in_order() -> None:
    rows = background(features=3)
    explained = [
        explain_linear(np.array([1.0, 0, -4]), 0, row, rows) for row in background(200, 3, 9).rows
    ]

    found = mean_absolute(explained, ["age", "sex", "bmi"])

    assert [importance.feature for importance in found] == ["bmi", "age", "sex"]
    assert sum(importance.value for importance in found) == pytest.approx(1)
    assert found[0].value == pytest.approx(0.8, abs=0.05)


def test_attributions_of_two_backgrounds_are_not_averaged() -> None:
    one, other = background(features=3), background(features=3, seed=4)
    explained = [
        explain_linear(np.ones(3), 0, np.ones(3), rows) for rows in (one, other)
    ]  # fmt: skip

    with pytest.raises(RejectedError, match="one background"):
        mean_absolute(explained, ["a", "b", "c"])


def test_permutation_importance_of_what_matters_and_of_what_does_not() -> None:
    rng = np.random.default_rng(6)
    rows = rng.normal(size=(2000, 3))
    labels = 2 * rows[:, 0] + rows[:, 1]

    found = permutation_importance(
        lambda x: 2 * x[:, 0] + x[:, 1],
        rows,
        labels,
        ["a", "b", "c"],
        lambda y, p: row_losses("squared_error", y, p),
    )

    # Shuffling a feature of weight w and variance 1 costs 2 w^2.
    assert [importance.feature for importance in found] == ["a", "b", "c"]
    assert found[0].value == pytest.approx(8, rel=0.05)
    assert found[1].value == pytest.approx(2, rel=0.05)
    assert found[2].value == 0
