"""A second opinion on drift: all columns together, where each alone looks as before.

Both look at bounded samples of rows and say nothing about which column it was. The reference rows
trained neither the components nor the classifier's test.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from steward.domain.distributions import norm_sf
from steward.domain.monitoring.expansion import Expansion, expansion_of

Floats = NDArray[np.float64]
Method = Literal["pca_reconstruction", "domain_classifier"]

MINIMUM_ROWS = 100
SAMPLE = 4_000
"""Rows of either side that are looked at."""
_RIDGE = 5.0
_FOLDS = 2


class MultivariateDrift(BaseModel):
    """All columns of a window against reference rows.

    Attributes:
        verdict: ``drifted`` when significant and at least the floor.
        p: Of no change.
        effect: |2 AUC - 1| of the classifier or of the reconstruction error: 0 is none, 1 all.
        rows: Rows of the window and of the reference that were looked at.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    method: Method
    verdict: Literal["drifted", "not_shown", "inconclusive"]
    p: float | None = None
    effect: float | None = None
    floor: float
    alpha: float
    rows: tuple[int, int]
    needs: int | None = None


@dataclass(frozen=True)
class Components:
    """Principal components of reference rows, and how badly they rebuild other reference rows.

    Attributes:
        expansion: Standardises the columns.
        mean: Of the standardised rows.
        axes: The components that are kept, one a row.
        explained: Share of the variance that they hold.
        errors: Reconstruction errors of held-out reference rows, ascending.
    """

    expansion: Expansion
    mean: tuple[float, ...]
    axes: tuple[tuple[float, ...], ...]
    explained: float
    errors: tuple[float, ...]

    def reconstruction_errors(self, rows: Floats) -> Floats:
        """Return the Euclidean distance of each standardised row from its rebuilt one."""
        centred = self.expansion.standardised(rows) - np.array(self.mean)
        axes = np.array(self.axes)
        found: Floats = np.linalg.norm(centred - centred @ axes.T @ axes, axis=1)
        return found

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "expansion": self.expansion.as_dict(), "mean": list(self.mean),
            "axes": [list(axis) for axis in self.axes], "explained": self.explained,
            "errors": list(self.errors),
        }  # fmt: skip

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> Self:
        """Return what :meth:`as_dict` gave."""
        return cls(
            Expansion.from_dict(kept["expansion"]), tuple(kept["mean"]),
            tuple(tuple(axis) for axis in kept["axes"]), kept["explained"], tuple(kept["errors"]),
        )  # fmt: skip


def sampled(rows: Floats, *, seed: int, size: int = SAMPLE) -> Floats:
    """Return at most ``size`` rows, drawn without replacement, in their order."""
    if rows.shape[0] <= size:
        return rows
    drawn = np.random.default_rng(seed).choice(rows.shape[0], size, replace=False)
    return rows[np.sort(drawn)]


def components(reference: Floats, *, variance: float = 0.65, seed: int = 0) -> Components:
    """Learn components from one half of the reference rows and their errors from the other.

    Args:
        reference: Rows and columns of numbers, NaN where missing.
        variance: Share that the components must hold.
        seed: Of the halves.

    Raises:
        ValueError: There are fewer than twice ``MINIMUM_ROWS`` rows, or one column.
    """
    if reference.shape[0] < 2 * MINIMUM_ROWS or reference.shape[1] < 2:
        raise ValueError(
            f"components need {2 * MINIMUM_ROWS} rows and 2 columns, not {reference.shape}"
        )
    order = np.random.default_rng(seed).permutation(reference.shape[0])
    here, there = reference[order[::2]], sampled(reference[order[1::2]], seed=seed)
    expansion = expansion_of(here)
    z = expansion.standardised(here)
    mean = z.mean(axis=0)
    _, singular, axes = np.linalg.svd(z - mean, full_matrices=False)
    shares = np.cumsum(singular**2) / max(float((singular**2).sum()), 1e-300)
    # Never all of them: what is rebuilt perfectly shows nothing.
    kept = min(int(np.searchsorted(shares, variance)) + 1, reference.shape[1] - 1)
    found = Components(
        expansion, tuple(mean.tolist()), tuple(tuple(axis.tolist()) for axis in axes[:kept]),
        float(shares[kept - 1]), (),
    )  # fmt: skip
    errors = np.sort(found.reconstruction_errors(there))
    return Components(
        found.expansion, found.mean, found.axes, found.explained, tuple(errors.tolist())
    )


