"""Rows of any type explained: agreement with the numeric path, categories, linear forms, effort."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steward.domain.errors import RejectedError
from steward.domain.explanations.evidence import feature_importances
from steward.domain.explanations.exact import explain_exactly
from steward.domain.explanations.linear_form import LinearForm
from steward.domain.explanations.mixed import (
    ROWS_AT_ONCE,
    Cell,
    MixedBackground,
    Row,
    effort,
    explain_rows,
    explained_groups,
)
from steward.domain.explanations.shuffling import permuted
from steward.domain.explanations.values import Background, Floats


def _numeric(rows: Floats) -> Floats:
    return np.asarray(rows[:, 0] * rows[:, 1] + np.maximum(rows[:, 2], 0))


def _as_floats(rows: list[list[Cell]]) -> Floats:
    return np.array(rows, np.float64)


def _table(seed: int, rows: int, columns: int) -> list[Row]:
    return [tuple(row) for row in np.random.default_rng(seed).normal(size=(rows, columns)).tolist()]


def test_numbers_are_explained_as_by_the_exact_method() -> None:
    rows, behind = _table(1, 7, 3), _table(2, 5, 3)
    mixed = MixedBackground(("a", "b", "c"), tuple(behind))
    found = explain_rows(lambda asked: _numeric(_as_floats(asked)), rows, mixed)
    background = Background.of(np.array(behind))
    for place, row in enumerate(rows):
        alone = explain_exactly(_numeric, np.array(row), background)
        np.testing.assert_allclose(found.values[place], alone.values, atol=1e-12)
        assert found.base == pytest.approx(alone.base)
    assert found.gaps.max() < 1e-12


def _mixed(rows: list[list[Cell]]) -> Floats:
    plans: dict[Cell, float] = {"basic": 0.0, "plus": 0.2, None: 0.5}
    return np.array([plans[plan] * (2 if paid else 1) + float(age or 0) / 100
                     for age, plan, paid in rows])  # fmt: skip


def test_categories_and_missing_values_take_whole_cells() -> None:
    names = ("age", "plan", "paid")
    behind: tuple[Row, ...] = ((30, "basic", False), (None, "plus", True))
    row: Row = (50, None, True)
    found = explain_rows(_mixed, [row], MixedBackground(names, behind))
    orders = list(itertools.permutations(range(3)))
    by_orders = np.zeros(3)
    for order, base in itertools.product(orders, behind):
        cells = list(base)
        before = _mixed([cells])[0]
        for feature in order:
            cells[feature] = row[feature]
            after = _mixed([list(cells)])[0]
            by_orders[feature] += (after - before) / (len(orders) * len(behind))
            before = after
    np.testing.assert_allclose(found.values[0], by_orders, atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(st.integers(13, 16), st.integers(0, 1000))
def test_the_kernel_is_exact_for_models_that_add(d: int, seed: int) -> None:
    weights = np.random.default_rng(seed).normal(size=d)
    rows, behind = _table(seed, 2, d), _table(seed + 1, 3, d)
    names = tuple(f"f{n}" for n in range(d))
    found = explain_rows(
        lambda asked: _as_floats(asked) @ weights, rows, MixedBackground(names, tuple(behind)),
        coalitions=4 * d,
    )  # fmt: skip
    expected = (np.array(rows) - np.array(behind).mean(axis=0)) * weights
    np.testing.assert_allclose(found.values, expected, atol=1e-8)
    assert found.method == "kernel"


def test_no_question_is_larger_than_allowed() -> None:
    asked: list[int] = []

    def answer(rows: list[list[Cell]]) -> Floats:
        asked.append(len(rows))
        return np.asarray(_as_floats(rows).sum(axis=1))

    names = tuple(f"f{n}" for n in range(11))
    groups = list(
        explained_groups(answer, _table(1, 6, 11), MixedBackground(names, tuple(_table(2, 20, 11))))
    )
    assert max(asked) <= ROWS_AT_ONCE
    assert sum(asked) == 6 * 2**11 * 20
    assert sum(len(group.values) for group in groups) == 6
    asked.clear()
    few = MixedBackground(("a", "b"), ((0.0, 0.0),))
    explain_rows(answer, _table(3, 500, 2), few)
    assert asked == [2000]


@pytest.mark.parametrize(
    ("d", "rows"), [(1, 500), (4, 70), (8, 500), (10, 500), (12, 500), (30, 500), (200, 90)]
)
def test_effort_is_bounded_and_says_enough(d: int, rows: int) -> None:
    share = effort(d, rows, 300_000)
    assert share.rows >= min(60, rows)
    assert 5 <= share.background <= 20
    assert share.coalitions == 2**d if d <= 12 else share.coalitions >= 4 * d
    assert share.model_rows <= max(300_000, 60 * 5 * share.coalitions)


@pytest.mark.parametrize(
    "make",
    [
        lambda: MixedBackground((), ()),
        lambda: MixedBackground(("a",), ()),
        lambda: MixedBackground(("a", "b"), ((1,),)),
        lambda: explain_rows(_mixed, [], MixedBackground(("a",), ((1,),))),
        lambda: explain_rows(_mixed, [(1, 2)], MixedBackground(("a",), ((1,),))),
        lambda: explain_rows(
            lambda rows: np.zeros(1), [(1,)], MixedBackground(("a",), ((1,), (2,)))
        ),
        lambda: explain_rows(
            lambda rows: np.full(len(rows), np.nan), [(1,)], MixedBackground(("a",), ((1,),))
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_explained_is_refused(make: Any) -> None:
    with pytest.raises(RejectedError):
        make()


def test_digests_tell_types_apart() -> None:
    digests = {MixedBackground(("a",), ((cell,),)).digest for cell in (1, "1", True, 1.5, None)}
    assert len(digests) == 5


def test_a_linear_form_is_explained_as_the_exact_method_explains_it() -> None:
    form = LinearForm(intercept=-0.3, weights={"a": 0.5, "b": -1.0}, missing={"b": 2.0})
    names, behind = ("a", "b", "c"), ((1.0, None, "x"), (0.0, 1, "y"))
    background = MixedBackground(names, behind)
    rows: list[Row] = [(2, 3.0, "z"), (True, None, "x")]
    found = form.explain(rows, background)

    def scores(asked: list[list[Cell]]) -> Floats:
        answers = form.answers(asked, names)
        return np.log(answers / (1 - answers))

    exact = explain_rows(scores, rows, background)
    np.testing.assert_allclose(found.values, exact.values, atol=1e-9)
    np.testing.assert_allclose(found.predictions, exact.predictions, atol=1e-9)
    assert found.scale == "log_odds"


@pytest.mark.parametrize("row", [("x",), (None,)])
def test_a_linear_form_takes_numbers_only(row: Row) -> None:
    form = LinearForm(intercept=0.0, weights={"a": 1.0})
    with pytest.raises(ValueError, match="cannot take"):
        form.answers([row], ("a",))
    with pytest.raises(ValueError, match="names no feature"):
        form.answers([(1,)], ("b",))
    with pytest.raises(ValueError, match="not finite"):
        LinearForm(intercept=0.0, weights={"a": float("inf")})


def test_importances_have_intervals_shares_and_ranks() -> None:
    draw = np.random.default_rng(1)
    values = draw.normal(0, [1.0, 3.0, 0.0], (200, 3))
    found = feature_importances(values, ["a", "b", "c"])
    assert [one.name for one in found] == ["b", "a", "c"]
    assert [one.rank for one in found] == [1, 2, 3]
    assert sum(one.share for one in found) == pytest.approx(1)
    for one in found:
        assert one.lower <= one.mean_abs <= one.upper
    assert feature_importances(np.zeros((5, 1)), ["a"])[0].share == 0


def test_intervals_of_importances_hold_what_they_promise() -> None:
    draw, held = np.random.default_rng(3), 0
    for _ in range(100):
        [one] = feature_importances(draw.normal(0, 3, (200, 1)), ["a"])
        held += one.lower < 3 * np.sqrt(2 / np.pi) < one.upper
    assert 88 <= held <= 100


def test_shuffling_hurts_where_the_model_looks() -> None:
    draw = np.random.default_rng(2)
    kinds, noise = draw.choice(["x", "y"], 300).tolist(), draw.normal(size=300).tolist()
    rows: list[Row] = list(zip(kinds, noise, strict=True))
    labels = np.array([float(row[0] == "x") for row in rows])
    found = permuted(
        lambda asked: np.array([0.9 if row[0] == "x" else 0.1 for row in asked]), rows,
        ("kind", "noise"), lambda answers: (answers - labels) ** 2,
    )  # fmt: skip
    assert found[0].name == "kind"
    assert found[0].lower > 0.3
    assert (found[1].increase, found[1].lower, found[1].upper) == (0, 0, 0)
