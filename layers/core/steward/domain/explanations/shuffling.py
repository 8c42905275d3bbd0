"""Permutation importance of rows of any type, with intervals over rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from steward.domain.explanations.evidence import PermutationImportance
from steward.domain.explanations.mixed import Answer, Row, answers_to
from steward.domain.explanations.values import Floats

Z = 1.959963984540054
"""97.5 % point of the normal distribution."""


def permuted(
    answer: Answer,
    rows: Sequence[Row],
    features: Sequence[str],
    losses: Callable[[Floats], Floats],
    *,
    repetitions: int = 5,
    seed: int = 20,
) -> tuple[PermutationImportance, ...]:
    """Return by how much the mean loss grows when one feature is shuffled, largest first.

    Source: Breiman, Machine Learning 45 (2001); Fisher, Rudin and Dominici, JMLR 20 (2019). The
    interval is a normal one over rows, of each row's mean growth. Of features that depend on each
    other each may look unimportant while the others stay.

    Args:
        answer: The model.
        rows: Held-out rows.
        features: Names of the cells.
        losses: Answers to all rows to the loss of each.
        repetitions: Shuffles of each feature.
        seed: Of the shuffles.
    """
    rng = np.random.default_rng(seed)
    whole = losses(answers_to(answer, rows))
    found = []
    for column, name in enumerate(features):
        grown = np.zeros(len(rows))
        for _ in range(repetitions):
            order = rng.permutation(len(rows)).tolist()
            shuffled = [
                (*row[:column], rows[other][column], *row[column + 1 :])
                for row, other in zip(rows, order, strict=True)
            ]
            grown += (losses(answers_to(answer, shuffled)) - whole) / repetitions
        mean = float(grown.mean())
        error = float(grown.std(ddof=1) / np.sqrt(len(rows))) if len(rows) > 1 else 0.0
        found.append(
            PermutationImportance(
                name=name, increase=mean, lower=mean - Z * error, upper=mean + Z * error
            )
        )
    return tuple(sorted(found, key=lambda one: (-one.increase, one.name)))
