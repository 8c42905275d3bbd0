"""What ``bias.json`` and ``explanation.json`` say, as a policy judges it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from steward.domain.policy.findings import (
    BiasMetricFinding,
    DeclaredVerdict,
    ExplanationFinding,
    FacetFinding,
)


def finite(value: Any) -> float | None:
    """Return a finite number, or None: JSON of Python's own may hold NaN and infinities."""
    return float(value) if value is not None and math.isfinite(value) else None


def undefined_reason(entry: Mapping[str, Any]) -> str | None:
    """Return why a metric has no value or interval that can be used, None where nothing is told."""
    value = entry.get("value")
    if value is not None and not math.isfinite(value):
        return f"it is {value}"
    told = entry.get("undefined_because")
    return str(told) if told else None


def bias_findings(document: Mapping[str, Any]) -> list[FacetFinding]:
    """Return the facets of a ``bias.json``.

    Raises:
        KeyError, TypeError, ValueError: It has not the agreed shape.
    """
    return [
        FacetFinding(
            name=facet["name"],
            metrics=[
                BiasMetricFinding(
                    name=entry["name"], rows=entry["rows"], value=finite(entry["value"]),
                    lower=finite(entry.get("lower")), upper=finite(entry.get("upper")),
                    undefined_because=undefined_reason(entry),
                )
                for entry in facet["report"]["metrics"]
            ],
            declared=[
                DeclaredVerdict(
                    metric=told["metric"], reason=told["reason"],
                    verdict="hold" if told["verdict"] == "fail" else told["verdict"],
                )
                for told in facet.get("verdicts") or ()
            ],
        )
        for facet in document["facets"]
    ]  # fmt: skip


def explanation_finding(document: Mapping[str, Any]) -> ExplanationFinding:
    """Return what an ``explanation.json`` shows.

    Raises:
        KeyError, TypeError, ValueError: It has not the agreed shape.
    """
    shares = {entry["name"]: finite(entry.get("share")) for entry in document["features"]}
    known = {name: share for name, share in shares.items() if share is not None}
    largest = max(known, key=lambda name: (known[name], name)) if known else None
    return ExplanationFinding(
        additive=document["additive"], max_gap=finite(document.get("max_gap")),
        rows=document["rows"], largest=largest,
        largest_share=known[largest] if largest is not None else None,
    )  # fmt: skip
