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
)
from steward_jobs.container import log


@dataclass(frozen=True)
class Explainable:
    """A model with what it says of its form.

    Attributes:
        told: What ``explain_fn`` returned; None without one.
        features: Names of the cells of a row.
        answer: The model.
    """

    told: object
    features: tuple[str, ...]
    answer: Answer

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
        form = linear_form(told)
        gaps = np.abs(form.answers(rows, model.features) - answers_to(model.answer, rows))
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
    """Return interventional TreeSHAP values by ``shap``, where it is installed and adds up.

    In shap 0.51 values of some models miss the answer on 1 % of the rows: one such row, and all
    are explained without it.
    """
    told = model.of_kind("tree")
    if told is None:
        return None
    try:
        import shap  # type: ignore[import-not-found]
    except ImportError:
        log("form_set_aside", kind="tree", reason="shap is not installed in this image")
        return None
    try:
        columns = [model.features.index(name) for name in told["columns"]]
        table, behind = _table(rows, columns), _table(background.rows, columns)
        explainer = shap.TreeExplainer(
            told["estimator"], data=behind, feature_perturbation="interventional",
            model_output="probability",
        )  # fmt: skip
        values = np.asarray(explainer.shap_values(table, check_additivity=False))
        base = np.ravel(explainer.expected_value)
    except Exception as error:  # noqa: BLE001 - shap and the estimator may raise anything
        log("form_set_aside", kind="tree", reason=repr(error)[:500])
        return None
    values = values[..., -1] if values.ndim == 3 else values
    spread = np.zeros((len(rows), len(model.features)))
    spread[:, columns] = values
    answers = answers_to(model.answer, rows)
    found = Explained("exact", "probability", float(base[-1]), answers, spread, spread * 0)
    broken = int((found.gaps > TOLERANCE).sum())
    if broken:
        reason = f"the values of {broken} of {len(rows)} rows miss the answer"
        log("form_set_aside", kind="tree", reason=f"{reason} by up to {found.gaps.max():g}")
        return None
    return found


def _table(rows: Sequence[Row], columns: Sequence[int]) -> np.ndarray[Any, np.dtype[np.float64]]:
    def number(cell: object) -> float:
        if cell is None:
            return float("nan")
        if isinstance(cell, int | float):
            return float(cell)
        raise ValueError(f"{cell!r} is no number: a tree form takes numbers")

    return np.array([[number(row[column]) for column in columns] for row in rows])
