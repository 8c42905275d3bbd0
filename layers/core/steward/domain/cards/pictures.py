"""Pictures of a card: estimates with their intervals as inline SVG, for a page and for a phone."""

from __future__ import annotations

from html import escape

from steward.domain.cards.card import Estimate, Group
from steward.domain.svg import NARROW, PALETTE, WIDE, svg, text, ticks

_COLOURS = {
    "worse": PALETTE[3], "proved worse": PALETTE[3],
    "not judged": PALETTE[5], "too few rows to judge": PALETTE[5],
}  # fmt: skip
"""By what the evidence says of an estimate: red for worse, grey for too few rows."""

_STEP, _TOP, _RIGHT = 30.0, 10.0, 64.0


def pictured(group: Group) -> str:
    """Return a group's picture twice; the style sheet shows the one that fits."""
    drawn = [e for e in group.estimates if e.value is not None]
    if not drawn:
        return ""
    wide, narrow = _intervals(group, drawn, WIDE), _intervals(group, drawn, NARROW)
    return f"<div class='wide'>{wide}</div><div class='narrow'>{narrow}</div>"


def _edges(estimate: Estimate) -> tuple[float, float, float]:
    value = estimate.value or 0.0
    low = value if estimate.lower is None else min(estimate.lower, value)
    high = value if estimate.upper is None else max(estimate.upper, value)
    return low, value, high


def _intervals(group: Group, drawn: list[Estimate], width: float) -> str:
    beside = width > NARROW
    left, above = (190.0, 0.0) if beside else (12.0, 15.0)
    step = _STEP + above
    edges = [edge for estimate in drawn for edge in _edges(estimate)]
    if group.name == "explanation":
        edges.append(0.0)
    if group.reference is not None:
        edges.append(group.reference)
    low, high = min(edges), max(edges)
    pad = (high - low) * 0.06 or abs(high) * 0.05 or 0.01
    low, high = low - pad, high + pad
    scale = (width - left - _RIGHT) / (high - low)
    bottom = _TOP + step * len(drawn)
    parts = []
    for value in ticks(low, high, 5 if beside else 3):
        x = left + (value - low) * scale
        parts.append(_line(x, x, _TOP, bottom, "class='grid'"))
        parts.append(text(x, bottom + 16, f"{value:g}", "middle"))
    if group.reference is not None:
        x = left + (group.reference - low) * scale
        parts.append(_line(x, x, _TOP, bottom, "stroke='#8a8a8a' stroke-dasharray='5 3'"))
    for number, estimate in enumerate(drawn):
        y = _TOP + step * (number + 0.5) + above / 2
        parts.append(_row(estimate, y, left, above, low, scale))
        parts.append(text(width - _RIGHT + 8, y + 4, f"{estimate.value:.4g}"))
    return svg(width, bottom + 24, f"{group.title}: {group.axis}", parts)


def _row(
    estimate: Estimate, y: float, left: float, above: float, low: float, scale: float
) -> str:  # fmt: skip
    x0, x, x1 = (left + (edge - low) * scale for edge in _edges(estimate))
    colour = _COLOURS.get(estimate.note, PALETTE[0])
    hover = f"{estimate.name}: {estimate.value:.6g}, {_bound(estimate.lower)} to "
    hover += f"{_bound(estimate.upper)} {estimate.note}"
    room = 26 if not above else 44
    name = estimate.name if len(estimate.name) <= room else f"{estimate.name[: room - 1]}…"
    label = text(0, y - above + 1, name) if above else text(left - 10, y + 4, name, "end")
    bar = _line(x0, x1, y, y, f"stroke='{colour}' stroke-width='3'")
    return (
        f"<g><title>{escape(hover)}</title>"
        f"{bar}<circle cx='{x:.1f}' cy='{y:.1f}' r='5' fill='{colour}'/></g>{label}"
    )


def _line(x1: float, x2: float, y1: float, y2: float, how: str) -> str:
    return f"<line x1='{x1:.1f}' x2='{x2:.1f}' y1='{y1:.1f}' y2='{y2:.1f}' {how}/>"


def _bound(value: float | None) -> str:
    return "open" if value is None else f"{value:.6g}"
