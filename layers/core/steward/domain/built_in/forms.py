"""The two models as plain arrays: what they answer needs numpy alone, and loading runs no code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from .columns import Floats

Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Words = npt.NDArray[np.uint32]

ROWS_AT_ONCE = 2000


@dataclass(frozen=True)
class Linear:
    """intercept + values x weights."""

    intercept: Floats
    weights: Floats

    def scores(self, table: Floats) -> Floats:
        """Return the score of each row: log-odds, or the value itself for a regression."""
        return np.asarray(table @ self.weights + self.intercept[0])


@dataclass(frozen=True)
class Trees:
    """Boosted trees, all nodes of all trees one after another.

    Attributes:
        start: Score before the first tree, one number.
        roots: Node at which each tree begins.
        value: What a leaf adds to the score.
        feature: Column that a node looks at.
        threshold: Numbers up to it go left.
        left: Node on the left.
        right: Node on the right.
        missing_left: Whether a missing value goes left.
        is_leaf: Whether the node ends the tree.
        is_category: Whether the node looks at a category.
        words: For such a node: 256 bits, one a level; levels whose bit is set go left.
    """

    start: Floats
    roots: Integers
    value: Floats
    feature: Integers
    threshold: Floats
    left: Integers
    right: Integers
    missing_left: Flags
    is_leaf: Flags
    is_category: Flags
    words: Words

    def scores(self, table: Floats) -> Floats:
        """Return the score of each row, some rows at once so that memory stays small."""
        pieces = [
            self._some(table[first : first + ROWS_AT_ONCE])
            for first in range(0, len(table), ROWS_AT_ONCE)
        ]
        return np.concatenate(pieces) if pieces else np.empty(0)

    def _some(self, table: Floats) -> Floats:
        row = np.arange(len(table))[:, None]
        node = np.broadcast_to(self.roots, (len(table), len(self.roots)))
        while not self.is_leaf[node].all():
            cell = table[row, self.feature[node]]
            missing = np.isnan(cell)
            low = np.where(self.is_category[node], self._has(node, cell), cell <=
                           self.threshold[node])  # fmt: skip
            goes_left = np.where(missing, self.missing_left[node], low)
            below = np.where(goes_left, self.left[node], self.right[node])
            node = np.where(self.is_leaf[node], node, below)
        return np.asarray(self.value[node].sum(axis=1) + self.start[0])

    def _has(self, node: Integers, cell: Floats) -> Flags:
        """Return whether the bit of each level is set; a number of another column says nothing."""
        level = np.clip(np.nan_to_num(cell), 0, 255).astype(np.int64)
        word = self.words[node, level // 32]
        return np.asarray((word >> (level % 32).astype(np.uint32)) & 1, dtype=bool)


Form = Linear | Trees


def arrays_of(form: Form) -> dict[str, npt.NDArray[Any]]:
    """Return a form as named arrays."""
    return {field.name: getattr(form, field.name) for field in fields(form)}


def form_of(kind: str, arrays: Mapping[str, npt.NDArray[Any]]) -> Form:
    """Return the form that named arrays hold.

    Raises:
        ValueError: The kind is unknown.
        KeyError: An array is missing.
    """
    kinds: dict[str, type[Form]] = {"linear": Linear, "boosting": Trees}
    if kind not in kinds:
        raise ValueError(f"model.json names the form {kind!r}; allowed: {', '.join(kinds)}")
    return kinds[kind](**{field.name: arrays[field.name] for field in fields(kinds[kind])})


def trees_of(estimator: Any) -> Trees:
    """Take a fitted ``HistGradientBoosting...`` of scikit-learn apart.

    Its trees are no public part of scikit-learn; who calls this compares the answers.
    """
    nodes, words, roots, first = [], [], [], 0
    for (tree,) in estimator._predictors:
        found = tree.nodes
        bits = np.zeros((len(found), 8), np.uint32)
        chosen = found["is_categorical"].astype(bool)
        if chosen.any():
            bits[chosen] = tree.raw_left_cat_bitsets[found["bitset_idx"][chosen]]
        roots.append(first)
        nodes.append((found, first))
        words.append(bits)
        first += len(found)

    def joined(name: str, shifted: bool = False) -> npt.NDArray[Any]:
        return np.concatenate([part[name].astype(np.int64) + start if shifted else part[name]
                               for part, start in nodes])  # fmt: skip

    return Trees(
        start=np.asarray(estimator._baseline_prediction, np.float64).ravel()[:1],
        roots=np.array(roots, np.int64),
        value=joined("value"),
        feature=joined("feature_idx").astype(np.int64),
        threshold=joined("num_threshold"),
        left=joined("left", True),
        right=joined("right", True),
        missing_left=joined("missing_go_to_left").astype(bool),
        is_leaf=joined("is_leaf").astype(bool),
        is_category=joined("is_categorical").astype(bool),
        words=np.concatenate(words),
    )
