"""Whether predicted probabilities still mean what they say, from binned statistics."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from steward.domain.distributions import chi2_sf, norm_ppf
from steward.domain.monitoring.performance_statistics import SCORE_EDGES, UNIT, Classification

Floats = NDArray[np.float64]
Verdict = Literal["drifted", "held", "inconclusive"]

MINIMUM_ROWS = 100
MINIMUM_OF_EITHER = 10
_TENTH = np.searchsorted(np.arange(1, 10) / 10, np.concatenate([[0.0], SCORE_EDGES]), side="right")
"""The tenth of [0, 1] in which each bin lies; all tenths are edges of bins."""
_LOGIT_MOST = 13.8


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class Calibration(_Frozen):
    """Calibration of one set of labelled rows.

    Attributes:
        n: Rows.
        ece: Expected calibration error over ten bins of equal width: mean of |mean p - rate|.
        ece_by_chance: What a calibrated model of as many rows shows on average.
        reliability: Of A. Murphy, J. Applied Meteorology 12 (1973), over the same bins.
        resolution: Of the same; more is better.
        uncertainty: Rate times one less the rate.
        within: Brier score less (reliability - resolution + uncertainty): what varies in a bin.
        in_the_large: Observed rate less mean probability.
        in_the_large_error: Its standard error if the model is calibrated.
        intercept: Of labels on the logit of p, logistic (D. Cox, Biometrika 45 (1958)); 0 is right.
        slope: Of the same; 1 is right, below 1 is over-confident.
        p: Of intercept = 0 and slope = 1 together, Wald, two degrees of freedom.
    """

    n: int
    ece: float
    ece_by_chance: float
    reliability: float
    resolution: float
    uncertainty: float
    within: float
    in_the_large: float
    in_the_large_error: float
    intercept: float
    slope: float
    p: float


class CalibrationDrift(_Frozen):
    """Calibration of a window against that of held-out rows.

    Attributes:
        verdict: ``drifted`` when the recalibrations differ significantly and by the floor or
            more, ``held`` when they are proved to differ by less, else ``inconclusive``.
        p: Equal intercepts and slopes, Wald, two degrees of freedom, both sides uncertain.
        effect: How far the true probabilities of this window's predictions moved, on average.
        upper: One-sided upper limit of the effect.
        reason: Why it is inconclusive.
    """

    verdict: Verdict
    current: Calibration | None
    baseline: Calibration | None
    p: float | None = None
    effect: float | None = None
    upper: float | None = None
    floor: float
    confidence: float
    needs: int | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Recalibration:
    """Logistic regression of labels on the logit of the prediction.

    Attributes:
        coefficients: Intercept and slope.
        covariance: Of the two, from the observed information.
    """

    coefficients: Floats
    covariance: Floats

    def probability(self, predicted: Floats) -> Floats:
        """Return the probabilities that such predictions have."""
        return _sigmoid(self.coefficients[0] + self.coefficients[1] * logit(predicted))


def logit(p: Floats) -> Floats:
    """Return log(p / (1 - p)), kept within +-13.8."""
    clip = math.exp(-_LOGIT_MOST)
    kept = np.clip(p, clip, 1 - clip)
    found: Floats = np.log(kept / (1 - kept))
    return found


def _sigmoid(x: Floats) -> Floats:
    found: Floats = 1 / (1 + np.exp(-np.clip(x, -500, 500)))
    return found


def recalibration(
    predicted: Floats, rows: Floats, positives: Floats, *, ridge: float = 1e-6
) -> Recalibration:
    """Fit intercept and slope to grouped rows by Newton's method.

    Args:
        predicted: Probability of each group.
        rows: Rows of each group, none may be 0.
        positives: Those with label 1.
        ridge: Keeps slopes finite where the labels are separated.
    """
    design = np.column_stack([np.ones_like(predicted), logit(predicted)])
    theta = np.array([0.0, 1.0])
    information = np.eye(2)
    for _ in range(100):
        chance = _sigmoid(design @ theta)
        weights = rows * chance * (1 - chance)
        information = design.T @ (design * weights[:, None]) + ridge * np.eye(2)
        gradient = design.T @ (positives - rows * chance) - ridge * (theta - [0.0, 1.0])
        step = np.linalg.solve(information, gradient)
        theta = theta + np.clip(step, -2, 2)
        if np.abs(step).max() < 1e-10:
            break
    return Recalibration(theta, np.linalg.inv(information).astype(np.float64))


def recalibration_of(rows: Classification) -> Recalibration:
    """Return the recalibration of labelled rows."""
    counts = rows.predictions.counts
    filled = counts > 0
    return recalibration(
        rows.predictions.means[filled],
        counts[filled].astype(np.float64),
        rows.counts[1][filled].astype(np.float64),
    )


def unfit(rows: Classification, name: str) -> tuple[str, int | None] | None:
    """Return why rows are too few for a calibration, with how many are needed; None if they do."""
    if rows.n < MINIMUM_ROWS:
        return f"the {name} has {rows.n} labelled rows, {MINIMUM_ROWS} are needed", MINIMUM_ROWS
    rare = int(rows.counts.sum(axis=1).min())
    if rare < MINIMUM_OF_EITHER:
        needs = math.ceil(rows.n * MINIMUM_OF_EITHER / rare) if rare else None
        return f"the {name} has {rare} rows of one label, {MINIMUM_OF_EITHER} are needed", needs
    return None


def calibration(rows: Classification) -> Calibration:
    """Return the calibration of labelled rows.

    Raises:
        ValueError: There are too few, see :func:`unfit`.
    """
    reason = unfit(rows, "sample")
    if reason is not None:
        raise ValueError(reason[0])
    counts = rows.predictions.counts.astype(np.float64)
    means = rows.predictions.means
    n, rate = rows.n, float(rows.counts[1].sum()) / rows.n
    variances = counts * means * (1 - means)
    rows_in, seen = _by_tenth(counts), _by_tenth(rows.counts[1].astype(np.float64))
    said = _by_tenth(rows.scores.sum(axis=0) * UNIT)
    filled = rows_in > 0
    weight = rows_in[filled] / n
    said, seen = said[filled] / rows_in[filled], seen[filled] / rows_in[filled]
    deviations = np.sqrt(_by_tenth(variances)[filled]) / rows_in[filled]
    reliability = float(weight @ (said - seen) ** 2)
    resolution = float(weight @ (seen - rate) ** 2)
    brier = int(rows.brier.sum()) * UNIT / n
    fit = recalibration_of(rows)
    off = fit.coefficients - [0.0, 1.0]
    return Calibration(
        n=n,
        ece=float(weight @ np.abs(said - seen)),
        ece_by_chance=float(weight @ deviations) * math.sqrt(2 / math.pi),
        reliability=reliability,
        resolution=resolution,
        uncertainty=rate * (1 - rate),
        within=brier - (reliability - resolution + rate * (1 - rate)),
        in_the_large=rate - int(rows.scores.sum()) * UNIT / n,
        in_the_large_error=math.sqrt(float(variances.sum())) / n,
        intercept=float(fit.coefficients[0]),
        slope=float(fit.coefficients[1]),
        p=chi2_sf(float(off @ np.linalg.solve(fit.covariance, off)), 2),
    )


def _by_tenth(values: Floats) -> Floats:
    return np.bincount(_TENTH, weights=values, minlength=10).astype(np.float64)


def calibration_drift(
    current: Classification,
    baseline: Classification,
    *,
    floor: float = 0.02,
    confidence: float = 0.95,
) -> CalibrationDrift:
    """Compare the calibration of a window with that of held-out rows.

    Both sides get an intercept and a slope. With d their difference and V the sum of their
    covariances, d' V^-1 d is chi-square with two degrees of freedom. The effect is the mean of
    |q1(p) - q0(p)| over this window's predictions p, q being what a side's recalibration makes
    of p; its standard error by the delta method.

    Args:
        current: Labelled rows of the window.
        baseline: Held-out rows.
        floor: Effect below which a difference does not matter.
        confidence: Of the test and the limit.
    """
    for name, rows in (("window", current), ("baseline", baseline)):
        reason = unfit(rows, name)
        if reason is not None:
            return CalibrationDrift(
                verdict="inconclusive", current=None, baseline=None, floor=floor,
                confidence=confidence, reason=reason[0],
                needs=reason[1] if rows is current else None,
            )  # fmt: skip
    now, before = recalibration_of(current), recalibration_of(baseline)
    off = now.coefficients - before.coefficients
    p = chi2_sf(float(off @ np.linalg.solve(now.covariance + before.covariance, off)), 2)
    effect, error = _effect(current, now, before)
    upper = effect + norm_ppf(confidence) * error
    verdict: Verdict = "inconclusive"
    if p < 1 - confidence and effect >= floor:
        verdict = "drifted"
    elif upper < floor:
        verdict = "held"
    return CalibrationDrift(
        verdict=verdict, current=calibration(current), baseline=calibration(baseline), p=p,
        effect=effect, upper=upper, floor=floor, confidence=confidence,
        needs=_needed(current.n, error, before.covariance, now.covariance, floor, confidence)
        if verdict == "inconclusive"
        else None,
        reason=None
        if verdict != "inconclusive"
        else "a difference of the floor is neither proved nor ruled out",
    )  # fmt: skip


def _effect(rows: Classification, now: Recalibration, before: Recalibration) -> tuple[float, float]:
    counts, means = rows.predictions.counts, rows.predictions.means
    weights = counts / counts.sum()
    sides = [side.probability(means) for side in (now, before)]
    signs = np.sign(sides[0] - sides[1]) * weights
    design = np.column_stack([np.ones_like(means), logit(means)])
    variance = 0.0
    for side, fit in zip(sides, (now, before), strict=True):
        gradient = (signs * side * (1 - side)) @ design
        variance += float(gradient @ fit.covariance @ gradient)
    return float(weights @ np.abs(sides[0] - sides[1])), math.sqrt(variance)


def _needed(
    n: int, error: float, baseline: Floats, current: Floats, floor: float, confidence: float
) -> int | None:
    """Return the rows at which the limit of no effect lies below the floor, roughly."""
    share = float(np.trace(current) / (np.trace(current) + np.trace(baseline)))
    room = (floor / norm_ppf(confidence)) ** 2 - error**2 * (1 - share)
    return None if room <= 0 else max(n + 1, math.ceil(n * error**2 * share / room))
