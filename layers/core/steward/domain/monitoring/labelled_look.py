"""One look at predictions and the labels that are there: all that is said of them, in one call."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from steward.domain.monitoring.calibration import CalibrationDrift, calibration_drift
from steward.domain.monitoring.estimation import (
    MINIMUM_PREDICTIONS,
    CorrectedMean,
    EstimatedMetric,
    corrected,
    estimated,
)
from steward.domain.monitoring.metric_estimates import (
    CLASSIFICATION_METRICS,
    REGRESSION_METRICS,
    Metric,
    measured,
)
from steward.domain.monitoring.performance import MetricVerdict, judged
from steward.domain.monitoring.performance_alarm import (
    MINIMUM_BASELINE,
    AlarmPlan,
    AlarmState,
    BoundedLoss,
    alarm_plan,
    evidence,
    look,
)
from steward.domain.monitoring.performance_statistics import (
    Classification,
    Regression,
    Scores,
    comparable,
)

LOSSES: Mapping[Metric, BoundedLoss] = {
    "accuracy": "zero_one", "brier": "brier", "log_loss": "log_loss", "mae": "absolute_error",
}  # fmt: skip
"""Metrics that an alarm over time can watch: means of bounded losses."""


@dataclass(frozen=True)
class LookSettings:
    """What is declared.

    Attributes:
        metric: What decides.
        margin: How much worse it may be, in its unit.
        minimum: Labelled rows below which a window is not judged.
        horizon: Looks in which a false alarm has at most the probability ``alpha``.
        alpha: Of the alarm.
        confidence: One-sided, of a window's verdict.
    """

    metric: Metric = "brier"
    margin: float = 0.05
    minimum: int = 30
    horizon: int = 336
    alpha: float = 0.05
    confidence: float = 0.95


@dataclass(frozen=True)
class Seen:
    """What there is to look at.

    Attributes:
        labelled: The window's labelled rows so far.
        unlabelled: Its other predictions; None for a regression.
        matured: Rows, of whatever window, whose time for a label ended since the last look: each
            enters the alarm once.
    """

    labelled: Classification | Regression | None = None
    unlabelled: Scores | None = None
    matured: Classification | Regression | None = None


class DescribedMetric(BaseModel):
    """A metric of the labelled rows that decides nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    metric: Metric
    current: float | None
    baseline: float | None
    n: int
    undefined_because: str | None = None


