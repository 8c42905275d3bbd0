"""Models that are linear in their features, on the log-odds or on what they answer.

Their Shapley values are w_j (x_j - mean of the background's x_j), at no cost and without asking
the model, once it is seen that the form answers what the model answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from steward.domain.explanations.mixed import Cell, Explained, MixedBackground
from steward.domain.explanations.values import Floats

AGREEMENT = 1e-6
"""How far the form's answers may lie from the model's."""


class LinearForm(BaseModel):
    """intercept + sum of weight times value, with a value in the place of a missing one.

    Attributes:
        scale: On which the model is linear.
        intercept: Where all values are 0.
        weights: By feature; a feature without one does nothing.
        missing: Value of a feature where it is null.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    scale: Literal["log_odds", "probability", "value"] = "log_odds"
    intercept: float = Field(allow_inf_nan=False)
    weights: dict[str, float]
    missing: dict[str, float] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _finite(self) -> Self:
        for name, value in (*self.weights.items(), *self.missing.items()):
            if not np.isfinite(value):
                raise ValueError(f"{name}: {value} is not finite")
        return self

    def table(self, rows: Sequence[Sequence[Cell]], features: Sequence[str]) -> Floats:
        """Return rows as numbers.

        Raises:
            ValueError: A feature is unknown, or a cell with a weight is no number.
        """
        unknown = sorted({*self.weights, *self.missing} - set(features))
        if unknown:
            raise ValueError(f"the form names no feature of this model: {', '.join(unknown)}")
        return np.array([
            [self._number(name, cell) for name, cell in zip(features, row, strict=True)]
            for row in rows
        ], np.float64).reshape(len(rows), len(features))  # fmt: skip

    def _number(self, name: str, cell: Cell) -> float:
        if cell is None and name in self.missing:
            return self.missing[name]
        if isinstance(cell, int | float):
            return float(cell)
        if not self.weights.get(name):
            return 0.0
        raise ValueError(f"{name} is {cell!r}, which a linear form cannot take")

    def answers(self, rows: Sequence[Sequence[Cell]], features: Sequence[str]) -> Floats:
        """Return what the form answers: probabilities, or numbers."""
        scores = self.table(rows, features) @ self._weights(features) + self.intercept
        return answers_of(scores, self.scale)

    def explain(self, rows: Sequence[tuple[Cell, ...]], background: MixedBackground) -> Explained:
        """Return the Shapley values of rows on the form's scale."""
        weights = self._weights(background.features)
        mean = self.table(background.rows, background.features).mean(axis=0)
        table = self.table(rows, background.features)
        return Explained(
            "linear", self.scale, float(mean @ weights + self.intercept),
            np.asarray(table @ weights + self.intercept), np.asarray((table - mean) * weights),
            np.zeros_like(table),
        )  # fmt: skip

    def _weights(self, features: Sequence[str]) -> Floats:
        return np.array([self.weights.get(name, 0.0) for name in features])


def answers_of(scores: Floats, scale: str) -> Floats:
    """Return what a model answers whose scores are on a scale."""
    if scale != "log_odds":
        return scores
    return np.asarray(0.5 * (1 + np.tanh(0.5 * scores)))


def linear_form(told: Mapping[str, Any], *, numbers: bool = False) -> LinearForm:
    """Return the form that a model tells of itself.

    Args:
        told: Without a scale that of log-odds is meant, or the number itself of a regression.
        numbers: Whether the model is a regression.

    Raises:
        ValueError: It is none, or on a scale that its answers do not have.
    """
    given = {k: v for k, v in told.items() if k != "kind"}
    form = LinearForm.model_validate({"scale": "value", **given} if numbers else given)
    if (form.scale == "value") is not numbers:
        what = "numbers" if numbers else "probabilities"
        raise ValueError(f"scale {form.scale} is not of {what}")
    return form
