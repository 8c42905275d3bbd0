"""Fit both models, compare them on rows that they have not seen, keep one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from .columns import Cell, Columns, Floats
from .forms import Form, Linear, trees_of

Task = Literal["binary", "regression"]
Kind = Literal["linear", "boosting"]
Rows = Sequence[dict[str, Cell]]
Integers = npt.NDArray[np.int64]

MANY_ROWS = 20_000
"""From here on several threads are worth their cost."""
LEAST_ROWS = 20
"""Fewer training rows teach nothing."""
AGREEMENT = 1e-9
"""How far the answers of the trees taken apart may lie from scikit-learn's, relative to 1."""


class NothingToLearnError(Exception):
    """The training rows cannot teach a model; the message says why."""


@dataclass(frozen=True)
class Options:
    """Hyperparameters, with defaults for some hundred to some hundred thousand rows.

    Attributes:
        model: ``best`` keeps the linear model unless the trees lose less on rows unseen.
        learning_rate: Of the boosting.
        max_iter: Most trees; early stopping finds how many.
        max_leaf_nodes: Leaves of a tree.
        l2: Ridge penalty of both models.
        folds: Parts of the rows, each judged once by models of the others.
        validation: ``entities`` parts the rows by entity; ``rolling`` by prediction time, and each
            part is judged by models of what is older.
        seed: Of the parts and of early stopping.
    """

    model: Literal["best", "linear", "boosting"] = "best"
    learning_rate: float = 0.06
    max_iter: int = 400
    max_leaf_nodes: int = 15
    l2: float = 1.0
    folds: int = 5
    validation: Literal["entities", "rolling"] = "entities"
    seed: int = 20


@dataclass(frozen=True)
class Fitted:
    """What training leaves.

    Attributes:
        kind: Which model was kept.
        losses: Mean loss of each model and of a constant answer on rows unseen.
        loss: Name of that loss.
        reason: Why this model was kept.
        trees: How many trees, 0 for the linear model.
    """

    kind: Kind
    form: Form
    columns: Columns
    losses: dict[str, float]
    loss: str
    reason: str
    trees: int


def fit(
    features: Sequence[dict[str, Any]], rows: Rows, labels: Floats, entities: Sequence[str],
    task: Task, loss: str, options: Options, times: Sequence[str] | None = None,
) -> Fitted:  # fmt: skip
    """Compare both models over folds of entities, and fit the better one on all rows.

    Args:
        entities: Whom each row is about; the rows of one are never on both sides of a fold.
        times: Prediction time of each row, where there is one; ISO 8601 in UTC, so text sorts.
        loss: ``brier``, ``log_loss``, ``squared_error`` or ``absolute_error``; another one is
            replaced by the squared error.

    Raises:
        NothingToLearnError: Too few rows, or one label only.
    """
    import sklearn.ensemble  # noqa: F401 - a limit is set on what is loaded
    from threadpoolctl import threadpool_limits

    check_labels(labels, task)
    # Threads that share few rows only wait for one another.
    with threadpool_limits(1 if len(labels) < MANY_ROWS else None):
        return _fit(features, rows, labels, entities, task, loss, options, times)


def _fit(
    features: Sequence[dict[str, Any]], rows: Rows, labels: Floats, entities: Sequence[str],
    task: Task, loss: str, options: Options, times: Sequence[str] | None = None,
) -> Fitted:  # fmt: skip
    named, per_row = _loss(loss, task)
    judged: dict[str, list[Floats]] = {"constant": [], "linear": [], "boosting": []}
    sizes: list[int] = []
    for train, test in _parts(entities, times, labels, options):
        some, other = [rows[i] for i in train], [rows[i] for i in test]
        columns = Columns.learn(features, some)
        y = labels[train]
        constant = float(np.median(y) if named == "absolute_error" else y.mean())
        judged["constant"].append(per_row(labels[test], np.full(len(test), constant)))
        linear = fit_linear(columns.for_linear(some), y, task, options)
        judged["linear"].append(
            per_row(labels[test], answers(linear.scores(columns.for_linear(other)), task))
        )
        boosted = _boosting(columns, task, len(train), options, None)
        boosted.fit(columns.for_trees(some), y)
        sizes.append(int(boosted.n_iter_))
        judged["boosting"].append(
            per_row(labels[test], answers(trees_of(boosted).scores(columns.for_trees(other)), task))
        )
    each = {name: np.concatenate(parts) for name, parts in judged.items()}
    losses = {name: float(values.mean()) for name, values in each.items()}
    kind, reason = _choice(each, options)
    columns = Columns.learn(features, rows)
    if kind == "linear":
        form: Form = fit_linear(columns.for_linear(rows), labels, task, options)
        return Fitted(kind, form, columns, losses, named, reason, 0)
    trees = max(1, round(float(np.median(sizes)) * 1.1))
    estimator = _boosting(columns, task, len(rows), options, trees)
    table = columns.for_trees(rows)
    form = trees_of(estimator.fit(table, labels))
    _compare(form.scores(table), estimator, table)
    return Fitted(kind, form, columns, losses, named, reason, trees)


def check_labels(labels: Floats, task: Task) -> None:
    """Refuse labels that teach nothing.

    Raises:
        NothingToLearnError: With what there is.
    """
    if len(labels) < LEAST_ROWS:
        raise NothingToLearnError(f"{len(labels)} training rows; at least {LEAST_ROWS} are needed")
    found, counts = np.unique(labels, return_counts=True)
    if len(found) < 2:
        raise NothingToLearnError(f"all {len(labels)} training rows have the same label")
    if task == "binary" and counts.min() < 5:
        raise NothingToLearnError(
            f"{counts.min()} of {len(labels)} training rows have the rarer label; at least 5"
            " are needed"
        )


