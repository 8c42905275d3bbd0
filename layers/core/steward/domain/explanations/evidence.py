"""What is kept of a version's explanations: ``explanation.json`` of the evaluation job."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from steward.domain.explanations.values import Floats

CONFIDENCE = 0.95
REPLICATES = 1000


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class FeatureImportance(_Frozen):
    """How much one feature moves the answers.

    Attributes:
        mean_abs: Mean |phi| over the explained rows, on the evidence's scale.
        lower: Of its 95 % interval, bootstrapped over rows.
        upper: Of the same.
        share: Of the sum over features; 0 where nothing moves the answers.
        rank: 1 is the most important.
    """

    name: str
    mean_abs: float = Field(ge=0)
    lower: float = Field(ge=0)
    upper: float = Field(ge=0)
    share: float = Field(ge=0, le=1)
    rank: int = Field(ge=1)


class PermutationImportance(_Frozen):
    """By how much the mean loss grows when a feature's values are shuffled among rows.

    Attributes:
        increase: Of the mean loss; below 0 where shuffling helps.
        lower: Of its 95 % interval over rows.
        upper: Of the same.
    """

    name: str
    increase: float
    lower: float
    upper: float


class ExplanationEvidence(_Frozen):
    """What moves a version's answers on held-out rows.

    Attributes:
        method: ``exact``, ``kernel``, ``linear`` or ``tree``.
        scale: Of ``base`` and ``mean_abs``.
        background_digest: SHA-256 of the rows that stand for "not known".
        rows: Held-out rows that were explained.
        base: Mean answer over the background.
        max_gap: Largest distance between base plus values and what the model answers to the row
            asked plainly, in the unit of its answers. For ``kernel`` it says nothing of the
            values, which are made to add up.
        additive: Whether that is at most 1e-6.
        features: Most important first.
        permutation: Largest increase first.
    """

    schema_version: Literal["1"] = "1"
    method: Literal["exact", "kernel", "linear", "tree"]
    scale: Literal["log_odds", "probability", "value"]
    background_digest: str = Field(pattern="^[0-9a-f]{64}$")
    rows: int = Field(ge=1)
    base: float
    max_gap: float = Field(ge=0)
    additive: bool
    features: tuple[FeatureImportance, ...]
    permutation: tuple[PermutationImportance, ...] = ()


def feature_importances(
    values: Floats, features: Sequence[str], *, seed: int = 20
) -> tuple[FeatureImportance, ...]:
    """Return mean |phi| with intervals, most important first.

    Args:
        values: Shapley values, shape (n, d).
        features: Names of the columns.
        seed: Of the bootstrap over rows.
    """
    sizes = np.abs(values)
    means = sizes.mean(axis=0)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(sizes), np.full(len(sizes), 1 / len(sizes)), REPLICATES)
    tail = (1 - CONFIDENCE) / 2
    lower, upper = np.quantile(drawn @ sizes / len(sizes), [tail, 1 - tail], axis=0)
    total = float(means.sum())
    order = sorted(range(len(features)), key=lambda k: (-means[k], features[k]))
    return tuple(
        FeatureImportance(
            name=features[k], mean_abs=float(means[k]), lower=float(lower[k]),
            upper=float(upper[k]), share=min(1.0, float(means[k] / total)) if total > 0 else 0.0,
            rank=rank,
        )
        for rank, k in enumerate(order, start=1)
    )  # fmt: skip
