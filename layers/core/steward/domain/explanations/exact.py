"""Shapley values without sampling: over all coalitions, or of a linear model in closed form."""

from __future__ import annotations

from math import factorial

import numpy as np
from numpy.typing import NDArray

from steward.domain.errors import RejectedError
from steward.domain.explanations.values import (
    Background,
    Bools,
    Explanation,
    Floats,
    Predict,
    Scale,
    check_row,
    coalition_values,
)

MAX_FEATURES = 12
"""Features up to which all 2^d coalitions are asked (4,096 times the background)."""


def explain_exactly(
    predict: Predict, row: Floats, background: Background, *, scale: Scale = "value"
) -> Explanation:
    """Return the Shapley values of a prediction over all 2^d coalitions.

    phi_j = sum over S without j of |S|! (d - |S| - 1)! / d! (v(S with j) - v(S)).

    Raises:
        RejectedError: More than 12 features, a row of another shape, a value that is not finite.
    """
    row = check_row(row, background)
    d = len(row)
    if d > MAX_FEATURES:
        raise RejectedError(
            f"exact Shapley values ask 2^{d} coalitions",
            field="features", value=d, allowed=f"at most {MAX_FEATURES}",
        )  # fmt: skip
    worth = coalition_values(predict, row, background, all_coalitions(d))
    return Explanation(
        "exact", float(worth[0]), float(worth[-1]), shapley_values(worth, d), np.zeros(d),
        scale, background.digest,
    )  # fmt: skip


def all_coalitions(d: int) -> Bools:
    """Return all coalitions of d features, shape (2^d, d); the k-th has feature j if bit j of k."""
    bits: NDArray[np.int64] = np.arange(2**d, dtype=np.int64)[:, None] >> np.arange(d)
    return np.asarray((bits & 1).astype(np.bool_))


def shapley_values(worth: Floats, d: int) -> Floats:
    """Return the Shapley values of a game given as the worth of all coalitions, in that order."""
    sizes = all_coalitions(d).sum(axis=1)
    weights = np.array([factorial(s) * factorial(d - s - 1) / factorial(d) for s in range(d)])
    numbers = np.arange(2**d)
    values = np.empty(d)
    for j in range(d):
        without = numbers[(numbers >> j) & 1 == 0]
        gains = worth[without | (1 << j)] - worth[without]
        values[j] = (weights[sizes[without]] * gains).sum()
    return values


def explain_linear(
    coefficients: Floats,
    intercept: float,
    row: Floats,
    background: Background,
    *,
    scale: Scale = "value",
) -> Explanation:
    """Return the Shapley values of intercept + coefficients . x: w_j (x_j - mean of b_j).

    For a logistic model this is exact on the log-odds and on no other scale.
    """
    row = check_row(row, background)
    mean = background.rows.mean(axis=0)
    return Explanation(
        "linear", float(intercept + coefficients @ mean), float(intercept + coefficients @ row),
        np.asarray(coefficients * (row - mean)), np.zeros(len(row)), scale, background.digest,
    )  # fmt: skip
