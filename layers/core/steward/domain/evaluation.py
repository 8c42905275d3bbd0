"""What one version is worth on held-out rows: metrics with intervals, by slice, calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steward.domain.evaluation_results import (
    METRICS,
    CalibrationPoint,
    Evaluation,
    MetricEstimate,
    SliceEvaluation,
    Task,
    interval_of,
)
from steward.domain.losses import checked_rows, row_losses
from steward.domain.regression_evaluation import estimate_regression, residual_points
from steward.domain.resampling import codes_of
from steward.domain.time_blocks import Days, days_of, ordinals_of, replicated

Floats = NDArray[np.float64]

_Z_95 = 1.959963984540054


def evaluate(
    entities: Sequence[str],
    labels: Floats,
    probabilities: Floats,
    *,
    slices: Mapping[str, Sequence[str]],
    confidence: float,
    bootstrap_samples: int,
    seed: int,
    slice_minimum_rows: int,
    task: Task = "binary",
    asked_on: Sequence[date] | None = None,
    lead_days: int = 1,
) -> Evaluation:
    """Evaluate predictions; the order of rows does not matter.

    Args:
        entities: Entity id of each row; rows of one entity are resampled together.
        labels: 0 or 1 for each row, or the number that a regression predicts.
        probabilities: Probability of label 1 for each row, or the prediction of a regression.
        slices: For each slice column the slice of each row.
        confidence: Two-sided level of the intervals, in (0, 1).
        bootstrap_samples: Replicates for each interval.
        seed: Seed of the bootstrap.
        slice_minimum_rows: Slices of fewer rows are marked as not judged.
        task: What is predicted.
        asked_on: Of a split by time the day on which each row was asked for: rows share it.
        lead_days: Of a split by time the days until what a row asks for is known.

    Raises:
        ValueError: Lengths differ, or a label or probability is impossible.
    """
    binary = task == "binary"
    checked_rows(labels, probabilities, probabilities=binary)
    times = () if asked_on is None else (("asked_on", asked_on),)
    for name, column in (("entities", entities), *times, *slices.items()):
        if len(column) != labels.size:
            raise ValueError(f"{name} has {len(column)} rows, labels have {labels.size}")
    order = canonical_order(entities, probabilities, labels)
    codes = codes_of([entities[row] for row in order])
    labels, probabilities = labels[order], probabilities[order]
    asked = None if asked_on is None else ordinals_of(asked_on)[order]

    def estimates(rows: NDArray[np.intp]) -> list[MetricEstimate]:
        estimate = estimate_metrics if binary else estimate_regression
        return estimate(
            labels[rows], probabilities[rows], codes[rows],
            None if asked is None else days_of(asked[rows], lead_days),
            confidence=confidence, samples=bootstrap_samples, seed=seed,
        )  # fmt: skip

    by_slice = []
    for column_name, column in slices.items():
        values = np.asarray(column, dtype=np.str_)[order]
        for value in sorted(set(column)):
            rows = np.flatnonzero(values == value)
            by_slice.append(
                SliceEvaluation(
                    column=column_name,
                    value=value,
                    rows=rows.size,
                    positives=int(labels[rows].sum()) if binary else None,
                    judged=rows.size >= slice_minimum_rows,
                    metrics=estimates(rows),
                )
            )
    return Evaluation(
        task=task,
        rows=labels.size,
        entities=int(codes.max()) + 1,
        positives=int(labels.sum()) if binary else None,
        confidence=confidence,
        bootstrap_samples=bootstrap_samples,
        seed=seed,
        metrics=estimates(np.arange(labels.size)),
        slices=by_slice,
        calibration=calibration_points(labels, probabilities) if binary else [],
        residuals=[] if binary else residual_points(labels, probabilities),
    )


def canonical_order(entities: Sequence[str], *values: NDArray[Any]) -> NDArray[np.intp]:
    """Return the row order by entity id, then by the given values, so that no result
    depends on the order in which rows arrived."""
    order: NDArray[np.intp] = np.lexsort((*reversed(values), np.asarray(entities, dtype=np.str_)))
    return order


def estimate_metrics(
    labels: Floats,
    probabilities: Floats,
    codes: NDArray[np.intp],
    days: Days | None = None,
    *,
    confidence: float,
    samples: int,
    seed: int,
) -> list[MetricEstimate]:
    """Return all metrics with percentile bootstrap intervals.

    - ``brier``, ``log_loss``: mean row loss (:func:`steward.domain.losses.row_losses`).
    - ``accuracy``: 1 - mean zero-one loss.
    - ``roc_auc``: P(p+ > p-) + P(p+ = p-)/2 for a random positive and a random negative row,
      that is the Mann-Whitney U over the number of pairs. J. A. Hanley and B. J. McNeil,
      Radiology 143 (1982). Undefined when one label is absent.

    With ``days`` the intervals are those of rows that share their days
    (:class:`steward.domain.time_blocks.Replicates`); else the
    interval holds the (1-c)/2 and (1+c)/2 quantiles of the replicates (Efron 1979);
    replicates without one of the labels do not count for ``roc_auc``.
    """
    order = np.argsort(probabilities, kind="stable")
    labels, probabilities = labels[order], probabilities[order]
    codes = np.unique(codes[order], return_inverse=True)[1]
    days = None if days is None else Days(days.codes[order], days.block)
    losses = np.column_stack(
        [row_losses(loss, labels, probabilities) for loss in ("brier", "log_loss", "zero_one")]
    )
    ties = np.flatnonzero(np.r_[True, np.diff(probabilities) > 0])

    def measure(weights: Floats) -> Floats:
        measured = np.empty((weights.shape[0], len(METRICS)))
        measured[:, :3] = weights @ losses / weights.sum(axis=1, keepdims=True)
        measured[:, 2] = 1 - measured[:, 2]
        measured[:, 3] = _weighted_auc(labels, ties, weights)
        return measured

    values = measure(np.ones((1, labels.size)))[0]
    drawn = replicated(measure, codes, days, samples=samples, seed=seed)
    only = "positive" if labels[0] == 1 else "negative"
    why = f"all {labels.size} rows are {only}"
    return [
        interval_of(
            metric, values[column], drawn.interval(column, values[column], confidence), why,
            drawn.too_few,
        )
        for column, metric in enumerate(METRICS)
    ]  # fmt: skip


def calibration_points(
    labels: Floats, probabilities: Floats, *, points: int = 10
) -> list[CalibrationPoint]:
    """Return mean prediction and observed rate in bins of about equally many rows.

    Bins end at quantiles of the prediction and equal predictions share a bin, so there may be
    fewer than ``points``; each aims at ten rows or more. The limits are E. B. Wilson's score
    interval, JASA 22 (1927): (q + z^2/2n ± z sqrt(q(1-q)/n + z^2/4n^2)) / (1 + z^2/n).
    """
    bins = int(np.clip(labels.size // 10, 1, points))
    edges = np.unique(np.quantile(probabilities, np.arange(1, bins) / bins))
    index = np.searchsorted(edges, probabilities, side="left")
    found = []
    for bin_ in np.unique(index):
        members = index == bin_
        n = int(members.sum())
        rate = float(labels[members].mean())
        centre = (rate + _Z_95**2 / (2 * n)) / (1 + _Z_95**2 / n)
        half = _Z_95 * np.sqrt(rate * (1 - rate) / n + _Z_95**2 / (4 * n**2)) / (1 + _Z_95**2 / n)
        found.append(
            CalibrationPoint(
                rows=n,
                mean_predicted=float(probabilities[members].mean()),
                observed_rate=rate,
                lower=max(0.0, float(centre - half)),
                upper=min(1.0, float(centre + half)),
            )
        )
    return found


def _weighted_auc(labels: Floats, ties: NDArray[np.intp], weights: Floats) -> Floats:
    """Return the AUC of each replicate; rows ascend by prediction, ``ties`` start its groups."""
    positive = weights * labels
    negative = weights - positive
    if ties.size < labels.size:
        positive = np.add.reduceat(positive, ties, axis=1)
        negative = np.add.reduceat(negative, ties, axis=1)
    below = np.cumsum(negative, axis=1)
    pairs = positive.sum(axis=1) * below[:, -1]
    below -= negative / 2
    wins = np.einsum("ij,ij->i", positive, below)
    areas = np.full(wins.size, np.nan)
    np.divide(wins, pairs, out=areas, where=pairs > 0)
    return areas
