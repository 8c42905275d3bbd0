"""Rules beside performance: evidence, bias, stability, explanation, data, documentation."""

from __future__ import annotations

from collections.abc import Iterator

from steward.domain.policy.findings import BiasMetricFinding, FacetFinding, Findings
from steward.domain.policy.requirements import (
    MINIMUM_ROWS,
    BiasRules,
    DataRules,
    DocumentationRules,
    ExplanationRules,
    FacetBound,
    Requirements,
    StabilityRules,
)
from steward.domain.policy.ruling import Ruled, ruled


def judge_evidence(findings: Findings, requirements: Requirements) -> Iterator[Ruled]:
    """Say of each required part whether it is there."""
    for part in requirements.evidence or ():
        digest = findings.evidence.get(part)
        if digest is None:
            told = f"{part} evidence is required and missing"
            yield ruled(f"evidence.{part}", "hold", told)
        else:
            yield ruled(f"evidence.{part}", "pass", f"{part} evidence is {digest[:12]}")


def judge_bias(findings: Findings, rules: BiasRules) -> Iterator[Ruled]:
    """Judge each facet by the policy's bounds, and by those that the project declared."""
    if findings.bias is None:
        return
    if rules.bounds and not findings.bias:
        yield ruled("bias", "hold", "bias was measured for no facet")
    for facet in findings.bias:
        named = {metric.name: metric for metric in facet.metrics}
        for bound in rules.bounds or ():
            yield _bias(facet, named.get(bound.metric), bound, rules)
        for told in facet.declared:
            rule = f"bias.{facet.name}.{told.metric}"
            yield ruled(rule, told.verdict, told.reason, rules.inconclusive)


def _bias(
    facet: FacetFinding, found: BiasMetricFinding | None, bound: FacetBound, rules: BiasRules
) -> Ruled:
    rule, name = f"bias.{facet.name}.{bound.metric}", f"{bound.metric} of {facet.name}"
    if found is None:
        return ruled(rule, "hold", f"{name} was not measured")
    doubt = _doubt(found, rules.minimum_rows or MINIMUM_ROWS)
    if doubt is not None:
        return ruled(rule, "inconclusive", f"{name} {doubt}", rules.inconclusive)
    assert found.value is not None
    assert found.lower is not None
    assert found.upper is not None
    low = float("-inf") if bound.min is None else bound.min
    high = float("inf") if bound.max is None else bound.max
    shown = f"{name} {found.value:.4g} ({found.lower:.4g} to {found.upper:.4g})"
    if low <= found.lower and found.upper <= high:
        return ruled(rule, "pass", f"{shown} is within {_range(bound)}")
    if found.upper < low or found.lower > high:
        return ruled(rule, "hold", f"{shown} is outside {_range(bound)}")
    told = f"{shown} reaches across {_range(bound)}"
    return ruled(rule, "inconclusive", told, rules.inconclusive)


def _doubt(found: BiasMetricFinding, needed: int) -> str | None:
    """Return why a metric proves nothing, or None."""
    if found.rows == 0:
        return "has no row: a group has none in the metric's denominator"
    if found.value is None:
        return f"is undefined: {found.undefined_because or 'no reason is given'}"
    if found.rows < needed:
        return f"has {found.rows} rows in the smaller group, the policy needs {needed}"
    if found.lower is None or found.upper is None:
        return f"{found.value:.4g} has no interval"
    return None


def _range(bound: FacetBound) -> str:
    if bound.min is None:
        return f"at most {bound.max:g}"
    return f"at least {bound.min:g}" if bound.max is None else f"{bound.min:g} to {bound.max:g}"


def judge_stability(findings: Findings, rules: StabilityRules) -> Iterator[Ruled]:
    """Judge how wide the intervals of held-out metrics are."""
    for metric, widest in (rules.max_interval_width or {}).items():
        rule, found = f"stability.{metric}", findings.metrics.get(metric)
        if found is None or found.lower is None or found.upper is None:
            why = (found.undefined_because if found else None) or "it was not measured"
            yield ruled(rule, "hold", f"{metric} has no interval: {why}")
            continue
        width = found.upper - found.lower
        told = f"the interval of {metric} is {width:.4f} wide, allowed are {widest:g}"
        yield ruled(rule, "pass" if width <= widest else "hold", told)


def judge_explanation(findings: Findings, rules: ExplanationRules) -> Iterator[Ruled]:
    """Judge the explanation where there is one; whether it must be is a rule of evidence."""
    found = findings.explanation
    if found is None:
        return
    told = "attributions add up to the predictions"
    if not found.additive:
        told = "attributions do not add up to the predictions"
    gap = f", largest gap {found.max_gap:.3g}" if found.max_gap is not None else ""
    held = not found.additive
    if rules.max_gap is not None:
        held = held or found.max_gap is None or found.max_gap > rules.max_gap
        gap += f", allowed are {rules.max_gap:g}" if gap else ", the gap was not measured"
    yield ruled("explanation.additive", "hold" if held else "pass", told + gap)
    if rules.minimum_rows is not None:
        few = found.rows < rules.minimum_rows
        told = f"{found.rows} rows were explained, needed are {rules.minimum_rows}"
        yield ruled("explanation.rows", "hold" if few else "pass", told)
    if rules.max_share is not None:
        share = found.largest_share
        if share is None:
            yield ruled("explanation.share", "hold", "no feature has a share")
            return
        told = f"{found.largest} has {share:.1%} of all attributions, allowed {rules.max_share:.1%}"
        yield ruled("explanation.share", "pass" if share <= rules.max_share else "hold", told)


def judge_data(findings: Findings, rules: DataRules) -> Iterator[Ruled]:
    """Judge the rows that trained, judged and were set aside."""
    data = findings.data
    for name, rows, needed in (
        ("heldout_rows", data.heldout_rows if data else None, rules.minimum_heldout_rows),
        ("train_rows", data.train_rows if data else None, rules.minimum_train_rows),
    ):
        if needed is None:
            continue
        if rows is None:
            yield ruled(f"data.{name}", "hold", "the manifest does not say how many there are")
        else:
            told = f"{rows} {name.replace('_', ' ')}, needed are {needed}"
            yield ruled(f"data.{name}", "pass" if rows >= needed else "hold", told)
    if rules.max_set_aside is None:
        return
    aside = data.set_aside_rows if data else None
    delivered = data.delivered_rows if data else None
    if aside is None or not delivered:
        yield ruled("data.set_aside", "hold", "the manifest names no delivered rows")
        return
    share = aside / delivered
    told = (
        f"{aside} of {delivered} delivered rows were set aside ({share:.1%}), "
        f"allowed {rules.max_set_aside:.1%}"
    )
    yield ruled("data.set_aside", "pass" if share <= rules.max_set_aside else "hold", told)


def judge_documentation(findings: Findings, rules: DocumentationRules) -> Iterator[Ruled]:
    """Judge what the declaration says in words."""
    told = findings.documentation
    there = {
        "description": bool(told.description.strip()),
        "owner": bool(told.owner.strip()),
        "risk": told.risk_answered,
    }
    for part in rules.required or ():
        rule = f"documentation.{part}"
        if there[part]:
            yield ruled(rule, "pass", f"{part} is there")
        else:
            yield ruled(rule, "hold", f"{part} is required in project.yaml and missing")
    if rules.minimum_characters is not None:
        length = len(told.description.strip())
        short = length < rules.minimum_characters
        message = f"description has {length} characters, needed are {rules.minimum_characters}"
        yield ruled("documentation.length", "hold" if short else "pass", message)
