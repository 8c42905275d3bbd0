"""KernelSHAP: Shapley values by weighted regression on sampled coalitions.

The values solve a least-squares problem over coalitions S with the weight

    (d - 1) / (C(d, |S|) |S| (d - |S|)),

under the constraint that they add to f(x) - base (Lundberg and Lee, NeurIPS 2017). Whole sizes of
coalitions are asked, from the outside in, as long as the budget lasts; of what remains coalitions
are drawn with their complements (paired sampling, Covert and Lee, AISTATS 2021). The standard
error is the jackknife's, leaving out a tenth of the drawn part at a time. Since the values are made
to add up, that they do says nothing about their quality; the standard errors do.
"""

from __future__ import annotations

from itertools import combinations
from math import comb

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

GROUPS = 10


def explain_by_kernel(
    predict: Predict,
    row: Floats,
    background: Background,
    *,
    samples: int | None = None,
    seed: int = 20,
    scale: Scale = "value",
) -> Explanation:
    """Estimate the Shapley values of a prediction.

    Args:
        predict: The model.
        row: The row to explain, shape (d,).
        background: What stands for unknown features.
        samples: Coalitions to ask; by default 2 d + 2048. Where this is at least 2^d - 2, all
            are asked and the values are exact.
        seed: Of the draw.
        scale: Of what the model answers.

    Raises:
        RejectedError: Fewer than 2 features or fewer samples than features; see ``check_row``.
    """
    row = check_row(row, background)
    d = len(row)
    budget = 2 * d + 2048 if samples is None else samples
    if d < 2 or budget < 2 * d:
        raise RejectedError(
            "the kernel needs at least 2 features and twice as many samples",
            field="samples", value=budget, allowed=f">= {max(2 * d, 4)}",
        )  # fmt: skip
    game = KernelGame(d, budget, seed)
    worth = coalition_values(predict, row, background, game.coalitions)
    values, errors = game.solve(worth)
    return Explanation(
        "kernel", float(worth[0]), float(worth[-1]), values, errors, scale, background.digest
    )  # fmt: skip


class KernelGame:
    """The coalitions that a budget asks, the same for each row, and what their worths say.

    Attributes:
        coalitions: Shape (k, d): nobody first, everybody last.
    """

    def __init__(self, d: int, budget: int, seed: int = 20) -> None:
        self._whole, self._weights, left = _whole_sizes(d, budget)
        self._drawn: Bools = np.zeros((0, d), np.bool_)
        self._mass = 0.0
        if left:
            rng = np.random.default_rng(seed)
            self._drawn, self._mass = _drawn(d, left, budget - len(self._whole), rng)
        ends = np.array([[False] * d, [True] * d])
        self.coalitions: Bools = np.concatenate([ends[:1], self._whole, self._drawn, ends[1:]])

    def solve(self, worth: Floats) -> tuple[Floats, Floats]:
        """Return the values and their standard errors from the worth of each coalition."""
        d, whole = self.coalitions.shape[1], len(self._whole)
        solve = _Regression(d, float(worth[0]), float(worth[-1]))
        solve.add(self._whole, self._weights, worth[1 : 1 + whole])
        if not len(self._drawn):
            return solve.values(), np.zeros(d)
        return self._with_drawn(solve, worth[1 + whole : -1])

    def _with_drawn(self, whole: _Regression, worth: Floats) -> tuple[Floats, Floats]:
        drawn, pairs = self._drawn, len(self._drawn) // 2
        everything = whole.copy()
        everything.add(drawn, np.full(len(drawn), self._mass / len(drawn)), worth)
        group = np.tile(np.arange(pairs) % GROUPS, 2)
        parts = []
        for number in range(GROUPS):
            some = group != number
            part = whole.copy()
            part.add(drawn[some], np.full(int(some.sum()), self._mass / some.sum()), worth[some])
            parts.append(part.values())
        errors = np.std(parts, axis=0) * np.sqrt(GROUPS - 1)
        return everything.values(), np.asarray(errors)


def _whole_sizes(d: int, budget: int) -> tuple[Bools, Floats, list[int]]:
    """Return coalitions of the sizes that are asked whole, their weights, and the sizes left."""
    chosen: list[Bools] = []
    weights: list[Floats] = []
    used = 0
    left = list(range(1, d))
    for small in range(1, d // 2 + 1):
        pair = sorted({small, d - small})
        count = sum(comb(d, size) for size in pair)
        if used + count > budget:
            break
        used += count
        for size in pair:
            left.remove(size)
            members = np.zeros((comb(d, size), d), np.bool_)
            for place, some in enumerate(combinations(range(d), size)):
                members[place, list(some)] = True
            chosen.append(members)
            weights.append(np.full(len(members), (d - 1) / (comb(d, size) * size * (d - size))))
    if not chosen:
        return np.zeros((0, d), np.bool_), np.zeros(0), left
    return np.concatenate(chosen), np.concatenate(weights), left


def _drawn(d: int, left: list[int], budget: int, rng: np.random.Generator) -> tuple[Bools, float]:
    """Return coalitions of some sizes with their complements, and the weight of these sizes."""
    mass = np.array([(d - 1) / (size * (d - size)) for size in left])
    pairs = max(GROUPS, budget // 2)
    sizes: NDArray[np.int64] = rng.choice(np.array(left), size=pairs, p=mass / mass.sum())
    order = rng.random((pairs, d)).argsort(axis=1).argsort(axis=1)
    some = np.asarray(order < sizes[:, None])
    return np.concatenate([some, ~some]), float(mass.sum())


class _Regression:
    """Least squares under the constraint that the values add to what there is to explain."""

    def __init__(self, d: int, base: float, prediction: float) -> None:
        self._base, self._total = base, prediction - base
        self._normal, self._right = np.zeros((d, d)), np.zeros(d)

    def copy(self) -> _Regression:
        """Return one that goes on from here."""
        other = _Regression(len(self._right), self._base, self._base + self._total)
        other._normal, other._right = self._normal.copy(), self._right.copy()
        return other

    def add(self, coalitions: Bools, weights: Floats, worth: Floats) -> None:
        """Take coalitions with weights and worths."""
        members = coalitions.astype(np.float64)
        self._normal += members.T @ (weights[:, None] * members)
        self._right += members.T @ (weights * (worth - self._base))

    def values(self) -> Floats:
        """Solve; the least one where a small batch leaves several solutions."""
        d = len(self._right)
        system = np.zeros((d + 1, d + 1))
        system[:d, :d], system[:d, d], system[d, :d] = self._normal, 1, 1
        right = np.append(self._right, self._total)
        try:
            solution = np.linalg.solve(system, right)
        except np.linalg.LinAlgError:
            solution = np.linalg.lstsq(system, right, rcond=None)[0]
        return np.asarray(solution[:d])