def _parts(
    entities: Sequence[str], times: Sequence[str] | None, labels: Floats, options: Options
) -> list[tuple[Integers, Integers]]:
    if options.validation == "entities":
        return folds_of(entities, labels, options)
    if times is None:
        raise NothingToLearnError("validation rolling needs data.prediction_time in project.yaml")
    return rolling_origins(times, labels, options)


def folds_of(
    entities: Sequence[str], labels: Floats, options: Options
) -> list[tuple[Integers, Integers]]:
    """Return row numbers to train and to judge, by entity; folds without both labels are left out.

    Raises:
        NothingToLearnError: No fold is left.
    """
    names, place = np.unique(np.asarray(entities, dtype=str), return_inverse=True)
    count = 2 if len(labels) > 200_000 else min(options.folds, len(names))
    order = np.random.default_rng(options.seed).permutation(len(names))
    fold = np.empty(len(names), np.int64)
    fold[order] = np.arange(len(names)) % max(count, 1)
    found = []
    for number in range(count):
        test = np.flatnonzero(fold[place] == number)
        train = np.flatnonzero(fold[place] != number)
        if len(train) and len(test) and len(np.unique(labels[train])) > 1:
            found.append((train, test))
    if not found:
        raise NothingToLearnError(f"{len(names)} entities cannot be parted into folds")
    return found


def rolling_origins(
    times: Sequence[str], labels: Floats, options: Options
) -> list[tuple[Integers, Integers]]:
    """Return row numbers to train and to judge: the judged ones are all newer than the others.

    The rows are cut into one block more than folds by their times; the first is never judged.

    Raises:
        NothingToLearnError: The rows are of too few times.
    """
    moments = sorted(set(times))
    blocks = min(options.folds + 1, len(moments))
    place = {moment: i * blocks // len(moments) for i, moment in enumerate(moments)}
    block = np.array([place[moment] for moment in times])
    found = []
    for number in range(1, blocks):
        train, test = np.flatnonzero(block < number), np.flatnonzero(block == number)
        if len(train) >= LEAST_ROWS and len(np.unique(labels[train])) > 1:
            found.append((train, test))
    if not found:
        raise NothingToLearnError(f"rows of {len(moments)} times cannot be parted by time")
    return found


def fit_linear(table: Floats, labels: Floats, task: Task, options: Options) -> Linear:
    """Fit a ridge or a logistic regression."""
    from sklearn.linear_model import LogisticRegression, Ridge

    if task == "regression":
        estimator: Any = Ridge(alpha=options.l2).fit(table, labels)
    else:
        estimator = LogisticRegression(C=1 / options.l2, max_iter=1000).fit(table, labels)
    return Linear(
        np.asarray(estimator.intercept_, np.float64).ravel()[:1],
        np.asarray(estimator.coef_, np.float64).ravel(),
    )


def answers(scores: Floats, task: Task) -> Floats:
    """Return probabilities, or the values themselves for a regression."""
    if task == "regression":
        return scores
    return np.asarray(1 / (1 + np.exp(-np.clip(scores, -500, 500))))


def _boosting(columns: Columns, task: Task, rows: int, options: Options, trees: int | None) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind = HistGradientBoostingRegressor if task == "regression" else HistGradientBoostingClassifier
    return kind(
        learning_rate=options.learning_rate,
        max_iter=options.max_iter if trees is None else trees,
        max_leaf_nodes=options.max_leaf_nodes,
        min_samples_leaf=int(np.clip(rows // 50, 5, 20)),
        l2_regularization=options.l2,
        categorical_features=list(range(len(columns.categories))) or None,
        early_stopping=trees is None,
        validation_fraction=0.15,
        n_iter_no_change=15,
        random_state=options.seed,
    )


def _choice(each: dict[str, Floats], options: Options) -> tuple[Kind, str]:
    if options.model != "best":
        return options.model, f"hyperparameter model is {options.model}"
    difference = each["linear"] - each["boosting"]
    error = float(difference.std(ddof=1) / np.sqrt(len(difference)))
    if difference.mean() > error:
        return "boosting", f"loses {difference.mean():.4g} less on rows unseen (s.e. {error:.2g})"
    return "linear", f"trees lose at most one standard error ({error:.2g}) less on rows unseen"


def _loss(name: str, task: Task) -> tuple[str, Callable[[Floats, Floats], Floats]]:
    if task == "binary" and name == "log_loss":
        return name, _log_loss
    if task == "regression" and name == "absolute_error":
        return name, lambda y, p: np.abs(y - p)
    return ("squared_error" if task == "regression" else "brier"), lambda y, p: (y - p) ** 2


def _log_loss(y: Floats, p: Floats) -> Floats:
    p = np.clip(p, 1e-12, 1 - 1e-12)
    return np.asarray(-(y * np.log(p) + (1 - y) * np.log(1 - p)))


def _compare(scores: Floats, estimator: Any, table: Floats) -> None:
    """Refuse trees that answer otherwise than scikit-learn, whose insides may change."""
    raw = np.asarray(estimator._raw_predict(table)).ravel()
    gap = float(np.max(np.abs(scores - raw) / np.maximum(1.0, np.abs(raw))))
    if gap > AGREEMENT:
        raise RuntimeError(f"the stored trees answer {gap:g} apart from scikit-learn's")
