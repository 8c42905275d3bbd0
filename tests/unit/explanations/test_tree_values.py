"""Values that ``shap`` gives for trees: used where they hold, set aside where they do not.

``shap`` is no dependency: an explainer of its interface stands in, right or wrong as a case says.
"""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from steward.domain.explanations.mixed import Cell, MixedBackground, Row, explain_rows
from steward.domain.explanations.values import Floats
from steward_jobs.model_forms import Explainable, explained_by_trees

NAMES = ("a", "b", "c")
DRAW = np.random.default_rng(4)
ROWS: list[Row] = [tuple(row) for row in DRAW.normal(size=(30, 3)).tolist()]
BACKGROUND = MixedBackground(NAMES, tuple(tuple(row) for row in DRAW.normal(size=(6, 3)).tolist()))
TOLD = {"kind": "tree", "estimator": object(), "columns": ["a", "b"]}


def answer(rows: list[list[Cell]]) -> Floats:
    table = np.array(rows, np.float64)
    return np.asarray(1 / (1 + np.exp(-np.maximum(table[:, 0], 0) * (1 + table[:, 1]))))


def logit(rows: list[list[Cell]]) -> Floats:
    found = answer(rows)
    return np.asarray(np.log(found / (1 - found)))


def stand_in(change: dict[str, Any]) -> SimpleNamespace:
    """Return a module whose explainer is right but for what ``change`` does by output."""

    class TreeExplainer:
        def __init__(self, _estimator: object, *, model_output: str, **_: object) -> None:
            self.output = model_output
            game = answer if model_output == "probability" else logit
            self.found = explain_rows(game, ROWS, BACKGROUND)
            self.expected_value = self.found.base

        def shap_values(self, table: Floats, **_: object) -> Floats:
            values = self.found.values[: len(table), :2].copy()
            wrong = change.get(self.output)
            if wrong is not None:
                wrong(values)
            return values

    return SimpleNamespace(TreeExplainer=TreeExplainer)


def miss(values: Floats) -> None:
    values[7, 0] += 0.01


def swap(values: Floats) -> None:
    values[:, 0] += 0.02
    values[:, 1] -= 0.02


def fail(_values: Floats) -> None:
    raise ValueError("this tree is not supported")


@pytest.mark.parametrize(
    ("change", "scale", "reason"),
    [
        ({}, "probability", ""),
        ({"probability": miss}, "log_odds", ""),
        ({"probability": swap}, "log_odds", ""),
        ({"probability": fail}, "log_odds", ""),
        ({"probability": swap, "raw": miss}, None, "miss the answer by up to 0.01"),
        ({"probability": swap, "raw": swap}, None, "from those asked of the model"),
        ({"probability": fail, "raw": fail}, None, "not supported"),
    ],
)
def test_values_are_used_on_the_first_scale_on_which_they_hold(
    change: dict[str, Any], scale: str | None, reason: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setitem(sys.modules, "shap", stand_in(change))
    found = explained_by_trees(Explainable(TOLD, NAMES, answer), ROWS, BACKGROUND)
    assert (found.scale if found else None) == scale
    assert reason in capsys.readouterr().out
    if found is not None:
        assert not found.values[:, 2].any()


@pytest.mark.parametrize(
    "told",
    [None, "tree", {"kind": "linear"}, {"kind": "tree"}, {**TOLD, "columns": ["gone"]}],
)
def test_what_is_told_of_no_tree_of_this_model_explains_nothing(
    told: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "shap", stand_in({}))
    assert explained_by_trees(Explainable(told, NAMES, answer), ROWS, BACKGROUND) is None


def test_an_image_without_shap_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "shap", None)
    assert explained_by_trees(Explainable(TOLD, NAMES, answer), ROWS, BACKGROUND) is None
    assert "shap is not installed" in capsys.readouterr().out
