"""What is kept of a chunk of labelled predictions: sums that merge, from which metrics follow.

Classification keeps, per label and bin of the predicted probability, counts and sums of losses as
whole multiples of 2^-30, so that chunks merge exactly in any order. Regression keeps sums of
doubles: they merge in the order of chunk ids and are compared to 1e-12 (its counts are exact).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from steward.domain.losses import LOG_LOSS_CLIP, THRESHOLD, checked_rows, row_losses

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
S = TypeVar("S", "Scores", "Classification", "Regression")

UNIT = 2.0**-30
"""Losses and probabilities are rounded to whole multiples of this."""

_PARTS = 200
_TENTHS = [k / 10 for k in range(1, 10)]
SCORE_EDGES: Floats = np.array(
    sorted({*(math.sin(math.pi * k / (2 * _PARTS)) ** 2 for k in range(1, _PARTS)), *_TENTHS})
)
"""Inner edges of the bins of a probability: narrow near 0 and 1, with all tenths among them.

sin^2 makes the error of a frequency alike in all bins; the first edge is at 6e-5.
"""
BINS = SCORE_EDGES.size + 1

LOG_LOSS_MOST = -math.log(LOG_LOSS_CLIP)
ERROR_BINS = 64


def score_bins(probabilities: Floats) -> NDArray[np.intp]:
    """Return the bin of each probability; an edge belongs to the bin above it."""
    return np.searchsorted(SCORE_EDGES, probabilities, side="right")


def _sums(bins: NDArray[np.intp], values: Floats, size: int) -> Integers:
    found = np.zeros(size, dtype=np.int64)
    np.add.at(found, bins, np.rint(values / UNIT).astype(np.int64))
    return found


@dataclass(frozen=True, eq=False)
class Scores:
    """Predicted probabilities, labelled or not.

    Attributes:
        counts: Predictions per bin.
        sums: Their probabilities, in ``UNIT``.
    """

    counts: Integers
    sums: Integers

    @property
    def n(self) -> int:
        """Number of predictions."""
        return int(self.counts.sum())

    @property
    def means(self) -> Floats:
        """Mean probability per bin, the middle of the bin where it is empty."""
        edges = np.concatenate([[0.0], SCORE_EDGES, [1.0]])
        middles: Floats = (edges[1:] + edges[:-1]) / 2
        means = middles.copy()
        filled = self.counts > 0
        means[filled] = self.sums[filled] * UNIT / self.counts[filled]
        return means

    def merge(self, other: Scores) -> Scores:
        """Return both sets of predictions together, exactly."""
        return Scores(self.counts + other.counts, self.sums + other.sums)

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {"counts": self.counts.tolist(), "sums": self.sums.tolist()}

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> Self:
        """Return what :meth:`as_dict` gave.

        Raises:
            ValueError: It has another number of bins.
        """
        return cls(*(_per_bin(kept[name], (BINS,)) for name in ("counts", "sums")))


def scores_of(probabilities: Floats) -> Scores:
    """Return the histogram of predictions.

    Raises:
        ValueError: One is no probability.
    """
    checked_rows(np.zeros_like(probabilities), probabilities)
    bins = score_bins(probabilities)
    return Scores(np.bincount(bins, minlength=BINS), _sums(bins, probabilities, BINS))


@dataclass(frozen=True, eq=False)
class Classification:
    """Labelled predictions of a class with its probability; axis 0 is the label, 0 or 1.

    Attributes:
        threshold: A probability of at least this much predicts label 1.
        counts: Rows per label and bin.
        scores: Sums of probabilities, in ``UNIT``.
        brier: Sums of Brier losses, in ``UNIT``.
        log_loss: Sums of log losses, in ``UNIT``.
        predicted: Rows per label that were predicted as 1.
        brier_squares: Sum of squared Brier losses, in ``UNIT``.
        log_loss_squares: Sum of squared log losses, in ``UNIT``.
    """

    threshold: float
    counts: Integers
    scores: Integers
    brier: Integers
    log_loss: Integers
    predicted: Integers
    brier_squares: int
    log_loss_squares: int

    @property
    def n(self) -> int:
        """Number of labelled rows."""
        return int(self.counts.sum())

    @property
    def confusion(self) -> tuple[int, int, int, int]:
        """True positives, false positives, false negatives and true negatives."""
        negatives, positives = (int(rows) for rows in self.counts.sum(axis=1))
        fp, tp = (int(rows) for rows in self.predicted)
        return tp, fp, positives - tp, negatives - fp

    @property
    def predictions(self) -> Scores:
        """The same rows without their labels."""
        return Scores(self.counts.sum(axis=0), self.scores.sum(axis=0))

    def merge(self, other: Classification) -> Classification:
        """Return both sets of rows together, exactly.

        Raises:
            ValueError: The thresholds differ.
        """
        if self.threshold != other.threshold:
            raise ValueError(f"thresholds differ: {self.threshold!r} and {other.threshold!r}")
        return Classification(
            self.threshold,
            **{
                field.name: getattr(self, field.name) + getattr(other, field.name)
                for field in fields(self)
                if field.name != "threshold"
            },
        )

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: value.tolist() if isinstance(value, np.ndarray) else value
            for name, value in found.items()
        }

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> Self:
        """Return what :meth:`as_dict` gave.

        Raises:
            ValueError: It has another number of bins.
        """
        return cls(
            threshold=float(kept["threshold"]),
            predicted=_per_bin(kept["predicted"], (2,)),
            brier_squares=int(kept["brier_squares"]),
            log_loss_squares=int(kept["log_loss_squares"]),
            **{
                name: _per_bin(kept[name], (2, BINS))
                for name in ("counts", "scores", "brier", "log_loss")
            },
        )


def _per_bin(values: Any, shape: tuple[int, ...]) -> Integers:
    found = np.array(values, dtype=np.int64)
    if found.shape != shape:
        raise ValueError(f"counts and sums must have the shape {shape}, not {found.shape}")
    return found


def classification_of(
    labels: Floats, probabilities: Floats, *, threshold: float = THRESHOLD
) -> Classification:
    """Return the statistics of labelled rows; an entity's first row of a window alone should count.

    Args:
        labels: 0 or 1 for each row.
        probabilities: Probability of label 1.
        threshold: As in :class:`Classification`.

    Raises:
        ValueError: A label or probability is impossible.
    """
    checked_rows(labels, probabilities)
    place = labels.astype(np.intp) * BINS + score_bins(probabilities)
    brier = row_losses("brier", labels, probabilities)
    log_loss = row_losses("log_loss", labels, probabilities)
    shape, size = (2, BINS), 2 * BINS
    return Classification(
        threshold=threshold,
        counts=np.bincount(place, minlength=size).reshape(shape),
        scores=_sums(place, probabilities, size).reshape(shape),
        brier=_sums(place, brier, size).reshape(shape),
        log_loss=_sums(place, log_loss, size).reshape(shape),
        predicted=np.bincount(
            labels[probabilities >= threshold].astype(np.intp), minlength=2
        ).astype(np.int64),
        brier_squares=int(np.rint(brier * brier / UNIT).astype(np.int64).sum()),
        log_loss_squares=int(np.rint(log_loss * log_loss / UNIT).astype(np.int64).sum()),
    )


@dataclass(frozen=True)
class Regression:
    """Labelled predictions of a number, with t = label - centre and e = prediction - label.

    Attributes:
        centre: Near the labels' mean, from the baseline, so that powers stay small.
        cap: Absolute errors count as at most this in ``error_counts``; from the baseline.
        n: Rows.
        error_counts: Rows per bin of |e| clipped to the cap, of ``ERROR_BINS`` equal bins.
        error_sums: Sums of clipped |e| per bin.
        sums: Sums of e, |e|, e2, e4, t, t2, t3, t4, e2t and e2t2.
    """

    centre: float
    cap: float
    n: int
    error_counts: tuple[int, ...]
    error_sums: tuple[float, ...]
    sums: dict[str, float]

    def merge(self, other: Regression) -> Regression:
        """Return both sets of rows together; merge in the order of chunk ids.

        Raises:
            ValueError: Centre or cap differ.
        """
        if (self.centre, self.cap) != (other.centre, other.cap):
            raise ValueError("centre and cap must be those of one baseline")
        return Regression(
            self.centre, self.cap, self.n + other.n,
            tuple(a + b for a, b in zip(self.error_counts, other.error_counts, strict=True)),
            tuple(a + b for a, b in zip(self.error_sums, other.error_sums, strict=True)),
            {name: self.sums[name] + other.sums[name] for name in self.sums},
        )  # fmt: skip

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {field.name: getattr(self, field.name) for field in fields(self)} | {
            "error_counts": list(self.error_counts), "error_sums": list(self.error_sums),
        }  # fmt: skip

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> Self:
        """Return what :meth:`as_dict` gave."""
        return cls(
            **{
                **kept,
                "error_counts": tuple(kept["error_counts"]),
                "error_sums": tuple(kept["error_sums"]),
            }
        )


@dataclass(frozen=True)
class ErrorScale:
    """On what a version's errors are counted, fixed by its held-out rows.

    Attributes:
        centre: Mean of the held-out labels.
        cap: Absolute errors above it count as it.
    """

    centre: float
    cap: float


def error_scale(labels: Floats, predictions: Floats) -> ErrorScale:
    """Return the scale of held-out rows.

    The cap is four times the 95th percentile of the absolute error: about eight standard
    deviations of normal errors, and 64 bins below it are an eighth of one wide. Where nearly all
    errors are 0 it is the largest error, or 1.
    """
    checked_rows(labels, predictions, probabilities=False)
    errors = np.abs(predictions - labels)
    cap = 4 * float(np.quantile(errors, 0.95)) or float(errors.max()) or 1.0
    return ErrorScale(float(labels.mean()), cap)


def regression_of(labels: Floats, predictions: Floats, *, centre: float, cap: float) -> Regression:
    """Return the statistics of labelled rows.

    Raises:
        ValueError: A label or prediction is no finite number, or the cap is not positive.
    """
    checked_rows(labels, predictions, probabilities=False)
    if not 0 < cap < math.inf:
        raise ValueError(f"cap must be positive, not {cap!r}")
    e, t = predictions - labels, labels - centre
    e2, t2 = e * e, t * t
    clipped = np.minimum(np.abs(e), cap)
    bins = np.minimum((clipped / cap * ERROR_BINS).astype(np.intp), ERROR_BINS - 1)
    powers = {
        "e": e, "abs_e": np.abs(e), "e2": e2, "e4": e2 * e2, "t": t, "t2": t2, "t3": t2 * t,
        "t4": t2 * t2, "e2t": e2 * t, "e2t2": e2 * t2,
    }  # fmt: skip
    return Regression(
        centre, cap, labels.size,
        tuple(np.bincount(bins, minlength=ERROR_BINS).tolist()),
        tuple(math.fsum(clipped[bins == place]) for place in range(ERROR_BINS)),
        {name: math.fsum(values) for name, values in powers.items()},
    )  # fmt: skip


def comparable(one: Classification | Regression, other: Classification | Regression) -> None:
    """Raise unless two sets of rows were counted alike.

    Raises:
        ValueError: They are of different kinds of model, or of different threshold, centre or cap.
    """
    if isinstance(one, Classification) and isinstance(other, Classification):
        same = one.threshold == other.threshold
    elif isinstance(one, Regression) and isinstance(other, Regression):
        same = (one.centre, one.cap) == (other.centre, other.cap)
    else:
        raise ValueError("window and baseline must be of one kind of model")
    if not same:
        raise ValueError("threshold, centre and cap of a window are those of its baseline")


def merged(chunks: Iterable[tuple[str, S]]) -> S:
    """Return the sum of chunks in the order of their ids, each once.

    Raises:
        ValueError: There is no chunk, or two have one id.
    """
    ordered = sorted(chunks, key=lambda chunk: chunk[0])
    ids = [chunk_id for chunk_id, _ in ordered]
    if not ids or len(set(ids)) < len(ids):
        raise ValueError("chunks must have ids of their own, and there must be one")
    total = ordered[0][1]
    for _, chunk in ordered[1:]:
        total = total.merge(chunk)
    return total
