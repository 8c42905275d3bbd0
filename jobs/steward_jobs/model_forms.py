"""What a model says of its own form: ``explain_fn`` in ``inference.py``, which may be left out.

``explain_fn(model)`` returns ``{"kind": "linear", "intercept", "weights", "missing", "scale"}`` or
``{"kind": "tree", "estimator", "columns"}``. Nothing is taken on trust: a form whose answers are
not the model's is set aside, with a log line that says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from steward.domain.explanations.linear_form import AGREEMENT, LinearForm, linear_form
from steward.domain.explanations.mixed import (
    TOLERANCE,
    Answer,
    Explained,
    MixedBackground,
    Row,
    answers_to,
    explain_rows,
    sizes,
)
from steward.domain.explanations.trees import tree_values
from steward.domain.explanations.values import Floats, Scale
from steward_jobs.container import log
from steward_jobs.estimator_trees import trees_of

_OUTPUTS: tuple[tuple[str, Scale], ...] = (("probability", "probability"), ("raw", "log_odds"))
_NUMBERS: tuple[tuple[str, Scale], ...] = (("raw", "value"),)
CHECKED_ROWS = 3
"""Rows whose values are asked of the model as well."""
TREE_AGREEMENT = 1e-4
"""How far a tree's values may lie from these: shap compares features with thresholds as floats."""


@dataclass(frozen=True)
class Explainable:
    """A model with what it says of its form.

    Attributes:
        told: What ``explain_fn`` returned; None without one.
        features: Names of the cells of a row.
        answer: The model.
        numbers: Whether it is a regression.
    """

    told: object
    features: tuple[str, ...]
    answer: Answer
    numbers: bool = False

    def of_kind(self, kind: str) -> Mapping[str, Any] | None:
        """Return what was told of a form, None where it is another or none."""
        told = self.told
        return told if isinstance(told, Mapping) and told.get("kind") == kind else None


def declared_linear(model: Explainable, rows: Sequence[Row]) -> LinearForm | None:
    """Return the linear form of a model, None where it has none or answers otherwise."""
    told = model.of_kind("linear")
    if told is None:
        return None
    try:
        form = linear_form(told, numbers=model.numbers)
        answers = answers_to(model.answer, rows)
        gaps = np.abs(form.answers(rows, model.features) - answers) / sizes(answers, form.scale)
    except ValueError as error:
        log("form_set_aside", kind="linear", reason=str(error))
        return None
    if gaps.max() > AGREEMENT:
        reason = f"row {int(gaps.argmax())} is answered {gaps.max():g} apart from the model"
        log("form_set_aside", kind="linear", reason=reason)
        return None
    return form


def explained_by_trees(
    model: Explainable, rows: Sequence[Row], background: MixedBackground
) -> Explained | None:
    """Return interventional values of trees, where they hold.

    Those of scikit-learn's trees are computed here (:mod:`steward.domain.explanations.trees`), of
    others by ``shap``, where it is installed. In shap 0.51 values of some models miss the answer
    on 1 % of the rows; and those of boosted trees on the probability add up without being Shapley
    values, since each reference is rescaled (here .024 off). So every row must add up, and some
    rows must agree with values that are asked of the model; boosted trees then hold on the
    log-odds.
    """
    told = model.of_kind("tree")
    if told is None:
        return None
    reasons = []
    try:
        found = _of_arrays(told, model, rows, background)
        reason = _fault(model, found, rows, background)
        if reason is None:
            return found
        reasons.append(f"{found.scale}: {reason}")
    except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
        reasons.append(str(error)[:300])
    try:
        import shap  # type: ignore[import-not-found]
    except ImportError:
        reasons.append("shap is not installed in this image")
        log("form_set_aside", kind="tree", reason="; ".join(reasons))
        return None
    for output, scale in _NUMBERS if model.numbers else _OUTPUTS:
        try:
            found = _of_trees(shap, told, model, rows, background, output, scale)
            reason = _fault(model, found, rows, background)
        except Exception as error:  # noqa: BLE001 - shap and the estimator may raise anything
            reason = repr(error)[:300]
        else:
            if reason is None:
                return found
        reasons.append(f"{scale}: {reason}")
    log("form_set_aside", kind="tree", reason="; ".join(reasons))
    return None


def _of_arrays(
    told: Mapping[str, Any], model: Explainable, rows: Sequence[Row], background: MixedBackground
) -> Explained:
    columns = [model.features.index(name) for name in told["columns"]]
    trees, scale = trees_of(told["estimator"])
    if (scale == "value") is not model.numbers:
        raise ValueError(f"its trees are on the scale {scale}")
    values = np.zeros((len(rows), len(model.features)))
    behind = _table(background.rows, columns)
    values[:, columns] = tree_values(trees, _table(rows, columns), behind)
    base = float(_scores(answers_to(model.answer, background.rows), scale).mean())
    answers = _scores(answers_to(model.answer, rows), scale)
    return Explained("exact", scale, base, answers, values, values * 0)


def _of_trees(
    shap: Any, told: Mapping[str, Any], model: Explainable, rows: Sequence[Row],
    background: MixedBackground, output: str, scale: Scale,
) -> Explained:  # fmt: skip
    columns = [model.features.index(name) for name in told["columns"]]
    explainer = shap.TreeExplainer(
        told["estimator"], data=_table(background.rows, columns),
        feature_perturbation="interventional", model_output=output,
    )  # fmt: skip
    values = np.asarray(explainer.shap_values(_table(rows, columns), check_additivity=False))
    values = values[..., -1] if values.ndim == 3 else values
    spread = np.zeros((len(rows), len(model.features)))
    spread[:, columns] = values
    base = float(np.ravel(explainer.expected_value)[-1])
    answers = answers_to(model.answer, rows)
    return Explained("exact", scale, base, _scores(answers, scale), spread, spread * 0)


def _scores(answers: Floats, scale: str) -> Floats:
    """Return what the model answers on the scale on which it is explained."""
    if scale != "log_odds":
        return answers
    inside = np.clip(answers, 1e-12, 1 - 1e-12)
    return np.asarray(np.log(inside / (1 - inside)))


def _fault(
    model: Explainable, found: Explained, rows: Sequence[Row], background: MixedBackground
) -> str | None:
    """Return why values are not to be used, None where they hold."""
    broken = int((found.gaps > TOLERANCE).sum())
    if broken:
        return f"{broken} of {len(rows)} rows miss the answer by up to {found.gaps.max():g}"
    d = len(model.features)
    asked = explain_rows(
        lambda some: _scores(model.answer(some), found.scale), rows[:CHECKED_ROWS], background,
        coalitions=max(4 * d, 2000), scale=found.scale,
    )  # fmt: skip
    apart = np.abs(asked.values - found.values[: len(asked.values)])
    size = sizes(asked.predictions, found.scale)[:, None]
    allowed = TREE_AGREEMENT * size + 5 * asked.errors
    if (apart > allowed).any():
        return f"values lie up to {apart.max():g} from those asked of the model"
    return None


def _table(rows: Sequence[Row], columns: Sequence[int]) -> np.ndarray[Any, np.dtype[np.float64]]:
    def number(cell: object) -> float:
        if cell is None:
            return float("nan")
        if isinstance(cell, int | float):
            return float(cell)
        raise ValueError(f"{cell!r} is no number: a tree form takes numbers")

    return np.array([[number(row[column]) for column in columns] for row in rows])
