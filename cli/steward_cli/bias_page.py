"""``bias.json`` as one HTML page: no script, nothing from elsewhere, definitions on hover."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from steward.domain.bias.by_group import ByGroup
from steward.domain.bias.evidence import BiasEvidence, FacetEvidence
from steward.domain.bias.names import DESCRIBED
from steward.domain.bias.rates import RATES
from steward.domain.bias.report import BiasMetric
from steward_cli.bias_text import figure, group_name, interval
from steward_cli.charts import Interval, intervals, responsive

TONES = {"pass": "good", "fail": "bad", "hold": "bad", "inconclusive": "warn"}
_COLOURS = {"pass": "#2c7a4b", "fail": "#b03030", "inconclusive": "#9a6200", None: "#7b8794"}
MEANINGS = {
    "pass": "The whole interval of every judged metric is within its bounds.",
    "hold": "Some interval lies wholly outside of its bounds, after the correction for many tests.",
    "inconclusive": "Nothing is proved broken, and not everything is proved kept.",
}
_OTHERS = {
    "mean_prediction": "mean probability of the favourable outcome, or mean predicted number",
    "brier": "mean squared difference of probability and outcome",
    "mean_absolute_error": "mean absolute difference of prediction and outcome",
    "mean_squared_error": "mean squared difference of prediction and outcome",
    "root_mean_squared_error": "root of the mean squared difference of prediction and outcome",
    "mean_error": "mean of prediction less outcome",
}


def page(version: int, evidence: BiasEvidence, made_at: datetime) -> str:
    """Return the page of one version's bias."""
    environment = Environment(
        loader=PackageLoader("steward_cli"), autoescape=select_autoescape(["html", "j2"]),
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template("bias.html.j2").render(
        evidence=evidence, version=version, made_at=made_at.strftime("%Y-%m-%d %H:%M UTC"),
        tones=TONES, meaning=MEANINGS[evidence.verdict],
        facets=[_facet(facet) for facet in evidence.facets],
        groups=[_groups(one) for one in evidence.groups], figure=figure, interval=interval,
    )  # fmt: skip


def _facet(facet: FacetEvidence) -> dict[str, Any]:
    verdicts = {one.metric: one.verdict for one in facet.verdicts}
    metrics = facet.report.metrics
    bounded = [one for one in metrics if DESCRIBED[one.name].high <= 2**0.5]
    ratios = [one for one in metrics if one.name == "DI"]
    return {
        "name": facet.name, "facet": facet, "described": DESCRIBED, "verdicts": verdicts,
        "metrics": metrics, "undefined": any(one.value is None for one in metrics),
        "chart": _chart(f"{facet.name}: differences, 0 is fair", bounded, verdicts, 0.0),
        "ratio_chart": _chart(f"{facet.name}: ratio, 1 is fair", ratios, verdicts, 1.0),
    }  # fmt: skip


def _chart(
    title: str, metrics: list[BiasMetric], verdicts: dict[str, Any], fair: float
) -> str:  # fmt: skip
    rows = [
        Interval(one.name, one.value, one.lower, one.upper, _COLOURS[verdicts.get(one.name)])
        for one in metrics
        if one.value is not None and one.lower is not None and one.upper is not None
    ]
    return responsive(partial(_draw, rows, title, fair)) if rows else ""


def _draw(rows: list[Interval], title: str, zero: float | None, width: float) -> str:
    return intervals(rows, title, zero=zero, width=width)


def _groups(one: ByGroup) -> dict[str, Any]:
    rows = [
        Interval(group_name(value.group), value.value, value.lower, value.upper)
        for value in one.groups
        if value.value is not None and value.lower is not None and value.upper is not None
    ]
    by = " and ".join(one.groups[0].group)
    title = f"{one.metric.replace('_', ' ')} by {by}"
    return {
        "title": title, "definition": _definition(one.metric), "one": one,
        "rows": [(group_name(value.group), value) for value in one.groups],
        "chart": responsive(partial(_draw, rows, title, one.overall)) if rows else "",
    }  # fmt: skip


def _definition(metric: str) -> str:
    for rate, (over, under) in RATES.items():
        if rate == metric:
            return f"({' + '.join(over)}) / ({' + '.join(under)}), favourable as positive"
    return _OTHERS[metric]