class LabelledLook(BaseModel):
    """What one look says.

    Attributes:
        state: Of the alarm over time: ``inconclusive`` where none can be kept.
        sentence: For a person: what, how sure, since when.
        verdict: Of the window by the declared metric; None without labels.
        described: All metrics.
        calibration: None without labels, and for a regression.
        estimates: Of the predictions whose labels are missing.
        corrected: The deciding metric over all predictions of the window, estimates corrected by
            labels.
        alarm: Plan and state; give it to the next look of the same version.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    state: Literal["ok", "alarm", "inconclusive"]
    sentence: str
    verdict: MetricVerdict | None = None
    described: tuple[DescribedMetric, ...] = ()
    calibration: CalibrationDrift | None = None
    estimates: tuple[EstimatedMetric, ...] = ()
    corrected: CorrectedMean | None = None
    alarm: dict[str, Any] = Field(default_factory=dict)


def labelled_look(
    seen: Seen,
    baseline: Classification | Regression,
    settings: LookSettings,
    before: Mapping[str, Any] | None = None,
) -> LabelledLook:
    """Judge what has been seen against held-out rows.

    Args:
        seen: Rows and predictions.
        baseline: Statistics of held-out rows of the version that answered.
        settings: What is declared.
        before: ``alarm`` of the look before. If the plan has changed since (another baseline or
            margin), the alarm begins anew.

    Raises:
        ValueError: The metric or rows are not those of the baseline's kind of model.
    """
    for given in (seen.labelled, seen.matured):
        if given is not None:
            comparable(given, baseline)
    verdict = None
    described: tuple[DescribedMetric, ...] = ()
    calibrated = None
    rows = seen.labelled
    if rows is not None and rows.n:
        (verdict,) = judged(
            rows, baseline, {settings.metric: settings.margin}, confidence=settings.confidence,
            minimum=settings.minimum,
        )  # fmt: skip
        described = _described(rows, baseline)
        if isinstance(rows, Classification) and isinstance(baseline, Classification):
            calibrated = calibration_drift(rows, baseline, confidence=settings.confidence)
    estimates, mean = _without_labels(seen, baseline, settings.metric)
    plan, why_not = _plan(baseline, settings)
    plan, state = _carried(plan, before)
    if plan is not None:
        state = look(state, plan, seen.matured)
    return LabelledLook(
        state="inconclusive" if plan is None else "ok" if state.since is None else "alarm",
        sentence=_sentence(plan, why_not, state, verdict, settings),
        verdict=verdict, described=described, calibration=calibrated, estimates=estimates,
        corrected=mean, alarm={} if plan is None else {
            "plan": asdict(plan), "state": state.as_dict(), "run_length": plan.run_length,
            "evidence": evidence(state, plan),
        },
    )  # fmt: skip


def _described(
    rows: Classification | Regression, baseline: Classification | Regression
) -> tuple[DescribedMetric, ...]:
    classes = isinstance(rows, Classification)
    found = []
    for metric in CLASSIFICATION_METRICS if classes else REGRESSION_METRICS:
        now, held_out = measured(rows, metric), measured(baseline, metric)
        found.append(
            DescribedMetric(
                metric=metric, current=now.value, baseline=held_out.value, n=rows.n,
                undefined_because=now.undefined_because,
            )
        )  # fmt: skip
    return tuple(found)


def _without_labels(
    seen: Seen, baseline: Classification | Regression, metric: Metric
) -> tuple[tuple[EstimatedMetric, ...], CorrectedMean | None]:
    if seen.unlabelled is None or not seen.unlabelled.n or not isinstance(baseline, Classification):
        return (), None
    estimates = tuple(estimated(seen.unlabelled, baseline))
    rows = seen.labelled
    if (
        metric not in ("accuracy", "brier", "log_loss")
        or not isinstance(rows, Classification)
        or rows.n < MINIMUM_PREDICTIONS
        or estimates[0].verdict == "inconclusive"
    ):
        return estimates, None
    return estimates, corrected(metric, rows, seen.unlabelled, baseline)


def _plan(
    baseline: Classification | Regression, settings: LookSettings
) -> tuple[AlarmPlan | None, str]:
    loss = LOSSES.get(settings.metric)
    if loss is None:
        names = ", ".join(LOSSES)
        return None, f"{settings.metric} has no alarm over time; {names} have one"
    if baseline.n < MINIMUM_BASELINE:
        return None, (
            f"an alarm over time needs {MINIMUM_BASELINE} held-out rows, there are {baseline.n}"
        )
    plan = alarm_plan(
        loss, baseline, margin=settings.margin, horizon=settings.horizon, alpha=settings.alpha
    )
    return plan, ""


def _carried(
    plan: AlarmPlan | None, before: Mapping[str, Any] | None
) -> tuple[AlarmPlan | None, AlarmState]:
    """Return plan and state to go on with: those of before, unless something else is planned.

    A bound that differs in its last digits is the same: another processor sums in another order.
    """
    if plan is None or not before:
        return plan, AlarmState()
    kept = AlarmPlan(**before["plan"])
    same = replace(kept, bound=plan.bound) == plan and math.isclose(
        kept.bound, plan.bound, rel_tol=1e-9
    )
    return (kept, AlarmState.from_dict(before["state"])) if same else (plan, AlarmState())


def _sentence(
    plan: AlarmPlan | None,
    why_not: str,
    state: AlarmState,
    verdict: MetricVerdict | None,
    settings: LookSettings,
) -> str:
    if plan is None:
        return f"No alarm: {why_not}."
    if state.since is not None:
        ago = state.looks - state.since
        since = "with this look" if ago == 0 else f"{ago} looks ago"
        return (
            f"The mean {plan.loss.replace('_', ' ')} exceeds {plan.bound:.3g}, what held-out rows"
            f" and the margin allow; alarm raised {since}, false in {plan.horizon} looks with"
            f" probability {plan.alpha:g} at most."
        )
    if verdict is None:
        return "No labels yet."
    if verdict.worsening is None or verdict.lower is None or verdict.upper is None:
        return f"Inconclusive: {verdict.reason}."
    return (
        f"{settings.metric} {verdict.current:.3g} on {verdict.n} labelled rows,"
        f" {verdict.baseline:.3g} held out; change for the worse {verdict.worsening:+.3g}"
        f" ({verdict.lower:+.3g} to {verdict.upper:+.3g}), margin {verdict.margin:g}:"
        f" {verdict.verdict}."
    )
