"""Explanations of rows of any type: numbers, categories, booleans, missing values.

A coalition takes whole cells from the row or from the background, so nothing is encoded and the
model is asked about rows as it knows them. All rows are explained by the same coalitions, which
makes one batch of many mixed rows out of few questions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from steward.domain.digests import digest_of
from steward.domain.errors import RejectedError
from steward.domain.explanations.exact import MAX_FEATURES, all_coalitions, shapley_values
from steward.domain.explanations.kernel import KernelGame
from steward.domain.explanations.values import Bools, Floats, Scale

Cell: TypeAlias = str | int | float | bool | None
Row: TypeAlias = tuple[Cell, ...]
Answer: TypeAlias = Callable[[list[list[Cell]]], Floats]
"""Rows in the order of the features to one number each."""
Method: TypeAlias = Literal["exact", "kernel", "linear"]

SEED = 20
ROWS_AT_ONCE = 20_000
TOLERANCE = 1e-6
"""Gap up to which values count as adding up, in the unit of the answers."""
LEAST_ROWS, MOST_ROWS = 60, 500
LEAST_BACKGROUND, MOST_BACKGROUND = 5, 20


@dataclass(frozen=True)
class MixedBackground:
    """Rows that stand for "feature not known".

    Attributes:
        features: Names, in the order of the cells.
        rows: At least one.
    """

    features: tuple[str, ...]
    rows: tuple[Row, ...]

    def __post_init__(self) -> None:
        """Check the shape.

        Raises:
            RejectedError: There are no rows or features, or a row has not one cell a feature.
        """
        if not self.rows or not self.features:
            raise RejectedError(
                "a background needs rows and features", field="background",
                value=[len(self.rows), len(self.features)], allowed="at least one of each",
            )  # fmt: skip
        check_rows(self.rows, self.features, "background")

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the names and the cells, types included."""
        return digest_of([list(self.features), [list(row) for row in self.rows]])


@dataclass(frozen=True)
class Effort:
    """How much a model is asked; the same for a version's baseline and for its traffic.

    Attributes:
        rows: Rows that are explained.
        background: Rows of the background.
        coalitions: Asked for each row: all 2^d up to 12 features.
    """

    rows: int
    background: int
    coalitions: int

    @property
    def model_rows(self) -> int:
        """Rows that the model is asked for."""
        return self.rows * self.background * self.coalitions


