"""Losses of single rows. What versions are compared by is a mean of these, nothing else."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Loss = Literal["brier", "log_loss", "squared_error", "zero_one", "absolute_error"]
OF_NUMBERS: frozenset[str] = frozenset({"squared_error", "absolute_error"})
"""Losses of any finite label and prediction; the others are of probabilities."""
Floats = NDArray[np.float64]

LOG_LOSS_CLIP = 1e-6
"""Probabilities are kept this far from 0 and 1, so one row loses at most 13.8 nats."""

MOST = 1e70
"""Size that labels and predictions of a regression stay below: no fourth power overflows."""

THRESHOLD = 0.5
"""A probability of at least this much predicts the positive label."""


def checked_rows(labels: Floats, predictions: Floats, *, probabilities: bool = True) -> None:
    """Raise unless the two arrays can be scored row by row.

    Raises:
        ValueError: The arrays are empty, not one-dimensional, of different length, hold NaN or
            infinities; or, with ``probabilities``, labels are not 0 or 1 or predictions
            lie outside [0, 1]. The message names the first row at fault.
    """
    if labels.ndim != 1 or labels.shape != predictions.shape or labels.size == 0:
        raise ValueError(
            f"labels {labels.shape} and predictions {predictions.shape} must be two"
            " non-empty vectors of one length"
        )
    for name, values in (("label", labels), ("prediction", predictions)):
        _first_fault(~np.isfinite(values), values, f"{name} must be a finite number")
    if probabilities:
        _first_fault((labels != 0) & (labels != 1), labels, "label must be 0 or 1")
        outside = (predictions < 0) | (predictions > 1)
        _first_fault(outside, predictions, "prediction must be a probability in 0 to 1")
    else:
        rule = f"must be smaller than {MOST:g}"
        _first_fault(np.abs(labels) >= MOST, labels, f"label {rule}")
        _first_fault(np.abs(predictions) >= MOST, predictions, f"prediction {rule}")


def row_losses(loss: Loss, labels: Floats, predictions: Floats) -> Floats:
    """Return the loss of each row, smaller is better.

    With label y and prediction p:

    - ``brier``: (p - y)^2, in [0, 1]. G. W. Brier, Monthly Weather Review 78 (1950), in the
      one-sided form for a binary outcome.
    - ``log_loss``: -(y ln p + (1 - y) ln(1 - p)), p clipped to [1e-6, 1 - 1e-6] so that it is
      bounded. I. J. Good, JRSS B 14 (1952).
    - ``squared_error``: (p - y)^2 for any finite label and prediction.
    - ``absolute_error``: abs(p - y), likewise.
    - ``zero_one``: 1 when (p >= 0.5) differs from y, else 0.

    Raises:
        ValueError: See :func:`checked_rows`.
    """
    checked_rows(labels, predictions, probabilities=loss not in OF_NUMBERS)
    if loss in ("brier", "squared_error"):
        errors: Floats = predictions - labels
        return errors * errors
    if loss == "absolute_error":
        return np.abs(predictions - labels)
    if loss == "log_loss":
        clipped = np.clip(predictions, LOG_LOSS_CLIP, 1 - LOG_LOSS_CLIP)
        chance_of_label = np.where(labels == 1, clipped, 1 - clipped)
        losses: Floats = -np.log(chance_of_label)
        return losses
    if loss == "zero_one":
        wrong: NDArray[np.bool_] = (predictions >= THRESHOLD) != (labels == 1)
        return wrong.astype(np.float64)
    raise ValueError(f"loss {loss!r} is not one of {', '.join(get_args(Loss))}")


def _first_fault(at_fault: NDArray[np.bool_], values: Floats, rule: str) -> None:
    if at_fault.any():
        row = int(np.argmax(at_fault))
        raise ValueError(f"row {row}: {rule}, not {float(values[row])!r}")
