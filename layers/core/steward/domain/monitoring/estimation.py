"""Performance estimated without labels, and corrected by the labels that are there.

CBPE (confidence-based performance estimation; J. Bialek, W. Kuberski, N. Perrakis and A. Bifet,
"Estimating model performance under covariate shift without labels", 2024) takes the calibrated
probability of each prediction for the chance that its label is 1, and so expects a confusion
matrix. What it can and cannot is in ``LIMITS``, which every estimate carries.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from steward.domain.distributions import norm_ppf
from steward.domain.losses import LOG_LOSS_CLIP
from steward.domain.monitoring.calibration import recalibration, unfit
from steward.domain.monitoring.metric_estimates import CLASSIFICATION_METRICS, Metric
from steward.domain.monitoring.performance_statistics import (
    UNIT,
    Classification,
    Scores,
)

Floats = NDArray[np.float64]
CalibratorKind = Literal["platt", "isotonic"]

LIMITS = (
    "Valid only while labels depend on features as in the held-out rows (covariate shift).",
    "Blind to concept drift: it cannot see that the same features have come to mean another label.",
    "Rewards over-confidence that the held-out rows did not show.",
    "An estimate: it enters no gate and no guardrail.",
)
ISOTONIC_FROM = 1_000
"""Held-out rows from which the calibrator is isotonic; Platt's, of two parameters, needs less."""
MINIMUM_PREDICTIONS = 30
UNSUPPORTED_MOST = 0.05
"""Share of predictions outside the held-out range of probabilities above which nothing is said."""


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class EstimatedMetric(_Frozen):
    """What a metric is expected to be once the labels are there.

    Attributes:
        verdict: ``estimated`` or ``inconclusive``; never that a model is good or bad.
        value: None where it is inconclusive.
        lower: Lower limit of what the labels will show, if ``limits`` hold.
        upper: Upper limit: sampling of the window, its labels and of the calibrator's rows.
        calibrator: How probabilities were calibrated on held-out rows.
        n: Predictions.
        unsupported: Share of them outside the held-out range.
        in_gates: Never.
    """

    metric: Metric
    verdict: Literal["estimated", "inconclusive"]
    value: float | None = None
    lower: float | None = None
    upper: float | None = None
    confidence: float
    calibrator: CalibratorKind | None = None
    n: int
    needs: int | None = None
    reason: str | None = None
    unsupported: float = 0.0
    limits: tuple[str, ...] = LIMITS
    in_gates: Literal[False] = False


def isotonic(values: Floats, weights: Floats) -> Floats:
    """Return the non-decreasing sequence nearest to the values, by pooling adjacent violators.

    M. Ayer et al., Annals of Mathematical Statistics 26 (1955).
    """
    means: list[float] = []
    sizes: list[float] = []
    lengths: list[int] = []
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        means.append(value)
        sizes.append(weight)
        lengths.append(1)
        while len(means) > 1 and means[-2] >= means[-1]:
            size = sizes[-2] + sizes[-1]
            means[-2:] = [(means[-2] * sizes[-2] + means[-1] * sizes[-1]) / size]
            sizes[-2:] = [size]
            lengths[-2:] = [lengths[-2] + lengths[-1]]
    return np.repeat(means, lengths).astype(np.float64)


def calibrated(kind: CalibratorKind, means: Floats, counts: Floats, positives: Floats) -> Floats:
    """Return the calibrated probability of each bin, from held-out rows in the same bins."""
    filled = counts > 0
    if kind == "platt":
        fit = recalibration(means[filled], counts[filled], positives[filled], ridge=1e-3)
        return fit.probability(means)
    steps = isotonic(positives[filled] / counts[filled], counts[filled])
    return np.interp(means, means[filled], steps)


@dataclass(frozen=True)
class _Window:
    """Predictions by bin with the chance of label 1, and which bins predict 1."""

    counts: Floats
    means: Floats
    predicted: NDArray[np.bool_]


