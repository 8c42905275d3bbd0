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

from steward.domain.bias.counts import GroupCounts
from steward.domain.bias.declaration import BiasBound
from steward.domain.bias.names import DESCRIBED
from steward.domain.bias.rates import COMPARISONS, Rate
from steward.domain.distributions import norm_isf, norm_sf

__all__ = [
    "DEFAULT_RULES", "MINIMUM", "GroupCounts", "GroupVerdict", "Pair", "Rule", "counts_by_group",
    "facet_pairs", "holm", "judged", "judged_pairs",
]  # fmt: skip

Comparison = Literal["difference", "ratio"]
Verdict = Literal["biased", "fair", "inconclusive"]
DriftVerdict = Literal["drifted", "held", "inconclusive"]

MINIMUM = 100


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


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
        name: Clarify's name of the comparison of two facets.
    """

    metric: Rate
    comparison: Comparison
    lower: float
    upper: float
    drift: float
    name: str | None = None


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
    metric: Rate
    name: str | None = None
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
    pairs = [
        Pair(
            group=group, reference=reference, rule=rule, now=(current[group], current[reference]),
            before=(
                (baseline[group], baseline[reference])
                if group in baseline and reference in baseline else None
            ),
        )
        for group in sorted(current)
        if group != reference
        for rule in rules
    ]  # fmt: skip
    return judged_pairs(pairs, alpha=alpha, minimum=minimum)


class Pair(_Frozen):
    """One comparison: of the group less, or over, the reference.

    Attributes:
        now: Counts of the window, of group and reference.
        before: Of held-out rows; None where there are none, which leaves drift open.
    """

    group: str
    reference: str
    rule: Rule
    now: tuple[GroupCounts, GroupCounts]
    before: tuple[GroupCounts, GroupCounts] | None


def facet_pairs(
    facet: str,
    bounds: Sequence[BiasBound],
    now: Mapping[str, GroupCounts],
    before: Mapping[str, GroupCounts] | None,
    drift: float,
) -> list[Pair]:
    """Return the comparisons of the facets a and d that monitoring can make.

    These are the metrics of :data:`steward.domain.bias.rates.COMPARISONS` that concern
    predictions, with Clarify's names, signs and order; all others need more than two rates.

    Args:
        facet: Its name.
        bounds: Declared metrics.
        now: Counts of the window by facet, ``a`` and ``d``.
        before: Counts of held-out rows.
        drift: How far a difference may move; a ratio as far as 1 + ``drift``.
    """
    nobody = GroupCounts()
    pairs = []
    for bound in bounds:
        how = COMPARISONS.get(bound.metric)
        if how is None or how.rate == "base_rate":
            continue
        first, second = (how.first, "d" if how.first == "a" else "a")
        low, high = DESCRIBED[bound.metric].low, DESCRIBED[bound.metric].high
        rule = Rule(
            metric=how.rate, comparison=how.kind, name=bound.metric,
            lower=low if bound.min is None else bound.min,
            upper=high if bound.max is None else bound.max,
            drift=math.log1p(drift) if how.kind == "ratio" else drift,
        )  # fmt: skip
        pairs.append(Pair(
            group=f"{facet}: {first}", reference=second, rule=rule,
            now=(now.get(first, nobody), now.get(second, nobody)),
            before=None if before is None else (before[first], before[second]),
        ))  # fmt: skip
    return pairs


def judged_pairs(
    pairs: Sequence[Pair], *, alpha: float = 0.05, minimum: int = MINIMUM
) -> list[GroupVerdict]:
    """Judge comparisons together; see :func:`judged`."""
    now = [_estimate(*pair.now, pair.rule, minimum) for pair in pairs]
    before = [
        None if pair.before is None else _estimate(*pair.before, pair.rule, minimum)
        for pair in pairs
    ]
    moved = [_moved(one, other) for one, other in zip(now, before, strict=True)]
    bias = _tested(now, [_allowed(pair.rule) for pair in pairs], alpha)
    drift = _tested(moved, [(-pair.rule.drift, pair.rule.drift) for pair in pairs], alpha)
    z = _simultaneous(now, alpha)
    found = []
    for place, pair in enumerate(pairs):
        rule, one = pair.rule, now[place]
        sides = (pair.now[0].rate(rule.metric)[1], pair.now[1].rate(rule.metric)[1])
        verdict = _VERDICTS[bias[place].where]
        blank = GroupVerdict(
            group=pair.group, reference=pair.reference, metric=rule.metric, name=rule.name,
            comparison=rule.comparison, verdict=verdict, drift=_DRIFTS[drift[place].where],
            value=_shown(one, 0, rule), lower=_shown(one, -z, rule), upper=_shown(one, z, rule),
            p=bias[place].p, baseline=_shown(before[place], 0, rule), drift_p=drift[place].p,
            denominators=sides,
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
        return (
            math.log(rule.lower) if rule.lower > 0 else -math.inf,
            math.log(rule.upper) if rule.upper < math.inf else math.inf,
        )
    return rule.lower, rule.upper


def _shown(one: _Estimate | None, z: float, rule: Rule) -> float | None:
    if one is None:
        return None
    value = one.value + z * one.error
    return math.exp(value) if rule.comparison == "ratio" else value


def _estimate(
    group: GroupCounts, reference: GroupCounts, rule: Rule, minimum: int
) -> _Estimate | None:
    (x, n), (y, m) = group.rate(rule.metric), reference.rate(rule.metric)
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
