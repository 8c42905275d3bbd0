"""Shapley values of trees, read from their arrays, against those that are asked of the model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import (
    AdaBoostRegressor,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LinearRegression
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from steward.domain.explanations import trees
from steward.domain.explanations.linear_form import linear_form
from steward.domain.explanations.mixed import MixedBackground, explain_rows
from steward.domain.explanations.trees import Tree, tree_values
from steward.domain.explanations.values import Floats
from steward_jobs.estimator_trees import NoTreesError, trees_of
from steward_jobs.model_forms import Explainable, declared_linear, explained_by_trees

NAMES = ("a", "b", "c", "d")
_DRAWN = np.random.default_rng(4)
X = _DRAWN.normal(0, 1, (300, 4)).round(2)
Y = 50 * (X[:, 0] + X[:, 1] * X[:, 2]) + 300
CLASSES = (Y > 300).astype(int)
GAPS = np.where(_DRAWN.random(X.shape) < 0.2, np.nan, X)


def _score(estimator: Any, scale: str, rows: Floats) -> Floats:
    if scale == "value":
        return np.asarray(estimator.predict(rows), np.float64)
    chance = estimator.predict_proba(rows)[:, 1]
    return np.asarray(chance if scale == "probability" else np.log(chance / (1 - chance)))


@pytest.mark.parametrize(
    ("estimator", "labels", "table", "scale"),
    [
        (DecisionTreeRegressor(max_depth=6, random_state=0), Y, X, "value"),
        (RandomForestRegressor(12, max_depth=5, random_state=0), Y, X, "value"),
        (RandomForestRegressor(8, max_depth=5, random_state=0), Y, GAPS, "value"),
        (ExtraTreesRegressor(8, max_depth=5, random_state=0), Y, X, "value"),
        (GradientBoostingRegressor(n_estimators=30, random_state=0), Y, X, "value"),
        (HistGradientBoostingRegressor(max_iter=30, min_samples_leaf=5), Y, GAPS, "value"),
        (DecisionTreeClassifier(max_depth=5, random_state=0), CLASSES, X, "probability"),
        (RandomForestClassifier(12, max_depth=4, random_state=0), CLASSES, X, "probability"),
        (GradientBoostingClassifier(n_estimators=20, random_state=0), CLASSES, X, "log_odds"),
        (HistGradientBoostingClassifier(max_iter=20, min_samples_leaf=5), CLASSES, GAPS,
         "log_odds"),
    ],
)  # fmt: skip
def test_values_are_those_of_all_coalitions(
    estimator: Any, labels: Floats, table: Floats, scale: str
) -> None:
    estimator.fit(table, labels)
    found, on = trees_of(estimator)
    assert on == scale
    values = tree_values(found, table[:3], table[20:32])
    background = MixedBackground(NAMES, tuple(tuple(row) for row in table[20:32].tolist()))

    def answer(rows: list[list[Any]]) -> Floats:
        return _score(estimator, scale, np.array(rows, np.float64))

    exact = explain_rows(answer, [tuple(row) for row in table[:3].tolist()], background)
    np.testing.assert_allclose(values, exact.values, rtol=1e-7, atol=1e-6)
    base = _score(estimator, scale, table[20:32]).mean()
    np.testing.assert_allclose(
        base + values.sum(axis=1), _score(estimator, scale, table[:3]), rtol=1e-9, atol=1e-7
    )


def test_a_value_at_a_threshold_is_compared_as_the_estimator_does() -> None:
    edge = float(np.float32(0.1))
    tree = Tree(
        np.array([1, -1, -1]), np.array([2, -1, -1]), np.array([0, -2, -2]),
        np.array([edge, 0, 0]), np.zeros(3, np.bool_), np.array([0.0, 1.0, 5.0]), single=True,
    )  # fmt: skip
    assert edge != 0.1
    assert tree_values([tree], np.array([[0.1]]), np.array([[2.0]]))[0, 0] == -4
    assert tree_values([tree], np.array([[0.1001]]), np.array([[2.0]]))[0, 0] == 0


def test_a_stump_that_never_splits_adds_nothing() -> None:
    tree = Tree(
        np.array([-1]), np.array([-1]), np.array([-2]), np.zeros(1), np.zeros(1, np.bool_),
        np.array([7.0]),
    )  # fmt: skip
    assert not tree_values([tree], X[:3], X[3:5]).any()


def test_columns_that_differ_and_forests_without_end_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    estimator = DecisionTreeRegressor(max_depth=4).fit(X, Y)
    found, _ = trees_of(estimator)
    with pytest.raises(ValueError, match="differ in columns"):
        tree_values(found, X[:2], X[:2, :3])
    monkeypatch.setattr(trees, "MOST_LEAVES", 3)
    with pytest.raises(ValueError, match="leaves are more than 3"):
        tree_values(found, X[:2], X[:2])


@pytest.mark.parametrize(
    ("estimator", "labels", "reason"),
    [
        (DecisionTreeClassifier(), Y.astype(int) % 3, "3 classes"),
        (AdaBoostRegressor(n_estimators=3), Y, "no sum of trees"),
        (LinearRegression(), Y, "no tree"),
        (DecisionTreeRegressor(max_depth=2), np.column_stack([Y, Y]), "2 outputs"),
        (GradientBoostingClassifier(n_estimators=3, loss="exponential"), CLASSES, "exponential"),
        (HistGradientBoostingRegressor(max_iter=3, categorical_features=[0]), Y, "categories"),
    ],
)
def test_what_is_no_plain_sum_of_trees_is_refused_with_the_reason(
    estimator: Any, labels: Floats, reason: str
) -> None:
    table = X.copy()
    if reason == "categories":
        table[:, 0] = np.abs(table[:, 0]).round()
    estimator.fit(table, labels)
    with pytest.raises(NoTreesError, match=reason):
        trees_of(estimator)


def _regression(estimator: Any, *, off: float = 0.0) -> Explainable:
    def answer(rows: list[list[Any]]) -> Floats:
        return np.asarray(estimator.predict(np.array(rows, np.float64)) + off * len(rows))

    told = {"kind": "tree", "estimator": estimator, "columns": list(NAMES)}
    return Explainable(told, NAMES, answer, numbers=True)


ROWS = [tuple(row) for row in X[:40].tolist()]
BACKGROUND = MixedBackground(NAMES, tuple(tuple(row) for row in X[50:60].tolist()))


def test_a_boosted_regression_is_explained_in_its_own_unit_without_shap(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "shap", None)
    estimator = HistGradientBoostingRegressor(max_iter=40, min_samples_leaf=5).fit(X, Y)
    found = explained_by_trees(_regression(estimator), ROWS, BACKGROUND)
    assert found is not None
    assert (found.scale, found.method) == ("value", "exact")
    assert float(found.gaps.max()) < 1e-6


def test_a_model_that_answers_otherwise_than_its_trees_is_asked_instead(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "shap", None)
    estimator = DecisionTreeRegressor(max_depth=4, random_state=0).fit(X, Y)
    assert explained_by_trees(_regression(estimator, off=1.0), ROWS, BACKGROUND) is None
    assert "miss the answer" in capsys.readouterr().out


def test_a_class_that_says_it_is_a_regressions_tree_is_set_aside(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "shap", None)
    estimator = DecisionTreeRegressor(max_depth=4, random_state=0).fit(X, CLASSES)
    model = Explainable(_regression(estimator).told, NAMES, _regression(estimator).answer)
    assert explained_by_trees(model, ROWS, BACKGROUND) is None
    assert "scale value" in capsys.readouterr().out


def test_a_linear_regression_is_on_the_scale_of_its_numbers() -> None:
    fitted = LinearRegression().fit(X, Y)
    told = {
        "kind": "linear", "intercept": float(fitted.intercept_),
        "weights": dict(zip(NAMES, fitted.coef_.tolist(), strict=True)),
    }  # fmt: skip
    model = Explainable(told, NAMES, _regression(fitted).answer, numbers=True)
    form = declared_linear(model, ROWS)
    assert form is not None
    assert form.scale == "value"
    found = form.explain(ROWS, BACKGROUND)
    assert float(found.gaps.max()) < 1e-9
    assert declared_linear(Explainable(told, NAMES, model.answer), ROWS) is None


@pytest.mark.parametrize(("scale", "numbers"), [("log_odds", True), ("value", False)])
def test_a_form_on_a_scale_of_the_other_kind_is_refused(scale: str, numbers: bool) -> None:
    told = {"kind": "linear", "intercept": 0.0, "weights": {}, "scale": scale}
    with pytest.raises(ValueError, match="is not of"):
        linear_form(told, numbers=numbers)
