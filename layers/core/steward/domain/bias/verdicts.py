"""What may be concluded from a bias metric: interval against bounds, never a point estimate.

Point estimates fail fair models: disparate impact leaves .8 to 1.25 in 26 % of fair models with
50 rows a group. So a bound is kept only if the whole interval is inside, broken only if the whole
interval is outside, and in between nothing is proved.

Of many bounds a fair model passes only if it keeps all of them, which needs no correction for
their number; one of them alone fails it, so failures are corrected over all facets and metrics.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Literal

from pydantic import BaseModel, ConfigDict

from steward.domain.bias.declaration import MINIMUM_ROWS, BiasBound
from steward.domain.bias.report import BiasMetric
from steward.domain.errors import RejectedError
from steward.domain.p_values import adjusted

__all__ = ["MINIMUM_ROWS", "BiasBound", "BiasVerdict", "corrected", "judge_metric", "together"]

Verdict = Literal["pass", "fail", "inconclusive"]
Correction = Literal["holm", "benjamini_hochberg", "none"]


class BiasVerdict(BaseModel):
    """What one bound concludes, with the sentence for people.

    Attributes:
        p: Two-sided p-value that the metric is outside the bound.
        adjusted: The same after the correction over all facets and metrics.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    metric: str
    verdict: Verdict
    reason: str
    p: float | None = None
    adjusted: float | None = None


def judge_metric(
    metric: BiasMetric, bound: BiasBound, minimum_rows: int = MINIMUM_ROWS
) -> BiasVerdict:
    """Compare an interval with a bound.

    Args:
        metric: With its interval.
        bound: Where it has to lie.
        minimum_rows: Rows of its own denominator, where the bound does not say.

    Raises:
        RejectedError: They are of different metrics.
    """
    if metric.name != bound.metric:
        raise RejectedError(
            "a bound judges its own metric only",
            field="metric", value=metric.name, allowed=bound.metric,
        )  # fmt: skip
    needs = bound.minimum_rows or minimum_rows
    if metric.value is None:
        return _verdict(bound, "inconclusive", f"undefined: {metric.undefined_because}")
    if metric.rows < needs:
        told = f"{metric.rows} rows in the smaller facet, needs {needs}"
        return _verdict(bound, "inconclusive", told)
    if metric.lower is None or metric.upper is None:
        return _verdict(bound, "inconclusive", "too few resamples define an interval")
    interval = f"{metric.value:.4g} ({metric.lower:.4g} to {metric.upper:.4g})"
    low, high = limits(bound)
    allowed = _said(bound)
    if low <= metric.lower and metric.upper <= high:
        verdict, told = "pass", f"{interval} is within {allowed}"
    elif metric.upper < low or metric.lower > high:
        verdict, told = "fail", f"{interval} is outside {allowed}"
    else:
        verdict, told = "inconclusive", f"{interval} reaches across {allowed}"
    return BiasVerdict.model_validate(
        {"metric": bound.metric, "verdict": verdict, "reason": f"{bound.metric} {told}",
         "p": metric.p_outside}
    )  # fmt: skip


def limits(bound: BiasBound) -> tuple[float, float]:
    """Return the lowest and the highest value that is kept; infinite where there is no limit."""
    return (
        -inf if bound.min is None else bound.min,
        inf if bound.max is None else bound.max,
    )


def corrected(
    verdicts: Sequence[BiasVerdict], correction: Correction, confidence: float
) -> list[BiasVerdict]:
    """Return the verdicts with failures that do not survive the correction made inconclusive.

    ``holm``: the chance of any false failure is at most 1 - ``confidence`` (S. Holm, Scandinavian
    Journal of Statistics 6, 1979). ``benjamini_hochberg``: the expected share of false ones.

    Args:
        verdicts: Of all facets and bounds together.
        correction: Which.
        confidence: Of the intervals.
    """
    known = [one.p for one in verdicts if one.p is not None]
    values = known if correction == "none" else adjusted(known, correction).tolist()
    found, place = [], iter(values)
    for one in verdicts:
        if one.p is None:
            found.append(one)
            continue
        after = next(place)
        change: dict[str, object] = {"adjusted": after}
        if one.verdict == "fail" and after > 1 - confidence:
            change |= {
                "verdict": "inconclusive",
                "reason": f"{one.reason}, but of {len(known)} tests one is expected to be by "
                f"chance (adjusted p {after:.3g})",
            }
        found.append(one.model_copy(update=change))
    return found


def together(verdicts: Sequence[BiasVerdict]) -> Literal["pass", "hold", "inconclusive"]:
    """Return one verdict: a failure holds, everything must pass, else nothing is concluded."""
    if any(one.verdict == "fail" for one in verdicts):
        return "hold"
    everything = bool(verdicts) and all(one.verdict == "pass" for one in verdicts)
    return "pass" if everything else "inconclusive"


def _said(bound: BiasBound) -> str:
    if bound.min is None:
        return f"at most {bound.max:g}"
    return f"at least {bound.min:g}" if bound.max is None else f"{bound.min:g} to {bound.max:g}"


def _verdict(bound: BiasBound, verdict: Verdict, reason: str) -> BiasVerdict:
    return BiasVerdict(metric=bound.metric, verdict=verdict, reason=f"{bound.metric} {reason}")
