"""A prediction's explanation as one HTML page: a waterfall from the mean answer to this one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from html import escape

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from steward.domain.svg import svg, text, ticks
from steward_cli.charts import responsive
from steward_cli.console import shortened
from steward_cli.explain_text import figure, remarks
from steward_cli.explaining import FeatureValue, Prediction

MOST = 14
"""Features that have a bar of their own."""
_TONES = {"green": "good", "red": "bad", "yellow": "warn", "dim": "soft"}


def page(found: Prediction, made_at: datetime) -> str:
    """Return the page."""
    environment = Environment(
        loader=PackageLoader("steward_cli"),
        autoescape=select_autoescape(["html", "j2"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    scale = found.scale.replace("_", "-")
    return environment.get_template("explain.html.j2").render(
        found=found,
        made_at=made_at.strftime("%Y-%m-%d %H:%M UTC"),
        scale=scale,
        tiles=[
            (figure(found.answered), "answered", "Probability that was captured."),
            (f"{found.base:.4g}", "base", "Mean answer over the background, on the scale below."),
            (f"{found.score:.4g}", "base and values", f"Sum of base and all values: {scale}."),
            (f"v{found.version}", "version", "Which answered."),
        ],
        chart=responsive(partial(waterfall, found)),
        remarks=[(said, _TONES[style]) for said, style in remarks(found)],
        sampled=any(one.error for one in found.features),
    )


def waterfall(found: Prediction, width: float) -> str:
    """Return bars that begin where the one before ends, the largest effect first."""
    steps = _steps(found.features)
    edges, at = [found.base], found.base
    for one in steps:
        at += one.phi
        edges.append(at)
    left = 190.0 if width > 500 else 12.0
    above = 0.0 if width > 500 else 16.0
    right, top, step = 74.0, 30.0, 26.0 + above
    low, high = min(edges), max(edges)
    pad = (high - low) * 0.06 or 0.01
    low, high = low - pad, high + pad
    scale = (width - left - right) / (high - low)

    def x(value: float) -> float:
        return left + (value - low) * scale

    bottom = top + step * len(steps)
    parts = [
        f"<line x1='{x(v):.1f}' x2='{x(v):.1f}' y1='{top}' y2='{bottom}' class='grid'/>"
        + text(x(v), bottom + 16, f"{v:g}", "middle")
        for v in ticks(low, high, 5 if width > 500 else 3)
    ]
    for number, one in enumerate(steps):
        begin, end, y = edges[number], edges[number + 1], top + step * number + above
        hover = f"{one.name} = {one.value}: {one.phi:+.6g}"
        tone = "up" if one.phi > 0 else "down"
        a, b = sorted((x(begin), x(end)))
        parts.append(
            f"<g><title>{escape(hover)}</title><rect x='{a:.1f}' y='{y + 4:.1f}' "
            f"width='{max(1.0, b - a):.1f}' height='18' rx='2' class='{tone}'/></g>"
            f"<line x1='{x(end):.1f}' x2='{x(end):.1f}' y1='{y + 4:.1f}' "
            f"y2='{y + step + 4:.1f}' class='zero'/>"
        )
        parts.append(text(b + 6, y + 17, f"{one.phi:+.3g}"))
        label = _label(one, 26 if above == 0 else 40)
        parts.append(text(0, y, label) if above else text(left - 10, y + 17, label, "end"))
    for value, said in ((edges[0], "base"), (edges[-1], "answer")):
        parts.append(
            f"<line x1='{x(value):.1f}' x2='{x(value):.1f}' y1='{top - 6}' y2='{bottom}' "
            "class='mark'/>"
        )
        is_right = value == max(edges[0], edges[-1])
        parts.append(
            text(x(value), top - 12, f"{said} {value:.3g}", "start" if is_right else "end")
        )
    return svg(width, bottom + 26, f"What each feature adds: {found.inference_id}", parts)


def _steps(features: Sequence[FeatureValue]) -> list[FeatureValue]:
    if len(features) <= MOST:
        return list(features)
    rest = features[MOST - 1 :]
    together = FeatureValue(f"{len(rest)} others", None, sum(one.phi for one in rest), 0.0)
    return [*features[: MOST - 1], together]


def _label(one: FeatureValue, most: int) -> str:
    value = "" if one.value is None else f" = {one.value}"
    return shortened(f"{one.name}{value}", most)