def estimated(
    window: Scores,
    held_out: Classification,
    metrics: tuple[Metric, ...] = CLASSIFICATION_METRICS,
    *,
    confidence: float = 0.95,
    replicates: int = 200,
    seed: int = 0,
) -> list[EstimatedMetric]:
    """Estimate the metrics of predictions without labels.

    The interval is normal, with the deviation of replicates in which held-out rows are drawn
    again, the calibrator is fitted again, and predictions and labels are drawn from it.

    Args:
        window: Predictions.
        held_out: Labelled rows that trained nothing.
        metrics: What to estimate.
        confidence: Two-sided.
        replicates: Of the bootstrap.
        seed: Of its draws.

    Raises:
        ValueError: A metric is none of a class with its probability.
    """
    unknown = sorted(set(metrics) - set(CLASSIFICATION_METRICS))
    if unknown:
        raise ValueError(f"CBPE estimates {', '.join(CLASSIFICATION_METRICS)}, not {unknown[0]!r}")
    blank = [
        EstimatedMetric(metric=m, verdict="inconclusive", confidence=confidence, n=window.n)
        for m in metrics
    ]
    reason, needs, unsupported = _refusal(window, held_out)
    if reason is not None:
        update = {"reason": reason, "needs": needs, "unsupported": unsupported}
        return [metric.model_copy(update=update) for metric in blank]
    kind: CalibratorKind = "isotonic" if held_out.n >= ISOTONIC_FROM else "platt"
    base = held_out.predictions
    at = _Window(window.counts.astype(np.float64), window.means, window.means >= held_out.threshold)
    chances = calibrated(
        kind, base.means, base.counts.astype(float), held_out.counts[1].astype(float)
    )
    chances = np.interp(at.means, base.means, chances)
    draws = _replicates(kind, at, held_out, metrics, replicates, seed)
    z = norm_ppf(0.5 + confidence / 2)
    found = []
    for metric, drawn in zip(blank, draws.T, strict=True):
        value = _EXPECTED[metric.metric](at, at.counts * chances)
        defined = drawn[np.isfinite(drawn)]
        if not math.isfinite(value) or defined.size < replicates / 2:
            found.append(
                metric.model_copy(update={"reason": "its denominator is expected to be 0"})
            )
            continue
        half = z * float(defined.std())
        most = math.inf if metric.metric == "log_loss" else 1.0
        update = {
            "verdict": "estimated", "value": value, "lower": max(0.0, value - half),
            "upper": min(most, value + half), "calibrator": kind, "unsupported": unsupported,
        }  # fmt: skip
        found.append(metric.model_copy(update=update))
    return found


def _refusal(window: Scores, held_out: Classification) -> tuple[str | None, int | None, float]:
    lacking = unfit(held_out, "calibrator")
    if lacking is not None:
        return lacking[0], None, 0.0
    if window.n < MINIMUM_PREDICTIONS:
        text = f"the window has {window.n} predictions, {MINIMUM_PREDICTIONS} are needed"
        return text, MINIMUM_PREDICTIONS, 0.0
    known = np.flatnonzero(held_out.predictions.counts)
    outside = int(window.counts[: known[0]].sum() + window.counts[known[-1] + 1 :].sum())
    share = outside / window.n
    if share > UNSUPPORTED_MOST:
        text = f"{share:.0%} of the predictions lie outside the held-out range of probabilities"
        return text, None, share
    return None, None, share


def _replicates(
    kind: CalibratorKind,
    window: _Window,
    held_out: Classification,
    metrics: tuple[Metric, ...],
    replicates: int,
    seed: int,
) -> Floats:
    generator = np.random.default_rng(seed)
    base = held_out.predictions.means
    cells = held_out.counts.ravel() / held_out.n
    rows = int(window.counts.sum())
    shares = window.counts / rows
    found = np.full((replicates, len(metrics)), np.nan)
    for place in range(replicates):
        drawn = generator.multinomial(held_out.n, cells).reshape(held_out.counts.shape)
        counts = drawn.sum(axis=0).astype(np.float64)
        chances = calibrated(kind, base, counts, drawn[1].astype(np.float64))
        again = generator.multinomial(rows, shares)
        at = _Window(again.astype(np.float64), window.means, window.predicted)
        chances = np.clip(np.interp(window.means, base, chances), 0, 1)
        positives = generator.binomial(again, chances).astype(np.float64)
        found[place] = [_EXPECTED[metric](at, positives) for metric in metrics]
    return found


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator > 0 else math.nan


def _accuracy(at: _Window, positives: Floats) -> float:
    right = np.where(at.predicted, positives, at.counts - positives)
    return float(right.sum() / at.counts.sum())


def _precision(at: _Window, positives: Floats) -> float:
    return _ratio(float(positives[at.predicted].sum()), float(at.counts[at.predicted].sum()))


def _recall(at: _Window, positives: Floats) -> float:
    return _ratio(float(positives[at.predicted].sum()), float(positives.sum()))


def _f1(at: _Window, positives: Floats) -> float:
    hits = float(positives[at.predicted].sum())
    return _ratio(2 * hits, float(at.counts[at.predicted].sum() + positives.sum()))


def _brier(at: _Window, positives: Floats) -> float:
    losses = positives * (1 - at.means) ** 2 + (at.counts - positives) * at.means**2
    return float(losses.sum() / at.counts.sum())


def _log_loss(at: _Window, positives: Floats) -> float:
    p = np.clip(at.means, LOG_LOSS_CLIP, 1 - LOG_LOSS_CLIP)
    losses = -positives * np.log(p) - (at.counts - positives) * np.log(1 - p)
    return float(losses.sum() / at.counts.sum())


def _roc_auc(at: _Window, positives: Floats) -> float:
    negatives = at.counts - positives
    wins = float(positives @ (np.cumsum(negatives) - negatives / 2))
    return _ratio(wins, float(positives.sum() * negatives.sum()))


