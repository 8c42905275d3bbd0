"""Counterfactual flip test (FT): would members of facet d be answered otherwise, were they of a?

Each row of the disadvantaged facet d is compared with the majority answer of its nearest rows of
facet a. F+ are those with a negative answer whose neighbours have a positive one, F- the reverse:

    FT = (|F+| - |F-|) / nd,   in [-1, 1], 0 is fair, above 0 d is at a disadvantage.

Source: AWS, "Amazon SageMaker AI Developer Guide", Counterfactual Fliptest; after Black, Yeom and
Fredrikson, "FlipTest", FAT* 2020, with neighbours in place of their optimal transport.
``clarify_compatible`` has the opposite sign, as the code of smclarify counts F+ and F- the other
way round, and measures distance on the features as they are; ``exact`` standardises them by the
mean and standard deviation of facet a, or else the feature with the largest unit decides alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from steward.domain.bias.facets import Bools
from steward.domain.bias.names import Mode
from steward.domain.errors import RejectedError

Floats = NDArray[np.float64]

NEIGHBOURS = 5
FEW_ROWS = 9
"""With so many rows of facet a or fewer the nearest one decides alone, as in smclarify."""
_CELLS = 4_000_000


def flips(features: Floats, disadvantaged: Bools, predictions: Bools, mode: Mode) -> Floats:
    """Return for each row of d 1 where it is in F+, -1 in F-, else 0; FT is their mean.

    Args:
        features: What the model was given, without the facet and the label, shape (n, columns).
        disadvantaged: Rows of facet d, shape (n,).
        predictions: Rows whose predicted label is positive, shape (n,).
        mode: Decides scale and sign.

    Raises:
        RejectedError: A feature is not finite, or a facet has no rows.
    """
    if not np.isfinite(features).all():
        row, column = np.argwhere(~np.isfinite(features))[0]
        raise RejectedError(
            "the flip test needs numbers in every feature",
            field=f"features[{row}, {column}]", value=float(features[row, column]),
            allowed="finite numbers",
        )  # fmt: skip
    known, asked = features[~disadvantaged], features[disadvantaged]
    if not len(known) or not len(asked):
        raise RejectedError("the flip test needs rows of both facets", field="facet", value=0)
    if mode == "exact":
        centre, scale = known.mean(axis=0), known.std(axis=0)
        scale = np.where(scale == 0, 1.0, scale)
        known, asked = (known - centre) / scale, (asked - centre) / scale
    answers = predictions[~disadvantaged]
    near = NEIGHBOURS if len(known) > FEW_ROWS else 1
    step = max(1, _CELLS // len(known))
    expected = np.concatenate(
        [
            _majority(known, answers, asked[at : at + step], near)
            for at in range(0, len(asked), step)
        ]
    )
    given = predictions[disadvantaged].astype(np.float64)
    found = expected - given
    return found if mode == "exact" else -found + 0.0


def _majority(known: Floats, answers: Bools, asked: Floats, near: int) -> Floats:
    distances = (known**2).sum(axis=1) - 2 * (asked @ known.T)
    order = np.argpartition(distances, near - 1, axis=1)[:, :near]
    majority: Floats = (answers[order].mean(axis=1) > 0.5).astype(np.float64)
    return majority
