"""What is explained and against what: a model, a background, and what an explanation must add to.

A prediction f(x) is explained by what each feature adds to the mean prediction over a background:

    f(x) = base + sum_j phi_j,   base = mean over background rows b of f(b).

A coalition S of features is worth v(S) = mean over b of f(x on S, b elsewhere): the interventional
value function (Janzing, Minorics, Bloebaum, AISTATS 2020), which asks the model about rows that
mix x and b. Source of the values: L. Shapley (1953); Lundberg and Lee, NeurIPS 2017.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from steward.domain.errors import RejectedError

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Predict = Callable[[Floats], Floats]
"""Rows of shape (n, d) to predictions of shape (n,), on one scale."""
Scale = Literal["probability", "log_odds", "value"]

ROWS_AT_ONCE = 20_000
"""Most rows that a model is asked for at a time."""
TOLERANCE = 1e-6
"""An explanation is additive if it misses by less than this share of the scale of predictions."""


@dataclass(frozen=True)
class Background:
    """The rows that stand for "feature not known", with their digest.

    Attributes:
        rows: Shape (m, d).
        digest: SHA-256 over the shape and the rows as little-endian doubles.
    """

    rows: Floats
    digest: str

    @classmethod
    def of(cls, rows: Floats) -> Background:
        """Check and take the rows.

        Raises:
            RejectedError: There are none, or one is not finite.
        """
        if rows.ndim != 2 or not rows.size:
            raise RejectedError(
                "a background needs rows and features",
                field="background", value=list(rows.shape), allowed="shape (m, d), m and d >= 1",
            )  # fmt: skip
        _check_finite(rows, "background")
        text = f"{rows.shape[0]}x{rows.shape[1]}:".encode()
        digest = hashlib.sha256(text + np.ascontiguousarray(rows, "<f8").tobytes()).hexdigest()
        return cls(np.ascontiguousarray(rows, np.float64), digest)

    @property
    def features(self) -> int:
        """How many features a row has."""
        return int(self.rows.shape[1])


@dataclass(frozen=True)
class Explanation:
    """What each feature adds to one prediction.

    Attributes:
        method: ``exact``, ``kernel`` or ``linear``.
        base: Mean prediction of the background.
        prediction: What the model answers.
        values: Shapley value of each feature, shape (d,).
        errors: Standard error of each value by sampling; zeros where nothing was sampled.
        scale: Of base, prediction and values.
        background: Digest of the background.
    """

    method: Literal["exact", "kernel", "linear"]
    base: float
    prediction: float
    values: Floats
    errors: Floats
    scale: Scale
    background: str

    @property
    def gap(self) -> float:
        """How far base and values are from the prediction.

        For ``kernel`` this proves nothing: its values are made to add up.
        """
        return float(self.base + self.values.sum() - self.prediction)

    @property
    def additive(self) -> bool:
        """Whether base and values add to the prediction."""
        size = max(1.0, abs(self.base), abs(self.prediction))
        return abs(self.gap) <= TOLERANCE * size


def check_row(row: Floats, background: Background) -> Floats:
    """Return a row as one to explain.

    Raises:
        RejectedError: It has other features than the background, or one that is not finite.
    """
    if row.shape != (background.features,):
        raise RejectedError(
            "a row has as many features as the background",
            field="row", value=list(row.shape), allowed=f"({background.features},)",
        )  # fmt: skip
    _check_finite(row[None], "row")
    return np.asarray(row, np.float64)


def asked(predict: Predict, rows: Floats) -> Floats:
    """Return a model's predictions, asked in parts.

    Raises:
        RejectedError: It does not answer each row with a finite number.
    """
    parts = [
        np.asarray(predict(rows[at : at + ROWS_AT_ONCE]), np.float64)
        for at in range(0, len(rows), ROWS_AT_ONCE)
    ]
    answers = np.concatenate(parts) if parts else np.empty(0)
    if answers.shape != (len(rows),):
        raise RejectedError(
            "the model must answer each row with one number",
            field="predictions", value=list(answers.shape), allowed=f"({len(rows)},)",
        )  # fmt: skip
    _check_finite(answers[:, None], "predictions")
    return answers


def coalition_values(
    predict: Predict, row: Floats, background: Background, coalitions: Bools
) -> Floats:
    """Return v(S) of some coalitions, shape (k,).

    Args:
        predict: The model.
        row: The row to explain, shape (d,).
        background: What stands for unknown features.
        coalitions: Which features are known, shape (k, d).
    """
    rows = background.rows
    found = [
        asked(predict, np.where(some[:, None, :], row, rows).reshape(-1, len(row)))
        .reshape(len(some), len(rows))
        .mean(axis=1)
        for some in _parts(coalitions, len(rows))
    ]
    return np.concatenate(found)


def _parts(coalitions: Bools, rows: int) -> Iterator[Bools]:
    step = max(1, ROWS_AT_ONCE // rows)
    for at in range(0, len(coalitions), step):
        yield coalitions[at : at + step]


def _check_finite(values: Floats, name: str) -> None:
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise RejectedError(
            f"{name} must be finite numbers",
            field=f"{name}[{row}, {column}]", value=float(values[row, column]),
            allowed="finite numbers",
        )  # fmt: skip
