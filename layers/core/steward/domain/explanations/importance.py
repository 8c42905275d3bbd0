"""How much features matter over many rows: mean absolute Shapley values, permutation importance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steward.domain.errors import RejectedError
from steward.domain.explanations.values import Explanation, Floats, Predict, asked


@dataclass(frozen=True)
class Importance:
    """Of one feature: its figure, and the standard error over rows or repetitions."""

    feature: str
    value: float
    error: float


def mean_absolute(
    explanations: Sequence[Explanation], features: Sequence[str], *, normalised: bool = True
) -> list[Importance]:
    """Return the mean |phi| of each feature, largest first.

    Args:
        explanations: Of rows of one version.
        features: Their names.
        normalised: Whether the means are divided by their sum, so that versions can be compared.

    Raises:
        RejectedError: None are given, or they differ in background or scale.
    """
    kinds = {(explanation.background, explanation.scale) for explanation in explanations}
    if len(kinds) != 1:
        raise RejectedError(
            "attributions are averaged over one background and one scale",
            field="explanations", value=len(kinds), allowed="exactly 1",
        )  # fmt: skip
    sizes = np.abs(np.array([explanation.values for explanation in explanations]))
    means = sizes.mean(axis=0)
    errors = sizes.std(axis=0, ddof=1) / np.sqrt(len(sizes)) if len(sizes) > 1 else means * np.nan
    total = means.sum() if normalised and means.sum() > 0 else 1.0
    return _ranked(features, means / total, errors / total)


def permutation_importance(
    predict: Predict,
    rows: Floats,
    labels: Floats,
    features: Sequence[str],
    row_loss: Callable[[Floats, Floats], Floats],
    *,
    repetitions: int = 10,
    seed: int = 20,
) -> list[Importance]:
    """Return by how much the mean loss grows when one feature is shuffled among the rows.

    Source: Breiman, Machine Learning 45 (2001); Fisher, Rudin and Dominici, JMLR 20 (2019). Of
    features that depend on each other each may look unimportant while the others stay.

    Args:
        predict: The model.
        rows: Held-out rows, shape (n, d).
        labels: Shape (n,).
        features: Names of the d columns.
        row_loss: (labels, predictions) to the loss of each row.
        repetitions: Shuffles of each feature.
        seed: Of the shuffles.
    """
    rng = np.random.default_rng(seed)
    whole = float(row_loss(labels, asked(predict, rows)).mean())
    grown = np.empty((repetitions, rows.shape[1]))
    for column in range(rows.shape[1]):
        for repetition in range(repetitions):
            order: NDArray[np.int64] = rng.permutation(len(rows))
            shuffled = rows.copy()
            shuffled[:, column] = rows[order, column]
            loss = float(row_loss(labels, asked(predict, shuffled)).mean())
            grown[repetition, column] = loss - whole
    errors = grown.std(axis=0, ddof=1) / np.sqrt(repetitions)
    return _ranked(features, grown.mean(axis=0), errors)


def _ranked(features: Sequence[str], values: Floats, errors: Floats) -> list[Importance]:
    found = [
        Importance(name, float(value), float(error))
        for name, value, error in zip(features, values, errors, strict=True)
    ]
    return sorted(found, key=lambda importance: (-importance.value, importance.feature))