def reconstruction_drift(
    learnt: Components, window: Floats, *, floor: float = 0.05, alpha: float = 0.05, seed: int = 0
) -> MultivariateDrift:
    """Compare reconstruction errors of a window with those of reference rows, by rank-sum.

    A drift that keeps the relation of the columns does not change the errors.

    Args:
        learnt: From reference rows.
        window: Current rows.
        floor: Effect below which a difference does not matter.
        alpha: Of the test.
        seed: Of the sample.
    """
    rows = sampled(window, seed=seed)
    sizes = (rows.shape[0], len(learnt.errors))
    blank = MultivariateDrift(
        method="pca_reconstruction", verdict="inconclusive", floor=floor, alpha=alpha, rows=sizes
    )
    if rows.shape[0] < MINIMUM_ROWS:
        return blank.model_copy(update={"needs": MINIMUM_ROWS})
    p, auc = rank_sum(learnt.reconstruction_errors(rows), np.array(learnt.errors))
    return _judged(blank, p, abs(2 * auc - 1))


def domain_classifier(
    reference: Floats,
    window: Floats,
    *,
    floor: float = 0.05,
    alpha: float = 0.05,
    seed: int = 0,
) -> MultivariateDrift:
    """Ask whether a classifier tells the window's rows from reference rows it was not fitted on.

    A logistic regression on standardised columns, squares, products and missingness is fitted to
    one half and ranks the other, and the other way round. Given the half that it was fitted on,
    the ranks of the other are exchangeable where nothing changed, so each half has a valid
    rank-sum test (D. Lopez-Paz and M. Oquab, "Revisiting classifier two-sample tests", ICLR 2017).
    The two depend on each other, so the smaller p-value counts twice (Bonferroni).

    Args:
        reference: Rows that the window is compared with.
        window: Current rows.
        floor: Effect below which a difference does not matter.
        alpha: Of the test.
        seed: Of samples and halves.
    """
    old, new = sampled(reference, seed=seed), sampled(window, seed=seed + 1)
    sizes = (new.shape[0], old.shape[0])
    blank = MultivariateDrift(
        method="domain_classifier", verdict="inconclusive", floor=floor, alpha=alpha, rows=sizes
    )
    if min(sizes) < MINIMUM_ROWS:
        return blank.model_copy(update={"needs": MINIMUM_ROWS})
    generator = np.random.default_rng(seed)
    rows = np.concatenate([old, new])
    label = np.repeat([0.0, 1.0], [old.shape[0], new.shape[0]])
    fold = np.concatenate([generator.permutation(size) % _FOLDS for size in sizes[::-1]])
    p_values, areas = [], []
    for held in range(_FOLDS):
        fitted, tested = fold != held, fold == held
        expansion = expansion_of(rows[fitted])
        weights = _logistic(expansion.columns(rows[fitted]), label[fitted])
        scores = expansion.columns(rows[tested]) @ weights[1:]
        p, auc = rank_sum(scores[label[tested] == 1], scores[label[tested] == 0], greater=True)
        p_values.append(p)
        areas.append(auc)
    return _judged(blank, min(1.0, _FOLDS * min(p_values)), max(0.0, 2 * float(np.mean(areas)) - 1))


def _judged(blank: MultivariateDrift, p: float, effect: float) -> MultivariateDrift:
    drifted = p < blank.alpha and effect >= blank.floor
    return blank.model_copy(
        update={"verdict": "drifted" if drifted else "not_shown", "p": p, "effect": effect}
    )


def rank_sum(one: Floats, two: Floats, *, greater: bool = False) -> tuple[float, float]:
    """Return the p-value of Wilcoxon's rank-sum test with ties, and P(one > two) + P(=) / 2.

    Args:
        one: A sample.
        two: Another.
        greater: Whether only larger values of ``one`` count.
    """
    n, m = one.size, two.size
    values, place, counts = np.unique(
        np.concatenate([one, two]), return_inverse=True, return_counts=True
    )
    ranks = np.cumsum(counts) - (counts - 1) / 2
    auc = (float(ranks[place[:n]].sum()) - n * (n + 1) / 2) / (n * m)
    ties = float((counts.astype(np.float64) ** 3 - counts).sum())
    total = n + m
    variance = (total + 1 - ties / (total * (total - 1))) / (12 * n * m)
    if values.size < 2 or variance <= 0:
        return 1.0, 0.5
    z = (auc - 0.5) / math.sqrt(variance)
    return (norm_sf(z) if greater else min(1.0, 2 * norm_sf(abs(z)))), auc


def _logistic(columns: Floats, label: Floats) -> Floats:
    """Return ridge logistic regression's constant and slopes, by Newton's method."""
    design = np.column_stack([np.ones(label.size), columns])
    penalty = np.full(design.shape[1], _RIDGE)
    penalty[0] = 1e-9
    theta: Floats = np.zeros(design.shape[1], dtype=np.float64)
    for _ in range(12):
        chance = 1 / (1 + np.exp(-np.clip(design @ theta, -30, 30)))
        weights = np.maximum(chance * (1 - chance), 1e-6)
        information = (design * weights[:, None]).T @ design + np.diag(penalty)
        step = np.linalg.solve(information, design.T @ (label - chance) - penalty * theta)
        theta += step
        if np.abs(step).max() < 1e-6:
            break
    return theta
