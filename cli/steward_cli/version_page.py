"""The comparison of two versions as one HTML page: no script, nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from steward.domain.code_difference import CodeDifference
from steward.domain.version_comparison import Estimate, MetricRow, VersionComparison
from steward_cli.charts import Interval, intervals, responsive

DEFINITIONS = {
    "brier": "Mean squared distance of the probability from what came true; lower is better.",
    "log_loss": "Mean negative logarithm of the probability of what came true; lower is better.",
    "accuracy": "Share of rows on the right side of one half; higher is better.",
    "roc_auc": "Chance that a positive row gets a higher probability than a negative one.",
    "rmse": "Root of the mean squared error, in the unit of the label; lower is better.",
    "mae": "Mean absolute error, in the unit of the label; lower is better.",
    "r2": "Share of the labels' variance that is explained; 0 is their mean, 1 is perfect.",
}
_COLOUR_A, _COLOUR_B = "#2f6f9f", "#e08a1e"


def page(found: VersionComparison, made_at: datetime, code: CodeDifference | None = None) -> str:
    """Return the page."""
    environment = Environment(
        loader=PackageLoader("steward_cli"),
        autoescape=select_autoescape(["html", "j2"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("versions.html.j2").render(
        found=found,
        code=code or CodeDifference(),
        marks={"+": "add", "-": "drop", "@": "soft"},
        made_at=made_at.strftime("%Y-%m-%d %H:%M UTC"),
        metrics=_charts(found, found.metrics),
        slices=_charts(found, found.slices),
        residuals=_residuals(found),
        estimate=_estimate,
        definitions=DEFINITIONS,
        colours=(_COLOUR_A, _COLOUR_B),
    )


def _charts(found: VersionComparison, rows: Sequence[MetricRow]) -> list[dict[str, str]]:
    names = dict.fromkeys(row.metric for row in rows)
    charts = []
    for name in names:
        drawn = [
            mark
            for row in rows
            if row.metric == name
            for mark in (
                _interval(row, row.a, found.a, _COLOUR_A), _interval(row, row.b, found.b, _COLOUR_B)
            )
            if mark is not None
        ]  # fmt: skip
        title = f"{name} of version {found.a} and {found.b} with intervals"
        picture = responsive(partial(_draw, drawn, title)) if drawn else ""
        charts.append({"name": name, "about": DEFINITIONS.get(name, ""), "picture": picture})
    return charts


def _residuals(found: VersionComparison) -> list[str]:
    """Return a picture a version: whether errors depend on what is predicted."""
    pictures = []
    for version, points in found.residuals.items():
        colour = _COLOUR_A if version == found.a else _COLOUR_B
        drawn = [
            Interval(
                f"predicted {point.predicted:.4g}", point.mean,
                point.mean if point.lower is None else point.lower,
                point.mean if point.upper is None else point.upper, colour,
            )
            for point in points
        ]  # fmt: skip
        title = f"Mean residual (label minus prediction) of version {version} by prediction"
        pictures.append(responsive(partial(_draw, drawn, title, zero=0.0)))
    return pictures


def _draw(rows: Sequence[Interval], title: str, width: float, *, zero: float | None = None) -> str:
    return intervals(rows, title, width=width, zero=zero)


def _interval(row: MetricRow, found: Estimate | None, version: int, colour: str) -> Interval | None:
    if found is None or found.value is None:
        return None
    low = found.value if found.lower is None else found.lower
    high = found.value if found.upper is None else found.upper
    label = f"{row.slice}, version {version}" if row.slice else f"version {version}"
    return Interval(label, found.value, low, high, colour)


def _estimate(found: Estimate | None) -> str:
    if found is None:
        return "missing"
    if found.value is None:
        return f"undefined: {found.because or 'no reason given'}"
    if found.lower is None or found.upper is None:
        return f"{found.value:.4f}" + (f" (no interval: {found.because})" if found.because else "")
    return f"{found.value:.4f} ({found.lower:.4f} to {found.upper:.4f})"