_EXPECTED: Mapping[str, Callable[[_Window, Floats], float]] = {
    "accuracy": _accuracy, "brier": _brier, "log_loss": _log_loss, "precision": _precision,
    "recall": _recall, "f1": _f1, "roc_auc": _roc_auc,
}  # fmt: skip


class CorrectedMean(_Frozen):
    """A mean that estimates and the labels that are there give together.

    Attributes:
        value: The corrected mean.
        error: Its standard error.
        lower: Two-sided limit.
        upper: Two-sided limit.
        weight: How much the estimates count, 0 (not at all) to 1.
        labels_alone: The mean of the labels, which ``value`` is for a weight of 0.
        labels_alone_error: Its standard error.
    """

    value: float
    error: float
    lower: float
    upper: float
    weight: float
    labels_alone: float
    labels_alone_error: float
    labelled: int
    unlabelled: int
    confidence: float


def corrected(
    metric: Literal["accuracy", "brier", "log_loss"],
    labelled: Classification,
    unlabelled: Scores,
    held_out: Classification,
    *,
    confidence: float = 0.95,
) -> CorrectedMean:
    """Correct an estimated mean loss by labels, whatever the estimates are worth.

    Prediction-powered inference (A. Angelopoulos et al., Science 382 (2023)) with the tuned weight
    of PPI++ (A. Angelopoulos, J. Duchi and T. Zrnic, 2023): with estimates m and losses y,

        value = mean y + w (mean of m over unlabelled - mean of m over labelled),

    w = cov(y, m) / ((1 + n / N) var m) within [0, 1]. It holds under concept drift too, if which
    rows have labels does not depend on the labels.

    Args:
        metric: A mean over rows.
        labelled: Rows of the window with labels.
        unlabelled: Its other predictions.
        held_out: What the estimates are made from.
        confidence: Two-sided.

    Raises:
        ValueError: There are too few labels or held-out rows.
    """
    lacking = unfit(held_out, "calibrator")
    if lacking is not None or labelled.n < MINIMUM_PREDICTIONS:
        raise ValueError(
            lacking[0] if lacking is not None
            else f"the window has {labelled.n} labels, {MINIMUM_PREDICTIONS} are needed"
        )  # fmt: skip
    estimate = _expected_losses(metric, held_out)
    sums, squares = _losses(metric, labelled)
    n, size = labelled.n, unlabelled.n
    counts = labelled.predictions.counts
    mean_y, mean_m = float(sums.sum()) / n, float(counts @ estimate) / n
    var_y = squares / n - mean_y**2
    var_m = float(counts @ estimate**2) / n - mean_m**2
    both = float(sums @ estimate) / n - mean_y * mean_m
    weight = 0.0
    mean_there = var_there = 0.0
    if size and var_m > 0:
        weight = min(1.0, max(0.0, both / ((1 + n / size) * var_m)))
        mean_there = float(unlabelled.counts @ estimate) / size
        var_there = float(unlabelled.counts @ estimate**2) / size - mean_there**2
    value = mean_y + weight * (mean_there - mean_m) if weight else mean_y
    variance = (var_y - 2 * weight * both + weight**2 * var_m) / n
    variance += weight**2 * var_there / size if size else 0.0
    error = math.sqrt(max(0.0, variance))
    z = norm_ppf(0.5 + confidence / 2)
    return CorrectedMean(
        value=value, error=error, lower=value - z * error, upper=value + z * error, weight=weight,
        labels_alone=mean_y, labels_alone_error=math.sqrt(max(0.0, var_y) / n), labelled=n,
        unlabelled=size, confidence=confidence,
    )  # fmt: skip


def _expected_losses(metric: str, held_out: Classification) -> Floats:
    """Return per bin the expected value of the metric for one row."""
    base = held_out.predictions
    kind: CalibratorKind = "isotonic" if held_out.n >= ISOTONIC_FROM else "platt"
    chances = calibrated(
        kind, base.means, base.counts.astype(float), held_out.counts[1].astype(float)
    )
    ones = _Window(np.ones(1), np.ones(1), np.ones(1, dtype=bool))
    found = np.empty(base.means.size)
    for place, (mean, chance) in enumerate(zip(base.means, chances, strict=True)):
        at = _Window(ones.counts, np.array([mean]), np.array([mean >= held_out.threshold]))
        found[place] = _EXPECTED[metric](at, np.array([chance]))
    return found


def _losses(metric: str, rows: Classification) -> tuple[Floats, float]:
    """Return the sums of realised losses per bin, and the sum of their squares."""
    if metric == "accuracy":
        predicted = rows.predictions.means >= rows.threshold
        right = np.where(predicted, rows.counts[1], rows.counts[0]).astype(np.float64)
        return right, float(right.sum())
    sums = getattr(rows, metric).sum(axis=0) * UNIT
    return sums, getattr(rows, f"{metric}_squares") * UNIT
