"""Groups against a reference group: intervals, three verdicts, one error over all of them.

A metric is judged only where its own denominator has at least 100 rows on both sides: of a fair
model the ratio of selection rates leaves .8 to 1.25 in 26 % of cases with 50 a group (rule 33).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from steward.domain.distributions import norm_isf, norm_sf

GroupMetric = Literal[
    "selection_rate", "accuracy", "true_positive_rate", "false_positive_rate", "precision"
]
Comparison = Literal["difference", "ratio"]
Verdict = Literal["biased", "fair", "inconclusive"]
DriftVerdict = Literal["drifted", "held", "inconclusive"]

MINIMUM = 100


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class GroupCounts(_Frozen):
    """A group's labelled predictions; sums of windows are counts of their union.

    Attributes:
        tp: Predicted 1, label 1.
        fp: Predicted 1, label 0.
        fn: Predicted 0, label 1.
        tn: Predicted 0, label 0.
    """

    tp: int = 0
    fp: int = 0
    fn: int = 0
    tn: int = 0

    @property
    def n(self) -> int:
        """Rows."""
        return self.tp + self.fp + self.fn + self.tn

    def merge(self, other: GroupCounts) -> GroupCounts:
        """Return the counts of both sets of rows."""
        return GroupCounts(
            tp=self.tp + other.tp, fp=self.fp + other.fp, fn=self.fn + other.fn,
            tn=self.tn + other.tn,
        )  # fmt: skip

    def rate(self, metric: GroupMetric) -> tuple[int, int]:
        """Return successes and denominator of a metric."""
        return {
            "selection_rate": (self.tp + self.fp, self.n),
            "accuracy": (self.tp + self.tn, self.n),
            "true_positive_rate": (self.tp, self.tp + self.fn),
            "false_positive_rate": (self.fp, self.fp + self.tn),
            "precision": (self.tp, self.tp + self.fp),
        }[metric]


class Rule(_Frozen):
    """What is allowed between a group and the reference group.

    Attributes:
        metric: Compared rate. ``selection_rate`` as a difference is demographic parity (DPPL), as
            a ratio disparate impact (DI); ``true_positive_rate`` equal opportunity (RD).
        comparison: Group less reference, or group over reference.
        lower: Least allowed.
        upper: Most allowed.
        drift: How much the comparison may differ from that of held-out rows (a ratio: of its
            logarithm).
    """

    metric: GroupMetric
    comparison: Comparison
    lower: float
    upper: float
    drift: float


DEFAULT_RULES = (
    Rule(
        metric="selection_rate", comparison="ratio", lower=0.8, upper=1.25, drift=math.log(1.25)
    ),
    Rule(
        metric="true_positive_rate", comparison="difference", lower=-0.1, upper=0.1, drift=0.1
    ),
    Rule(metric="accuracy", comparison="difference", lower=-0.1, upper=0.1, drift=0.1),
)  # fmt: skip


class GroupVerdict(_Frozen):
    """One group against the reference group by one rule.

    Attributes:
        verdict: ``biased`` when the comparison is proved outside of what is allowed, ``fair`` when
            proved inside, else ``inconclusive``.
        drift: Of this window against held-out rows, in the same way.
        value: The comparison; None where it is not judged.
        lower: Simultaneous limit over all groups and rules.
        upper: As ``lower``.
        p: One-sided, of bias, before the correction (Holm) for groups and rules.
        denominators: Of the metric, in the group and in the reference group.
        needs: Rows of the metric's denominator in the smaller of both.
    """

    group: str
    reference: str
    metric: GroupMetric
    comparison: Comparison
    verdict: Verdict
    drift: DriftVerdict
    value: float | None = None
    lower: float | None = None
    upper: float | None = None
    baseline: float | None = None
    p: float | None = None
    drift_p: float | None = None
    denominators: tuple[int, int]
    needs: int | None = None
    reason: str | None = None


def counts_by_group(
    groups: Sequence[str],
    labels: NDArray[np.float64],
    predicted: NDArray[np.bool_],
) -> dict[str, GroupCounts]:
    """Count labelled predictions by group.

    Raises:
        ValueError: Lengths differ, or a label is not 0 or 1.
    """
    if not len(groups) == labels.size == predicted.size:
        raise ValueError("groups, labels and predictions must have one length")
    if not np.isin(labels, (0, 1)).all():
        raise ValueError("labels must be 0 or 1")
    names, codes = np.unique(np.asarray(groups, dtype=np.str_), return_inverse=True)
    cells = np.bincount(
        codes * 4 + 2 * predicted.astype(np.intp) + labels.astype(np.intp),
        minlength=4 * names.size,
    ).reshape(-1, 4)
    return {
        str(name): GroupCounts(tn=int(tn), fn=int(fn), fp=int(fp), tp=int(tp))
        for name, (tn, fn, fp, tp) in zip(names, cells, strict=True)
    }


class _Estimate(_Frozen):
    """A comparison on the scale on which it is normal: differences, logarithms of ratios."""

    value: float
    error: float


def judged(
    current: Mapping[str, GroupCounts],
    baseline: Mapping[str, GroupCounts],
    reference: str,
    rules: Sequence[Rule] = DEFAULT_RULES,
    *,
    alpha: float = 0.05,
    minimum: int = MINIMUM,
) -> list[GroupVerdict]:
    """Judge every group of the window against the reference group.

    Differences: (x + 1) / (n + 2) on either side, normal (Agresti and Caffo 2000). Ratios: the
    logarithm, with halves added (D. Katz et al., Biometrics 34 (1978); S. Walter, Biometrika 62
    (1975)). ``biased`` and ``drifted`` are Holm's over all groups and rules that can be judged, at
    ``alpha`` together; ``fair`` and ``held`` need the simultaneous (Bonferroni) interval inside.

    Args:
        current: Counts of the window.
        baseline: Counts of held-out rows; a group that is absent has no drift.
        reference: The group that others are compared with.
        rules: What is allowed.
        alpha: Probability that anything fair is called biased, and that anything held is called
            drifted.

    Raises:
        ValueError: The reference group is not in the window.
    """
    if reference not in current:
        raise ValueError(
            f"reference must be one of {', '.join(sorted(current))}, not {reference!r}"
        )
    pairs = [(group, rule) for group in sorted(current) if group != reference for rule in rules]
    now = [_estimate(current, group, reference, rule, minimum) for group, rule in pairs]
    before = [_estimate(baseline, group, reference, rule, minimum) for group, rule in pairs]
    moved = [_moved(one, other) for one, other in zip(now, before, strict=True)]
    bias = _tested(now, [_allowed(rule) for _, rule in pairs], alpha)
    drift = _tested(moved, [(-rule.drift, rule.drift) for _, rule in pairs], alpha)
    z = _simultaneous(now, alpha)
    found = []
    for place, (group, rule) in enumerate(pairs):
        sides = (current[group].rate(rule.metric)[1], current[reference].rate(rule.metric)[1])
        one, verdict = now[place], _VERDICTS[bias[place].where]
        blank = GroupVerdict(
            group=group, reference=reference, metric=rule.metric, comparison=rule.comparison,
            verdict=verdict, drift=_DRIFTS[drift[place].where], value=_shown(one, 0, rule),
            lower=_shown(one, -z, rule), upper=_shown(one, z, rule), p=bias[place].p,
            baseline=_shown(before[place], 0, rule), drift_p=drift[place].p, denominators=sides,
        )  # fmt: skip
        lack = _lack(one, rule, sides, z, minimum) if verdict == "inconclusive" else {}
        found.append(blank.model_copy(update=lack))
    return found


_Where = Literal["outside", "inside", "open"]
_VERDICTS: Mapping[_Where, Verdict] = {
    "outside": "biased", "inside": "fair", "open": "inconclusive",
}  # fmt: skip
_DRIFTS: Mapping[_Where, DriftVerdict] = {
    "outside": "drifted", "inside": "held", "open": "inconclusive",
}  # fmt: skip


class _Test(_Frozen):
    where: _Where
    p: float | None


def _simultaneous(estimates: Sequence[_Estimate | None], alpha: float) -> float:
    return norm_isf(alpha / max(1, sum(one is not None for one in estimates)))


def _tested(
    estimates: Sequence[_Estimate | None], allowed: Sequence[tuple[float, float]], alpha: float
) -> list[_Test]:
    """Return where each comparison is proved to lie, at one error over all of them."""
    p_values = [
        None if one is None else _outside(one, *limits)
        for one, limits in zip(estimates, allowed, strict=True)
    ]
    z = _simultaneous(estimates, alpha)
    found = []
    for one, limits, p, rejected in zip(
        estimates, allowed, p_values, holm(p_values, alpha), strict=True
    ):
        inside = one is not None and _inside(one, *limits, z)
        found.append(_Test(where="outside" if rejected else "inside" if inside else "open", p=p))
    return found


def _moved(one: _Estimate | None, other: _Estimate | None) -> _Estimate | None:
    if one is None or other is None:
        return None
    return _Estimate(value=one.value - other.value, error=math.hypot(one.error, other.error))


def _lack(
    one: _Estimate | None, rule: Rule, denominators: tuple[int, int], z: float, minimum: int
) -> dict[str, int | str | None]:
    if one is None:
        few = min(denominators)
        return {
            "needs": minimum,
            "reason": f"the denominator of {rule.metric} has {few} rows, {minimum} are needed",
        }
    lower, upper = _allowed(rule)
    # So many times the rows would prove alike groups to be so in 8 of 10 cases, at both limits.
    factor = (
        (one.error * (z + norm_isf(0.1)) / min(-lower, upper)) ** 2 if lower < 0 < upper else 0.0
    )
    needs = math.ceil(min(denominators) * factor) if factor > 1 else None
    return {"needs": needs, "reason": "the interval holds a limit of what is allowed"}


def _allowed(rule: Rule) -> tuple[float, float]:
    if rule.comparison == "ratio":
        return math.log(rule.lower), math.log(rule.upper)
    return rule.lower, rule.upper


def _shown(one: _Estimate | None, z: float, rule: Rule) -> float | None:
    if one is None:
        return None
    value = one.value + z * one.error
    return math.exp(value) if rule.comparison == "ratio" else value


def _estimate(
    counts: Mapping[str, GroupCounts], group: str, reference: str, rule: Rule, minimum: int
) -> _Estimate | None:
    if group not in counts or reference not in counts:
        return None
    (x, n), (y, m) = counts[group].rate(rule.metric), counts[reference].rate(rule.metric)
    if min(n, m) < minimum:
        return None
    if rule.comparison == "ratio":
        value = math.log((x + 0.5) / (n + 0.5)) - math.log((y + 0.5) / (m + 0.5))
        variance = 1 / (x + 0.5) - 1 / (n + 0.5) + 1 / (y + 0.5) - 1 / (m + 0.5)
        # Where all are selected the variance is 0: as if one were not.
        return _Estimate(value=value, error=math.sqrt(max(variance, 1 / n**2 + 1 / m**2)))
    p, q = (x + 1) / (n + 2), (y + 1) / (m + 2)
    return _Estimate(value=p - q, error=math.sqrt(p * (1 - p) / (n + 2) + q * (1 - q) / (m + 2)))


def _outside(one: _Estimate, lower: float, upper: float) -> float:
    """Return the p-value against lower <= truth <= upper."""
    return min(1.0, norm_sf(max(one.value - upper, lower - one.value) / one.error))


def _inside(one: _Estimate, lower: float, upper: float, z: float) -> bool:
    return one.value - z * one.error > lower and one.value + z * one.error < upper


def holm(p_values: Sequence[float | None], alpha: float) -> list[bool]:
    """Return which hypotheses Holm's procedure rejects; None is no hypothesis.

    S. Holm, Scandinavian Journal of Statistics 6 (1979).
    """
    known = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    rejected = [False] * len(p_values)
    for rank, (p, place) in enumerate(known):
        if p > alpha / (len(known) - rank):
            break
        rejected[place] = True
    return rejected
