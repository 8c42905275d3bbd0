"""DLE: the loss of a regression estimated without labels, by a model of its loss.

Direct loss estimation (NannyML): on held-out rows the absolute error is regressed on features and
prediction; the mean of what that says of new rows is the estimate. Here the model is a ridge
regression on squares and products, put through an isotonic step on out-of-fold values, so that
what it says is right on average at each level on held-out rows. ``LIMITS`` go with each estimate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from steward.domain.distributions import norm_ppf
from steward.domain.monitoring.estimation import MINIMUM_PREDICTIONS, isotonic
from steward.domain.monitoring.expansion import Expansion, expansion_of

Floats = NDArray[np.float64]
RegressionLoss = Literal["absolute_error", "squared_error"]

LIMITS = (
    "Valid only while errors depend on features and prediction as in the held-out rows.",
    "Blind to concept drift: a label that has come to mean something else looks as before.",
    "Beyond the held-out range it repeats the nearest loss it has seen.",
    "An estimate: it enters no gate and no guardrail.",
)
MINIMUM_HELD_OUT = 200
_FOLDS = 5
_RIDGE = 10.0
_REPLICATES = 25


class EstimatedLoss(BaseModel):
    """The mean loss that labels are expected to show.

    Attributes:
        value: In the unit of the loss; None where it is inconclusive.
        lower: Two-sided limit of what the labels of this window will show.
        upper: As ``lower``.
        in_gates: Never.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    loss: RegressionLoss
    verdict: Literal["estimated", "inconclusive"]
    value: float | None = None
    lower: float | None = None
    upper: float | None = None
    confidence: float
    n: int
    needs: int | None = None
    reason: str | None = None
    limits: tuple[str, ...] = LIMITS
    in_gates: Literal[False] = False


@dataclass(frozen=True)
class LossModel:
    """A model of the loss of one row.

    Attributes:
        expansion: Of the features and, last, the prediction.
        coefficients: Ridge regression, the constant first.
        knots: Raw values of the isotonic step, ascending.
        levels: Loss at each knot.
        spread: Squared deviations of losses from the model, out of fold, over the squares of
            what it says: losses of larger mean vary more.
        replicates: Coefficients on bootstrap samples of the held-out rows.
        held_out: Rows that it was fitted on.
    """

    loss: RegressionLoss
    expansion: Expansion
    coefficients: tuple[float, ...]
    knots: tuple[float, ...]
    levels: tuple[float, ...]
    spread: float
    replicates: tuple[tuple[float, ...], ...]
    held_out: int

    def losses(self, features: Floats, predictions: Floats) -> Floats:
        """Return the expected loss of each row."""
        return self._levels(self._columns(features, predictions), self.coefficients)

    def mean(self, features: Floats, predictions: Floats) -> tuple[float, float]:
        """Return the mean expected loss and the standard error of what labels will show."""
        columns = self._columns(features, predictions)
        losses = self._levels(columns, self.coefficients)
        again = [float(self._levels(columns, drawn).mean()) for drawn in self.replicates]
        rows = self.spread * float((losses**2).mean())
        error = math.sqrt(rows * (1 / losses.size + 1 / self.held_out) + float(np.var(again)))
        return float(losses.mean()), error

    def _columns(self, features: Floats, predictions: Floats) -> Floats:
        return self.expansion.columns(np.column_stack([features, predictions]))

    def _levels(self, columns: Floats, coefficients: tuple[float, ...]) -> Floats:
        return np.interp(_linear(columns, np.array(coefficients)), self.knots, self.levels)

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "loss": self.loss, "expansion": self.expansion.as_dict(),
            "coefficients": list(self.coefficients), "knots": list(self.knots),
            "levels": list(self.levels), "spread": self.spread,
            "replicates": [list(drawn) for drawn in self.replicates], "held_out": self.held_out,
        }  # fmt: skip

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> Self:
        """Return what :meth:`as_dict` gave."""
        return cls(
            kept["loss"], Expansion.from_dict(kept["expansion"]), tuple(kept["coefficients"]),
            tuple(kept["knots"]), tuple(kept["levels"]), kept["spread"],
            tuple(tuple(drawn) for drawn in kept["replicates"]), kept["held_out"],
        )  # fmt: skip