def effort(features: int, rows: int, budget: int) -> Effort:
    """Share a budget of model rows between rows, background and coalitions.

    Below the least of each (60 rows, 5 of the background, all coalitions up to 12 features or 4 a
    feature above) nothing can be said, so many features may cost more than the budget.

    Args:
        features: How many.
        rows: Rows that there are.
        budget: Model rows.
    """
    most = budget // (LEAST_ROWS * LEAST_BACKGROUND)
    coalitions = 2**features
    if features > MAX_FEATURES:
        coalitions = max(4 * features, min(most, 2 * features + 2048))
    background = budget // (coalitions * LEAST_ROWS)
    background = min(MOST_BACKGROUND, max(LEAST_BACKGROUND, background))
    explained = min(MOST_ROWS, max(LEAST_ROWS, budget // (coalitions * background)))
    return Effort(min(rows, explained), background, coalitions)


@dataclass(frozen=True)
class Explained:
    """Shapley values of some rows.

    Attributes:
        method: How.
        scale: Of base, predictions and values.
        base: Mean answer over the background.
        predictions: Answers to the rows, shape (n,).
        values: Shape (n, d).
        errors: Standard errors by sampling; zeros where nothing was sampled.
    """

    method: Method
    scale: Scale
    base: float
    predictions: Floats
    values: Floats
    errors: Floats

    @property
    def gaps(self) -> Floats:
        """Distance of base and values from the answer, by row, on the scale of the values.

        Of numbers it is a share of the answer where that is larger than 1.
        """
        gaps: Floats = np.abs(self.base + self.values.sum(axis=1) - self.predictions)
        return np.asarray(gaps / sizes(self.predictions, self.scale), np.float64)


def sizes(answers: Floats, scale: Scale) -> Floats:
    """Return what a distance from answers is measured by: 1, or the answer if it is larger."""
    if scale != "value":
        return np.ones_like(answers)
    found: Floats = np.maximum(1.0, np.abs(answers))
    return found


def explain_rows(
    answer: Answer,
    rows: Sequence[Row],
    background: MixedBackground,
    *,
    coalitions: int | None = None,
    scale: Scale = "probability",
) -> Explained:
    """Return the Shapley values of rows, exact up to 12 features and by KernelSHAP above.

    Raises:
        RejectedError: There are no rows, or the answers are not one finite number each.
    """
    parts = list(explained_groups(answer, rows, background, coalitions=coalitions, scale=scale))
    if not parts:
        raise RejectedError("there are no rows to explain", field="rows", value=0, allowed=">= 1")
    return joined(parts)


def joined(parts: Sequence[Explained]) -> Explained:
    """Return groups of one explanation as one."""
    first = parts[0]
    return Explained(
        first.method, first.scale, first.base,
        np.concatenate([part.predictions for part in parts]),
        np.concatenate([part.values for part in parts]),
        np.concatenate([part.errors for part in parts]),
    )  # fmt: skip


def explained_groups(
    answer: Answer,
    rows: Sequence[Row],
    background: MixedBackground,
    *,
    coalitions: int | None = None,
    scale: Scale = "probability",
) -> Iterator[Explained]:
    """Yield explanations of as many rows as fit one question each, so that a caller may stop.

    ``answer`` is asked for at most 20,000 rows at a time.
    """
    check_rows(rows, background.features, "rows")
    d = len(background.features)
    method: Method = "exact" if d <= MAX_FEATURES else "kernel"
    game = None if method == "exact" else KernelGame(d, coalitions or 2 * d + 2048, SEED)
    members = all_coalitions(d) if game is None else game.coalitions
    behind = _objects(background.rows)
    step = max(1, ROWS_AT_ONCE // (len(members) * len(behind)))
    for at in range(0, len(rows), step):
        group = _objects(rows[at : at + step])
        worth = _worth(answer, group, behind, members)
        solved = [
            (shapley_values(one, d), np.zeros(d)) if game is None else game.solve(one)
            for one in worth
        ]
        yield Explained(
            method, scale, float(worth[0, 0]), worth[:, -1],
            np.array([values for values, _ in solved]), np.array([error for _, error in solved]),
        )  # fmt: skip


def check_rows(rows: Sequence[Row], features: Sequence[str], name: str) -> None:
    """Refuse rows that have not one cell a feature."""
    for number, row in enumerate(rows):
        if len(row) != len(features):
            raise RejectedError(
                f"row {number} of {name} has {len(row)} cells", field=f"{name}[{number}]",
                value=len(row), allowed=f"{len(features)} cells",
            )  # fmt: skip


def answers_to(answer: Answer, rows: Sequence[Sequence[Cell]]) -> Floats:
    """Return a model's answers, asked in parts.

    Raises:
        RejectedError: It does not answer each row with a finite number.
    """
    parts = [
        np.asarray(answer([list(row) for row in rows[at : at + ROWS_AT_ONCE]]), np.float64)
        for at in range(0, len(rows), ROWS_AT_ONCE)
    ]
    found = np.concatenate(parts) if parts else np.empty(0)
    if found.shape != (len(rows),) or not np.isfinite(found).all():
        raise RejectedError(
            "the model must answer each row with one finite number", field="predictions",
            value=list(found.shape), allowed=f"({len(rows)},)",
        )  # fmt: skip
    return found


def _worth(answer: Answer, group: NDArray[Any], behind: NDArray[Any], members: Bools) -> Floats:
    """Return the worth of all coalitions for some rows, shape (rows, coalitions)."""
    d, most = group.shape[1], max(1, ROWS_AT_ONCE // len(behind))
    worth = np.empty((len(group), len(members)))
    if len(members) <= most:
        mixed = np.where(members[None, :, None, :], group[:, None, None, :], behind)
        answers = answers_to(answer, mixed.reshape(-1, d).tolist())
        return np.asarray(answers.reshape(len(group), len(members), -1).mean(axis=2))
    for place, row in enumerate(group):
        for at in range(0, len(members), most):
            mixed = np.where(members[at : at + most, None, :], row, behind)
            answers = answers_to(answer, mixed.reshape(-1, d).tolist())
            worth[place, at : at + most] = answers.reshape(-1, len(behind)).mean(axis=1)
    return worth


def _objects(rows: Sequence[Row]) -> NDArray[Any]:
    table = np.empty((len(rows), len(rows[0]) if rows else 0), dtype=object)
    for place, row in enumerate(rows):
        table[place] = row
    return table
