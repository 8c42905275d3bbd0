"""Traffic of a model that is calibrated, with a concept that may have moved."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from steward.domain.monitoring.performance_statistics import Classification, classification_of

Floats = NDArray[np.float64]


def sigmoid(logits: Floats) -> Floats:
    """Return the probabilities of logits."""
    found: Floats = 1 / (1 + np.exp(-logits))
    return found


def answers(
    generator: np.random.Generator, n: int, *, concept: float = 1.0, centre: float = 0.0
) -> tuple[Floats, Floats]:
    """Return labels and probabilities; the true logit is ``concept`` times the model's."""
    logits = generator.normal(centre, 1.2, n)
    labels = (generator.random(n) < sigmoid(concept * logits)).astype(np.float64)
    return labels, sigmoid(logits)


def statistics(generator: np.random.Generator, n: int, *, concept: float = 1.0) -> Classification:
    """Return the statistics of such traffic."""
    return classification_of(*answers(generator, n, concept=concept))