def _linear(columns: Floats, coefficients: Floats) -> Floats:
    found: Floats = coefficients[0] + columns @ coefficients[1:]
    return found


def _ridge(columns: Floats, target: Floats, weights: Floats | None = None) -> Floats:
    weights = np.ones(target.size) if weights is None else weights
    means = weights @ columns / weights.sum()
    mean = float(weights @ target / weights.sum())
    centred = (columns - means) * weights[:, None]
    gram = centred.T @ (columns - means) + _RIDGE * np.eye(columns.shape[1])
    slopes = np.linalg.solve(gram, centred.T @ (target - mean))
    return np.concatenate([[mean - means @ slopes], slopes])


def loss_model(
    features: Floats,
    predictions: Floats,
    labels: Floats,
    *,
    loss: RegressionLoss = "absolute_error",
    seed: int = 0,
) -> LossModel:
    """Fit a model of the loss to held-out rows.

    Args:
        features: Rows and columns of numbers, NaN where missing.
        predictions: Of the monitored model.
        labels: As observed.
        loss: What is estimated.
        seed: Of the folds.

    Raises:
        ValueError: There are fewer than ``MINIMUM_HELD_OUT`` rows, or a label or prediction is no
            finite number.
    """
    if labels.size < MINIMUM_HELD_OUT:
        raise ValueError(f"{MINIMUM_HELD_OUT} held-out rows are needed, not {labels.size}")
    errors = np.abs(predictions - labels)
    if not np.isfinite(errors).all():
        raise ValueError("labels and predictions must be finite numbers")
    target = errors if loss == "absolute_error" else errors**2
    rows = np.column_stack([features, predictions])
    expansion = expansion_of(rows)
    columns = expansion.columns(rows)
    generator = np.random.default_rng(seed)
    folds = generator.permutation(labels.size) % _FOLDS
    raw = np.empty(labels.size)
    for fold in range(_FOLDS):
        inside = folds == fold
        raw[inside] = _linear(columns[inside], _ridge(columns[~inside], target[~inside]))
    order = np.argsort(raw, kind="stable")
    steps = isotonic(target[order], np.ones(labels.size))
    starts = np.flatnonzero(np.r_[True, np.diff(steps) > 0])
    sizes = np.diff(np.r_[starts, labels.size])
    knots = np.maximum.accumulate(np.add.reduceat(raw[order], starts) / sizes)
    levels = steps[starts]
    fitted = np.interp(raw, knots, levels)
    drawn = [
        _ridge(columns, target, generator.poisson(1.0, labels.size).astype(np.float64))
        for _ in range(_REPLICATES)
    ]
    squares = max(float((fitted**2).mean()), 1e-300)
    return LossModel(
        loss, expansion, tuple(_ridge(columns, target).tolist()), tuple(knots.tolist()),
        tuple(levels.tolist()), float(((target - fitted) ** 2).mean()) / squares,
        tuple(tuple(coefficients.tolist()) for coefficients in drawn), labels.size,
    )  # fmt: skip


def estimated_loss(
    model: LossModel, features: Floats, predictions: Floats, *, confidence: float = 0.95
) -> EstimatedLoss:
    """Estimate the mean loss of rows without labels.

    The interval is for what their labels will show: the variance of a row's loss over the n new
    and over the held-out rows, and that of the coefficients by bootstrap. It holds within
    ``LIMITS``.
    """
    n = predictions.size
    blank = EstimatedLoss(loss=model.loss, verdict="inconclusive", confidence=confidence, n=n)
    if n < MINIMUM_PREDICTIONS:
        return blank.model_copy(
            update={
                "needs": MINIMUM_PREDICTIONS,
                "reason": f"the window has {n} predictions, {MINIMUM_PREDICTIONS} are needed",
            }
        )
    value, error = model.mean(features, predictions)
    z = norm_ppf(0.5 + confidence / 2)
    return blank.model_copy(
        update={
            "verdict": "estimated", "value": value, "lower": max(0.0, value - z * error),
            "upper": value + z * error,
        }
    )  # fmt: skip
