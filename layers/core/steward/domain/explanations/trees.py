"""Exact Shapley values of trees against a background, without asking the model.

A leaf is reached by a row if every condition on the way to it holds. Of a row x and a background
row b the mixed row of a coalition S reaches it exactly if S has all features that only x fulfils
(u of them) and none that only b fulfils (v of them); with a feature that neither fulfils it never
does. The Shapley values of that game are known: each of the u features gets
value (u - 1)! v! / (u + v)!, each of the v features -value u! (v - 1)! / (u + v)!, others 0.
Sums over leaves, trees and background rows are the interventional values of the whole model.

Source: S. Lundberg et al., "From local explanations to global understanding with explainable AI
for trees", Nature Machine Intelligence 2 (2020), interventional TreeSHAP; here leaf by leaf, for
all rows at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import factorial

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

MOST_LEAVES = 200_000
"""Leaves of all trees; more would take minutes."""
_PAIRS_AT_ONCE = 1 << 18


@dataclass(frozen=True)
class Tree:
    """One tree as arrays over its nodes; node 0 is the root.

    Attributes:
        left: Child where the condition holds, -1 at a leaf.
        right: The other child.
        feature: Column that is compared.
        threshold: A row goes left where its value is at most this.
        missing_left: Whether a missing value goes left.
        value: What a leaf adds to the score.
        single: Whether values are compared as single precision, as scikit-learn's trees do.
    """

    left: NDArray[np.int64]
    right: NDArray[np.int64]
    feature: NDArray[np.int64]
    threshold: Floats
    missing_left: Bools
    value: Floats
    single: bool = False


@dataclass(frozen=True)
class _Leaf:
    """A leaf and what leads to it: by column the bounds, and whether missing values pass."""

    value: float
    above: dict[int, float]
    at_most: dict[int, float]
    missing: dict[int, bool]


def tree_values(trees: Sequence[Tree], rows: Floats, background: Floats) -> Floats:
    """Return the Shapley values of rows, shape (n, d): the mean over background rows.

    Args:
        trees: Whose leaves add up to the score.
        rows: Shape (n, d); NaN is a missing value.
        background: Shape (m, d).

    Raises:
        ValueError: The columns differ, or there are too many leaves.
    """
    if rows.ndim != 2 or background.ndim != 2 or rows.shape[1] != background.shape[1]:
        raise ValueError(f"rows {rows.shape} and background {background.shape} differ in columns")
    leaves = sum(int((tree.left < 0).sum()) for tree in trees)
    if leaves > MOST_LEAVES:
        raise ValueError(f"{leaves} leaves are more than {MOST_LEAVES}")
    found = np.zeros(rows.shape)
    step = max(1, _PAIRS_AT_ONCE // len(background))
    for tree in trees:
        own, other = (_compared(values, single=tree.single) for values in (rows, background))
        for leaf in _leaves(tree):
            for at in range(0, len(rows), step):
                _add(found[at : at + step], leaf, own[at : at + step], other)
    return found / len(background)


def _compared(values: Floats, *, single: bool) -> Floats:
    return values.astype(np.float32).astype(np.float64) if single else values


def _leaves(tree: Tree) -> Iterator[_Leaf]:
    """Yield the leaves, the conditions on one column put together."""
    waiting: list[tuple[int, _Leaf]] = [(0, _Leaf(0.0, {}, {}, {}))]
    while waiting:
        node, path = waiting.pop()
        if tree.left[node] < 0:
            value = float(tree.value[node])
            yield _Leaf(value, path.above, path.at_most, path.missing)
            continue
        column, threshold = int(tree.feature[node]), float(tree.threshold[node])
        goes_left = bool(tree.missing_left[node])
        passes = path.missing.get(column, True)
        at_most = {**path.at_most, column: min(path.at_most.get(column, np.inf), threshold)}
        above = {**path.above, column: max(path.above.get(column, -np.inf), threshold)}
        left = {**path.missing, column: passes and goes_left}
        right = {**path.missing, column: passes and not goes_left}
        waiting.append((int(tree.left[node]), _Leaf(0.0, path.above, at_most, left)))
        waiting.append((int(tree.right[node]), _Leaf(0.0, above, path.at_most, right)))


def _add(found: Floats, leaf: _Leaf, rows: Floats, background: Floats) -> None:
    """Add what one leaf gives to each row, summed over the background."""
    columns = list(leaf.missing)
    if not columns or not leaf.value:
        return
    own = np.stack([_holds(leaf, column, rows) for column in columns])[:, :, None]
    other = np.stack([_holds(leaf, column, background) for column in columns])[:, None, :]
    only_own, only_other = own & ~other, other & ~own
    reached = (own | other).all(axis=0)
    u, v = only_own.sum(axis=0), only_other.sum(axis=0)
    up, down = _weights(len(columns))
    gain = np.where(reached, up[u, v], 0.0) * leaf.value
    loss = np.where(reached, down[u, v], 0.0) * leaf.value
    for place, column in enumerate(columns):
        found[:, column] += (only_own[place] * gain - only_other[place] * loss).sum(axis=1)


def _holds(leaf: _Leaf, column: int, values: Floats) -> Bools:
    cells = values[:, column]
    inside = (cells > leaf.above.get(column, -np.inf)) & (cells <= leaf.at_most.get(column, np.inf))
    return np.where(np.isnan(cells), leaf.missing[column], inside).astype(np.bool_)


def _weights(most: int) -> tuple[Floats, Floats]:
    """Return (u - 1)! v! / (u + v)! and u! (v - 1)! / (u + v)! by u and v."""
    if most not in _KNOWN:
        up, down = np.zeros((most + 1, most + 1)), np.zeros((most + 1, most + 1))
        for u in range(most + 1):
            for v in range(most + 1 - u):
                whole = factorial(u + v)
                up[u, v] = factorial(u - 1) * factorial(v) / whole if u else 0.0
                down[u, v] = factorial(u) * factorial(v - 1) / whole if v else 0.0
        _KNOWN[most] = up, down
    return _KNOWN[most]


_KNOWN: dict[int, tuple[Floats, Floats]] = {}
