"""Precision, recall, F1 and AUC as bounded bets, for the alarm over time.

Each metric M of a version is turned into gains g >= -1 of rows, or of pairs of rows, whose mean is
at most 0 while 1 - M is at most a bound b. Then 1 + c g has a mean of at most 1 for each fraction
0 < c < 1, which is all that :mod:`steward.domain.monitoring.performance_alarm` needs:

- recall = tp / (tp + fn): a row with label 1 gains z / b - 1, where z = 1 if it was missed.
- precision = tp / (tp + fp): a row predicted as 1 gains z / b - 1, where z = 1 if it is none.
- F1 = 2 tp / (2 tp + fp + fn). 1 - F1 <= b is E[(1 - b) (fp + fn) - 2 b tp] <= 0: an error gains
  (1 - b) / (2 b), a true positive -1, any other row 0. This is the ratio's own null, exact, not an
  approximation by its influence function.
- AUC = P(S1 > S0) + P(S1 = S0) / 2: rows of both labels are drawn into pairs that share no row; a
  pair gains z / b - 1, where z is 1, 1/2 or 0 as it is ordered wrongly, tied or rightly. Pairs are
  independent, so their product is an e-value, and so is the mean over several drawings. The
  drawing depends on the number of the look, not on any score, and the probabilities are over it
  too. Scores of one bin are ties, as in the baseline's AUC.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from steward.domain.monitoring.performance_statistics import Classification

Floats = NDArray[np.float64]
FurtherMetric = Literal["precision", "recall", "f1", "roc_auc"]
FURTHER: tuple[FurtherMetric, ...] = ("precision", "recall", "f1", "roc_auc")

DRAWINGS = 8
"""Drawings into pairs that an AUC's e-value is the mean of."""

MOST_PAIRS = 4000
"""Pairs of one look; of more rows as many are drawn."""

_SALT = 20_261


def gains_of(
    metric: FurtherMetric, rows: Classification, bound: float, look: int
) -> list[tuple[Floats, Floats]]:
    """Return alternatives of gains with their counts; the e-value is the mean over them.

    Args:
        metric: Which.
        rows: Of one look.
        bound: What 1 - metric may be at most.
        look: Number of the look, from which pairs are drawn.
    """
    if metric == "roc_auc":
        return list(_pairs(rows, bound, look))
    tp, fp, fn, _ = rows.confusion
    if metric == "f1":
        return [(np.array([(1 - bound) / (2 * bound), -1.0]), np.array([fp + fn, tp], dtype=float))]
    wrong = fn if metric == "recall" else fp
    return [(np.array([1 / bound - 1, -1.0]), np.array([wrong, tp], dtype=float))]


def _pairs(rows: Classification, bound: float, look: int) -> Iterator[tuple[Floats, Floats]]:
    size = min(int(rows.counts[0].sum()), int(rows.counts[1].sum()), MOST_PAIRS)
    values = np.array([1.0, 0.5, 0.0]) / bound - 1
    for number in range(DRAWINGS if size else 0):
        draw = np.random.default_rng([_SALT, look, number])
        negative, positive = (
            draw.permutation(
                np.repeat(
                    np.arange(counts.size),
                    draw.multivariate_hypergeometric(counts, size, method="marginals"),
                )
            )
            for counts in rows.counts
        )
        wrong, tied = int((positive < negative).sum()), int((positive == negative).sum())
        yield values, np.array([wrong, tied, size - wrong - tied], dtype=float)
