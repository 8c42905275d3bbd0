"""Traffic whose truth is known: models, concepts that move, groups, correlations, attributions."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from steward.domain.monitoring.attribution import Attributions
from steward.domain.monitoring.bias_drift import GroupCounts, counts_by_group
from steward.domain.monitoring.performance_statistics import Classification, classification_of

Floats = NDArray[np.float64]


def sigmoid(logits: Floats) -> Floats:
    """Return the probabilities of logits."""
    found: Floats = 1 / (1 + np.exp(-logits))
    return found


def answers(
    generator: np.random.Generator, n: int, *, concept: float = 1.0, centre: float = 0.0
) -> tuple[Floats, Floats]:
    """Return labels and probabilities; the true logit is ``concept`` times the model's.

    At 1 the model is calibrated, its Brier score .20 and its accuracy .70; at 0 labels are coins.
    ``centre`` moves the logits: covariate shift.
    """
    logits = generator.normal(centre, 1.2, n)
    labels = (generator.random(n) < sigmoid(concept * logits)).astype(np.float64)
    return labels, sigmoid(logits)


def statistics(
    generator: np.random.Generator, n: int, *, concept: float = 1.0, centre: float = 0.0
) -> Classification:
    """Return the statistics of such traffic."""
    return classification_of(*answers(generator, n, concept=concept, centre=centre))


def numbers(
    generator: np.random.Generator, n: int, *, centre: float = 0.0, extra: float = 0.0
) -> tuple[Floats, Floats, Floats]:
    """Return features, predictions and labels of a regression whose errors grow with a feature.

    ``centre`` is covariate shift, ``extra`` what labels have come to be more: concept drift.
    """
    features = generator.normal(centre, 1, (n, 3))
    predictions = 10 + 3 * features[:, 0] + features[:, 1]
    noise = np.exp(0.4 * features[:, 0])
    return features, predictions, predictions + generator.normal(0, 1, n) * noise + extra


def groups(
    generator: np.random.Generator, n: int, selected: dict[str, float] | None = None
) -> dict[str, GroupCounts]:
    """Return counts of four groups of ``n`` rows, of which .4 are selected unless said."""
    found: dict[str, GroupCounts] = {}
    for group in ("a", "b", "c", "d"):
        labels = (generator.random(n) < 0.4).astype(np.float64)
        chance = np.clip((selected or {}).get(group, 0.4) + 0.3 * (labels - 0.4), 0, 1)
        found |= counts_by_group([group] * n, labels, generator.random(n) < chance)
    return found


def correlated(
    generator: np.random.Generator,
    n: int,
    *,
    columns: int = 4,
    correlation: float = 0.7,
    shift: float = 0.0,
) -> Floats:
    """Return standard normal columns, the first three correlated, the fourth shifted."""
    z = generator.normal(size=(n, columns))
    for column in (1, 2):
        z[:, column] = correlation * z[:, 0] + math.sqrt(1 - correlation**2) * z[:, column]
    z[:, 3] += shift
    return z


FEATURES = tuple("abcdef")
WEIGHTS: Floats = np.array([3.0, 2.0, 2.0, 1.0, 0.5, 0.2])
OTHER_WEIGHTS: Floats = np.array([2.0, 2.0, 2.0, 2.0, 0.5, 0.2])


def attributions(generator: np.random.Generator, n: int, weights: Floats = WEIGHTS) -> Attributions:
    """Return |phi| of n rows."""
    values = np.abs(generator.normal(size=(n, weights.size)) * weights)
    return Attributions(values, FEATURES, "log_odds", "exact Shapley", "digest")
