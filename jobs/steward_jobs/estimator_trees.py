"""The trees of scikit-learn's estimators as arrays: single ones, forests, boosting.

Estimators are recognised by what they have, so that scikit-learn is not imported here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from steward.domain.explanations.trees import Tree
from steward.domain.explanations.values import Scale


class NoTreesError(ValueError):
    """An estimator whose trees cannot be read; the message says why."""


def trees_of(estimator: Any) -> tuple[list[Tree], Scale]:
    """Return the trees of an estimator, whose leaves add up, and on which scale.

    What does not depend on the row, such as the first guess of boosting, is left out: it moves no
    Shapley value. Of a class the score is that of the last one of ``classes_``.

    Raises:
        NoTreesError: It is none that is known, has more than two classes, or splits by categories.
    """
    classes = getattr(estimator, "classes_", None)
    if classes is not None and len(classes) != 2:
        raise NoTreesError(f"it tells {len(classes)} classes apart")
    boosted: Scale = "value" if classes is None else "log_odds"
    plain: Scale = "value" if classes is None else "probability"
    if hasattr(estimator, "_predictors"):
        return [_histogram(one[0]) for one in estimator._predictors], boosted
    if hasattr(estimator, "tree_"):
        return [_plain(estimator.tree_, of_class=classes is not None)], plain
    members = getattr(estimator, "estimators_", None)
    if members is None or not len(members):
        raise NoTreesError(f"{type(estimator).__name__} is no tree of scikit-learn")
    if isinstance(members, np.ndarray) and hasattr(estimator, "learning_rate"):
        if getattr(estimator, "loss", "") == "exponential":
            raise NoTreesError("with exponential loss its score is half the log-odds")
        grown = [_plain(one[0].tree_, of_class=False) for one in members]
        return [_scaled(tree, estimator.learning_rate) for tree in grown], boosted
    equal = not hasattr(estimator, "estimator_weights_")
    if equal and all(hasattr(one, "tree_") for one in members):
        grown = [_plain(one.tree_, of_class=classes is not None) for one in members]
        return [_scaled(tree, 1 / len(grown)) for tree in grown], plain
    raise NoTreesError(f"{type(estimator).__name__} is no sum of trees that is known")


def _scaled(tree: Tree, factor: float) -> Tree:
    return replace(tree, value=tree.value * factor)


def _plain(tree: Any, *, of_class: bool) -> Tree:
    values = np.asarray(tree.value, np.float64)
    if values.shape[1] != 1:
        raise NoTreesError(f"it has {values.shape[1]} outputs")
    leaf = values[:, 0, -1]
    if of_class:
        leaf = leaf / values[:, 0].sum(axis=1)
    left = np.asarray(tree.children_left, np.int64)
    gaps = getattr(tree, "missing_go_to_left", np.zeros(len(left)))
    return Tree(
        left, np.asarray(tree.children_right, np.int64), np.asarray(tree.feature, np.int64),
        np.asarray(tree.threshold, np.float64), np.asarray(gaps).astype(np.bool_), leaf,
        single=True,
    )  # fmt: skip


def _histogram(predictor: Any) -> Tree:
    nodes = predictor.nodes
    if nodes["is_categorical"].any():
        raise NoTreesError("it splits by categories")
    leaf = nodes["is_leaf"].astype(np.bool_)
    return Tree(
        np.where(leaf, -1, nodes["left"].astype(np.int64)), nodes["right"].astype(np.int64),
        nodes["feature_idx"].astype(np.int64), nodes["num_threshold"].astype(np.float64),
        nodes["missing_go_to_left"].astype(np.bool_), nodes["value"].astype(np.float64),
    )  # fmt: skip
