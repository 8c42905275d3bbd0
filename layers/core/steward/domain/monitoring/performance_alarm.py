"""The alarm over time: has the mean loss been above its bound since some look of the past?

A cumulative mean is blind to a late change, and a test at each look alarms surely. This is an
e-detector (J. Shin, A. Ramdas and A. Rinaldo, "E-detectors: a nonparametric framework for
sequential change detection", New England Journal of Statistics in Data Science 2 (2024)) of
Shiryaev-Roberts form. For a bounded loss z >= 0 and the bound b, the factor 1 - c + c z / b has a
mean of at most 1 for every fraction 0 < c < 1 while the mean loss is at most b. The fortune of a
bet c that is begun anew at each look with 1 / H,

    R_t = (R_{t-1} + 1 / H) * product over the rows of look t of (1 - c + c z / b),

mixed over a fixed grid of c, makes R_t + (H - t) / H a supermartingale that begins at 1, while
the mean loss is at most b in each look. By Ville's inequality, and by optional stopping,

    P(R >= 1 / alpha in any of the first H looks) <= alpha,  average run length >= H / alpha looks.

The bound is the upper limit of the baseline's mean loss at an error of its own, plus the margin:
the baseline's uncertainty is spent once, not at each look. The two errors sum to ``alpha``.
Rows enter in the look in which their time for labels is over, each once; no order within a look.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Self, cast

import numpy as np
from numpy.typing import NDArray

from steward.domain.distributions import beta_ppf, norm_ppf
from steward.domain.monitoring.metric_estimates import measured
from steward.domain.monitoring.metric_gains import FURTHER, FurtherMetric, gains_of
from steward.domain.monitoring.performance_statistics import (
    ERROR_BINS,
    LOG_LOSS_MOST,
    SCORE_EDGES,
    UNIT,
    Classification,
    Regression,
)

Floats = NDArray[np.float64]
BoundedLoss = Literal["zero_one", "brier", "log_loss", "absolute_error"]
Told = BoundedLoss | FurtherMetric

MINIMUM_BASELINE = 100
"""Held-out rows below which no bound is drawn."""

FRACTIONS: Floats = np.geomspace(0.003, 0.9, 24).astype(np.float64)
"""The bets. The more a loss exceeds the bound, the larger the best one."""


@dataclass(frozen=True)
class AlarmPlan:
    """What is fixed before the first look.

    Attributes:
        loss: The mean of it is watched; of a metric such as recall, 1 less the metric.
        bound: What that may be with nothing wrong.
        horizon: Looks in which a false alarm has at most the probability ``alpha``.
        alpha: Of a false alarm in the horizon, the baseline's error included.
        baseline_alpha: The part of it that the baseline's limit takes.
    """

    loss: Told
    bound: float
    horizon: int
    alpha: float
    baseline_alpha: float

    @property
    def run_length(self) -> float:
        """Looks that pass on average before a false alarm, at least, if the bound holds."""
        return self.horizon / (self.alpha - self.baseline_alpha)


@dataclass(frozen=True)
class AlarmState:
    """What is carried from look to look.

    Attributes:
        looks: Looks so far, with and without rows.
        log_fortunes: log R of each bet; empty before the first look.
        since: The look at which the alarm was raised; None while there is none.
    """

    looks: int = 0
    log_fortunes: tuple[float, ...] = ()
    since: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> Self:
        """Return what :meth:`as_dict` gave."""
        return cls(**{**kept, "log_fortunes": tuple(kept["log_fortunes"])})


def alarm_plan(
    loss: Told,
    baseline: Classification | Regression,
    *,
    margin: float,
    horizon: int = 336,
    alpha: float = 0.05,
) -> AlarmPlan:
    """Return the plan of an alarm against a baseline of held-out rows.

    A fifth of alpha goes to the baseline's limit: of a proportion that of C. Clopper and E.
    Pearson, Biometrika 26 (1934), exact; of another mean the normal one, asymptotic.

    Args:
        loss: ``zero_one`` (accuracy), ``brier``, ``log_loss``; ``absolute_error`` of numbers,
            clipped to the baseline's cap; or ``precision``, ``recall``, ``f1``, ``roc_auc``.
        baseline: Statistics of held-out rows.
        margin: How much mean loss, or how much of the metric, may be lost.
        horizon: Looks, such as 336 hours.
        alpha: Probability of a false alarm in them.

    Raises:
        ValueError: Too few rows, or a loss that these rows do not have, or a margin below 0.
    """
    if baseline.n < MINIMUM_BASELINE:
        raise ValueError(
            f"a bound needs {MINIMUM_BASELINE} held-out rows, the baseline has {baseline.n}"
        )
    if loss in FURTHER and not isinstance(baseline, Classification):
        raise ValueError(f"{loss!r} is no metric of numbers")
    if margin < 0 or not 0 < alpha < 1 or horizon < 1:
        raise ValueError("margin must not be negative, alpha in (0, 1), horizon at least 1")
    baseline_alpha = alpha / 5
    bound = _upper_limit(loss, baseline, baseline_alpha) + margin
    if not bound > 0:
        raise ValueError("held-out rows have no error: declare a margin in the metric's unit")
    if not bound < _most(loss, baseline):
        raise ValueError(f"no loss can exceed the bound {bound:g}")
    return AlarmPlan(loss, bound, horizon, alpha, baseline_alpha)


def _most(loss: Told, rows: Classification | Regression) -> float:
    if isinstance(rows, Regression):
        return rows.cap
    return LOG_LOSS_MOST if loss == "log_loss" else 1.0


def _upper_limit(loss: Told, rows: Classification | Regression, alpha: float) -> float:
    if isinstance(rows, Regression):
        values, counts = losses_of("absolute_error", rows)
        mean = float(counts @ values) / rows.n
        variance = max(0.0, float(counts @ values**2) / rows.n - mean**2) / rows.n
        return mean + norm_ppf(1 - alpha) * math.sqrt(variance)
    if loss == "zero_one":
        _, fp, fn, _ = rows.confusion
        wrong = fp + fn
        return 1.0 if wrong == rows.n else beta_ppf(1 - alpha, wrong + 1, rows.n - wrong)
    if loss in ("precision", "recall"):
        tp, fp, fn, _ = rows.confusion
        wrong = fn if loss == "recall" else fp
        return 1.0 if not tp else beta_ppf(1 - alpha, wrong + 1, tp)
    if loss in ("f1", "roc_auc"):
        found = measured(rows, loss)
        if found.undefined_because is not None:
            raise ValueError(f"{loss}: {found.undefined_because}")
        return 1 - found.centre + norm_ppf(1 - alpha) * math.sqrt(found.variance)
    if loss not in ("brier", "log_loss"):
        raise ValueError(f"{loss!r} is no loss of probabilities")
    found = measured(rows, loss)
    return found.centre + norm_ppf(1 - alpha) * math.sqrt(found.variance)


def losses_of(loss: BoundedLoss, rows: Classification | Regression) -> tuple[Floats, Floats]:
    """Return values of a loss with their counts, which are no whole numbers.

    Rows of a bin are put at its two ends so that their sum stays as it is. As the logarithm of a
    fortune is concave in the loss, that never makes a fortune larger.

    Raises:
        ValueError: These rows have no such loss.
    """
    if isinstance(rows, Regression):
        if loss != "absolute_error":
            raise ValueError(f"{loss!r} is no loss of numbers")
        ends: Floats = np.linspace(0, rows.cap, ERROR_BINS + 1).astype(np.float64)
        counts = np.array(rows.error_counts, dtype=np.float64)
        return _at_the_ends(ends[:-1], ends[1:], counts, np.array(rows.error_sums))
    if loss == "zero_one":
        _, fp, fn, _ = rows.confusion
        return np.array([0.0, 1.0]), np.array([rows.n - fp - fn, fp + fn], dtype=np.float64)
    if loss not in ("brier", "log_loss"):
        raise ValueError(f"{loss!r} is no loss of probabilities")
    edges = np.concatenate([[0.0], SCORE_EDGES, [1.0]])
    chance = np.stack([1 - edges, edges])  # of the label, at each edge
    clip = math.exp(-LOG_LOSS_MOST)
    at_edges = (1 - chance) ** 2 if loss == "brier" else -np.log(np.clip(chance, clip, 1 - clip))
    low = np.minimum(at_edges[:, 1:], at_edges[:, :-1]).ravel()
    high = np.maximum(at_edges[:, 1:], at_edges[:, :-1]).ravel()
    sums = getattr(rows, loss).ravel() * UNIT
    return _at_the_ends(low, high, rows.counts.ravel().astype(np.float64), sums)


def _at_the_ends(low: Floats, high: Floats, counts: Floats, sums: Floats) -> tuple[Floats, Floats]:
    filled = counts > 0
    low, high, counts, sums = low[filled], high[filled], counts[filled], sums[filled]
    width = high - low
    share = np.divide(sums / counts - low, width, out=np.zeros_like(low), where=width > 0)
    upper = counts * np.clip(share, 0, 1)
    return np.concatenate([low, high]), np.concatenate([counts - upper, upper])


def look(
    state: AlarmState, plan: AlarmPlan, rows: Classification | Regression | None
) -> AlarmState:
    """Return the state after one look; ``rows`` are those whose time for labels has ended.

    A look without rows is a look: it uses up horizon and proves nothing.
    """
    fortunes = np.array(state.log_fortunes or np.full(FRACTIONS.size, -np.inf))
    fortunes = np.logaddexp(fortunes, -math.log(plan.horizon))
    if rows is not None and rows.n:
        fortunes = fortunes + _growth(plan, rows, state.looks)
    after = AlarmState(state.looks + 1, tuple(fortunes.tolist()), state.since)
    alarmed = evidence(after, plan) >= 0
    since = (state.since or after.looks) if alarmed else None
    return replace(after, since=since)


def _growth(plan: AlarmPlan, rows: Classification | Regression, look: int) -> Floats:
    """Return the logarithm of what one look makes of each bet."""
    if plan.loss not in FURTHER:
        values, counts = losses_of(cast("BoundedLoss", plan.loss), rows)
        return np.asarray(np.log1p(FRACTIONS[:, None] * (values / plan.bound - 1)) @ counts)
    if not isinstance(rows, Classification):
        raise ValueError(f"{plan.loss!r} is no metric of numbers")
    ways = [
        np.log1p(FRACTIONS[:, None] * gains) @ counts
        for gains, counts in gains_of(plan.loss, rows, plan.bound, look)
    ]
    if not ways:
        return np.zeros(FRACTIONS.size)
    return np.asarray(np.logaddexp.reduce(np.stack(ways), axis=0) - math.log(len(ways)))


def evidence(state: AlarmState, plan: AlarmPlan) -> float:
    """Return log R less its threshold: at 0 or above there is an alarm."""
    if not state.log_fortunes:
        return -math.inf
    fortunes = np.array(state.log_fortunes)
    top = float(fortunes.max())
    mixed = top + math.log(float(np.exp(fortunes - top).mean()))
    return mixed + math.log(plan.alpha - plan.baseline_alpha)
