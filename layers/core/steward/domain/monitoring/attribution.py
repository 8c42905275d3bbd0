"""Attribution drift: whether the model leans on other features than it did on held-out rows.

A feature's weight is its normalised mean |phi|. The alarm is on the change of weights against a
resampled null (rule 35), never on NDCG, which is .907 for a full reversal of near-equal weights
and only described.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

Floats = NDArray[np.float64]

MINIMUM_ROWS = 50
REPLICATES = 999


@dataclass(frozen=True)
class Attributions:
    """Absolute attributions of rows, and what they are relative to.

    Attributes:
        values: |phi|, a row per explained row, a column per feature.
        features: Names of the columns.
        scale: What attributions add up to: ``log_odds``, ``probability`` or ``value``.
        explainer: Method and version.
        background: Digest of the background rows.
    """

    values: Floats
    features: tuple[str, ...]
    scale: str
    explainer: str
    background: str


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class FeatureWeight(_Frozen):
    """The weight of one feature.

    Attributes:
        p: Of no change of this weight, corrected for all features (max-T).
    """

    feature: str
    baseline: float
    current: float
    p: float


class AttributionDrift(_Frozen):
    """Weights of a window against those of held-out rows.

    Attributes:
        verdict: ``drifted`` when significant and at least the floor.
        p: Of no change.
        effect: Total variation of the weights: half the sum of their absolute changes.
        by_chance: What it is on average where nothing changed.
        ndcg: Of the baseline's ranking; it describes and decides nothing.
        features: Largest change first.
    """

    verdict: Literal["drifted", "not_shown", "inconclusive"]
    p: float | None = None
    effect: float | None = None
    by_chance: float | None = None
    ndcg: float | None = None
    floor: float
    alpha: float
    rows: tuple[int, int]
    features: tuple[FeatureWeight, ...] = ()
    needs: int | None = None
    reason: str | None = None


def normalised_weights(values: Floats) -> Floats:
    """Return mean |phi| by feature over their sum; equal weights where all are 0."""
    means = values.mean(axis=-2)
    total = means.sum(axis=-1, keepdims=True)
    features = values.shape[-1]
    return np.where(total > 0, means / np.where(total > 0, total, 1), 1 / features)


def attribution_drift(
    current: Attributions,
    baseline: Attributions,
    *,
    floor: float = 0.05,
    alpha: float = 0.05,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> AttributionDrift:
    """Compare weights with a resampled null: the union of both samples split anew at random.

    Without replacement, since that holds exactly; with, 7 % of clean windows came out at .05.
    p = (1 + replicates at least as far apart) / (1 + replicates).

    Args:
        current: Of the window.
        baseline: Of held-out rows, with the same explainer, background and scale.
        floor: Effect below which a change does not matter.
        alpha: Of the test.
        replicates: How often it is split.
        seed: Of the splits.

    Raises:
        ValueError: A value is negative or not finite, or shapes do not fit the features.
    """
    for side in (current, baseline):
        _check(side)
    n, m = current.values.shape[0], baseline.values.shape[0]
    blank = AttributionDrift(verdict="inconclusive", floor=floor, alpha=alpha, rows=(n, m))
    for name in ("features", "scale", "explainer", "background"):
        if getattr(current, name) != getattr(baseline, name):
            return blank.model_copy(
                update={"reason": f"{name} differ: attributions are not comparable"}
            )
    if min(n, m) < MINIMUM_ROWS:
        few = "window" if n < MINIMUM_ROWS else "baseline"
        reason = f"the {few} has {min(n, m)} explained rows, {MINIMUM_ROWS} are needed"
        needs = MINIMUM_ROWS if n < MINIMUM_ROWS else None
        return blank.model_copy(update={"needs": needs, "reason": reason})
    now, before = normalised_weights(current.values), normalised_weights(baseline.values)
    changes = np.abs(now - before)
    effect = 0.5 * float(changes.sum())
    null = _null(np.concatenate([current.values, baseline.values]), n, replicates, seed)
    effects = 0.5 * null.sum(axis=1)
    p = float((1 + (effects >= effect).sum()) / (1 + replicates))
    spread = np.maximum(null.std(axis=0), 1e-12)
    largest = (null / spread).max(axis=1)
    corrected = (1 + (largest[:, None] >= changes / spread).sum(axis=0)) / (1 + replicates)
    features = [
        FeatureWeight(
            feature=name, baseline=float(before[k]), current=float(now[k]), p=float(corrected[k])
        )
        for k, name in enumerate(current.features)
    ]
    features.sort(key=lambda weight: (-abs(weight.current - weight.baseline), weight.feature))
    drifted = p < alpha and effect >= floor
    return blank.model_copy(
        update={
            "verdict": "drifted" if drifted else "not_shown", "p": p, "effect": effect,
            "by_chance": float(effects.mean()), "features": tuple(features),
            "ndcg": ndcg(
                dict(zip(baseline.features, before, strict=True)),
                dict(zip(current.features, now, strict=True)),
            ),
        }
    )  # fmt: skip


def _check(side: Attributions) -> None:
    if side.values.ndim != 2 or side.values.shape[1] != len(side.features):
        raise ValueError(f"{len(side.features)} features do not fit {side.values.shape}")
    if not np.isfinite(side.values).all() or (side.values < 0).any():
        raise ValueError("absolute attributions must be finite and not negative")


def _null(pooled: Floats, n: int, replicates: int, seed: int) -> Floats:
    """Return absolute changes of weights between two parts of one sample."""
    generator = np.random.default_rng(seed)
    rows, features = pooled.shape
    whole = pooled.sum(axis=0)
    found = np.empty((replicates, features))
    for place in range(replicates):
        part = pooled[generator.permutation(rows)[:n]].sum(axis=0)
        weights = [
            side / side.sum() if side.sum() > 0 else np.full(features, 1 / features)
            for side in (part, whole - part)
        ]
        found[place] = np.abs(weights[0] - weights[1])
    return found


def ndcg(baseline: Mapping[str, float], current: Mapping[str, float]) -> float:
    """Return the normalised discounted cumulative gain of the current ranking.

    Gains are the baseline's weights, as SageMaker Clarify's feature attribution drift has it:
    sum of w_baseline(k-th of the current ranking) / log2(k + 1) over that of its own ranking.
    """

    def gain(order: Sequence[str]) -> float:
        return float(
            sum(baseline[name] / np.log2(rank + 1) for rank, name in enumerate(order, start=1))
        )

    best = gain(_ranking(baseline))
    return gain(_ranking(current)) / best if best > 0 else 1.0


def _ranking(weights: Mapping[str, float]) -> list[str]:
    return sorted(weights, key=lambda name: (-weights[name], name))
