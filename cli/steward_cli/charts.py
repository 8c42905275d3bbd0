"""A small chart library: inline SVG that needs no script, reads on a phone and prints."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from steward.domain.svg import NARROW, PALETTE, WIDE, colour, ticks
from steward.domain.svg import svg as _svg
from steward.domain.svg import text as _text

__all__ = [
    "NARROW",
    "PALETTE",
    "WIDE",
    "Bar",
    "Interval",
    "Mark",
    "colour",
    "intervals",
    "responsive",
    "shares_over_time",
    "stacked_bars",
    "ticks",
    "timeline",
]


@dataclass(frozen=True)
class Mark:
    """A labelled moment on a time axis."""

    at: float
    label: str
    colour: str = "#b03030"


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval."""

    label: str
    value: float
    low: float
    high: float
    colour: str = PALETTE[0]


@dataclass(frozen=True)
class Bar:
    """A span on a time line."""

    label: str
    start: float
    end: float
    colour: str
    hover: str


def responsive(draw: Callable[[float], str]) -> str:
    """Return a picture twice: for a page, and for a phone; the style sheet shows one.

    Args:
        draw: Returns the picture in a width of the units in which text is 12 high.
    """
    wide, narrow = draw(WIDE), draw(NARROW)
    return f"<div class='wide'>{wide}</div><div class='narrow'>{narrow}</div>" if wide else ""


def _rows(width: float, label_width: float) -> tuple[float, float]:
    """Return the left edge of rows, and the height of labels that do not fit beside them."""
    return (label_width, 0.0) if width > 2 * label_width else (12.0, 15.0)


def _row_label(text: str, left: float, y: float, above: float) -> str:
    """Draw a row's label beside its middle ``y``, or above it."""
    return _text(0, y - above + 1, text) if above else _text(left - 10, y + 4, text, "end")


def _about(width: float) -> int:
    return 5 if width > NARROW else 3


def shares_over_time(
    moments: Sequence[tuple[float, dict[str, float]]],
    end: float,
    marks: Sequence[Mark] = (),
    title: str = "Share of traffic by version",
    width: float = WIDE,
) -> str:
    """Return stacked steps: who answered which share from when on.

    Args:
        moments: Epoch seconds and shares in percent by series, ascending.
        end: Where the last step ends.
        marks: Moments to point out.
        title: What the picture shows, for readers who cannot see it.
        width: Of the picture.
    """
    if not moments:
        return ""
    left, right, top, bottom = 44.0, 12.0, 58.0, 210.0
    start = moments[0][0]
    scale = (width - left - right) / max(end - start, 1e-9)
    names = sorted({name for _, shares in moments for name in shares})
    parts = []
    for value in (0.0, 25.0, 50.0, 75.0, 100.0):
        y = bottom - (bottom - top) * value / 100
        parts.append(f"<line x1='{left}' x2='{width - right}' y1='{y}' y2='{y}' class='grid'/>")
        parts.append(_text(left - 6, y + 4, f"{value:g} %", "end"))
    for number, (at, shares) in enumerate(moments):
        until = moments[number + 1][0] if number + 1 < len(moments) else end
        x, wide = left + (at - start) * scale, max((until - at) * scale, 0.5)
        base = 0.0
        for index, name in enumerate(names):
            share = shares.get(name, 0.0)
            if share:
                y = bottom - (bottom - top) * (base + share) / 100
                parts.append(
                    f"<rect x='{x:.1f}' y='{y:.1f}' width='{wide:.1f}' "
                    f"height='{(bottom - top) * share / 100:.1f}' fill='{colour(index)}'>"
                    f"<title>{escape(name)}: {share:g} % from {at - start:.1f} s to "
                    f"{until - start:.1f} s</title></rect>"
                )
            base += share
    for row, mark in enumerate(marks):
        x = left + (mark.at - start) * scale
        parts.append(
            f"<line x1='{x:.1f}' x2='{x:.1f}' y1='{top - 6}' y2='{bottom}' "
            f"stroke='{mark.colour}' stroke-dasharray='4 3' stroke-width='1.5'/>"
        )
        anchor = "end" if x > width * 0.6 else "start"
        shift = -4 if anchor == "end" else 4
        parts.append(
            _text(x + shift, 24 + 14 * (row % 3), mark.label, anchor, f"fill='{mark.colour}'")
        )
    for value in ticks(0, end - start, _about(width)):
        parts.append(_text(left + value * scale, bottom + 16, f"{value:g} s", "middle"))
    x = left
    for index, name in enumerate(names):
        parts.append(
            f"<rect x='{x:.0f}' y='{bottom + 26}' width='11' height='11' fill='{colour(index)}'/>"
        )
        parts.append(_text(x + 16, bottom + 36, name))
        x += 30 + 7.5 * len(name)
    return _svg(width, bottom + 46, title, parts)


def intervals(
    rows: Sequence[Interval],
    title: str,
    unit: str = "",
    zero: float | None = None,
    limit: float | None = None,
    limit_label: str = "",
    width: float = WIDE,
) -> str:
    """Return points with intervals, one a row; ``zero`` and ``limit`` are drawn as lines."""
    if not rows:
        return ""
    left, above = _rows(width, 170.0)
    right, top, step = 64.0, 26.0, 30.0 + above
    edges = [edge for row in rows for edge in (row.low, row.high)]
    edges += [value for value in (zero, limit) if value is not None]
    low, high = min(edges), max(edges)
    pad = (high - low) * 0.08 or 0.01
    low, high = low - pad, high + pad
    scale = (width - left - right) / (high - low)
    bottom = top + step * len(rows)
    parts = []
    for value in ticks(low, high, _about(width)):
        x = left + (value - low) * scale
        parts.append(f"<line x1='{x:.1f}' x2='{x:.1f}' y1='{top}' y2='{bottom}' class='grid'/>")
        parts.append(_text(x, bottom + 16, f"{value:g}", "middle"))
    for line, label, style in ((zero, "", "#666"), (limit, limit_label, "#b03030")):
        if line is not None:
            x = left + (line - low) * scale
            parts.append(
                f"<line x1='{x:.1f}' x2='{x:.1f}' y1='{top - 8}' y2='{bottom}' stroke='{style}' "
                "stroke-dasharray='5 3'/>"
            )
            parts.append(_text(x, top - 12, label, "middle", f"fill='{style}'"))
    for number, row in enumerate(rows):
        y = top + step * (number + 0.5) + above / 2
        x0, x, x1 = (left + (v - low) * scale for v in (row.low, row.value, row.high))
        hover = f"{row.label}: {row.value:.4f} ({row.low:.4f} to {row.high:.4f}) {unit}"
        parts.append(
            f"<g><title>{escape(hover)}</title>"
            f"<line x1='{x0:.1f}' x2='{x1:.1f}' y1='{y}' y2='{y}' stroke='{row.colour}' "
            f"stroke-width='3'/><circle cx='{x:.1f}' cy='{y}' r='5' fill='{row.colour}'/></g>"
        )
        parts.append(_row_label(row.label, left, y, above))
        parts.append(_text(width - right + 8, y + 4, f"{row.value:.4f}"))
    return _svg(width, bottom + 24, title, parts)


def timeline(
    bars: Sequence[Bar], title: str, marks: Sequence[Mark] = (), width: float = WIDE
) -> str:
    """Return spans on one time axis, a row each."""
    if not bars:
        return ""
    left, above = _rows(width, 210.0)
    right, top, step = 54.0, 24.0, 22.0 + above
    start, end = min(bar.start for bar in bars), max(bar.end for bar in bars)
    scale = (width - left - right) / max(end - start, 1e-9)
    bottom = top + step * len(bars)
    parts = []
    for value in ticks(0, end - start, _about(width)):
        x = left + value * scale
        parts.append(f"<line x1='{x:.1f}' x2='{x:.1f}' y1='{top}' y2='{bottom}' class='grid'/>")
        parts.append(_text(x, bottom + 15, f"{value:g} s", "middle"))
    for mark in marks:
        x = left + (mark.at - start) * scale
        parts.append(
            f"<line x1='{x:.1f}' x2='{x:.1f}' y1='{top - 4}' y2='{bottom}' stroke='{mark.colour}' "
            "stroke-dasharray='4 3'/>"
        )
        parts.append(_text(x, top - 8, mark.label, "middle", f"fill='{mark.colour}'"))
    for number, bar in enumerate(bars):
        y = top + step * number + 4 + above
        x, long = left + (bar.start - start) * scale, max((bar.end - bar.start) * scale, 2.0)
        parts.append(
            f"<rect x='{x:.1f}' y='{y}' width='{long:.1f}' height='{step - 8 - above}' rx='3' "
            f"fill='{bar.colour}'><title>{escape(bar.hover)}</title></rect>"
        )
        parts.append(_row_label(bar.label, left, y + 7, above))
        parts.append(_text(x + long + 5, y + 11, f"{bar.end - bar.start:.1f} s"))
    return _svg(width, bottom + 22, title, parts)


def stacked_bars(
    rows: Sequence[tuple[str, dict[str, float]]],
    title: str,
    colours: dict[str, str],
    unit: str = "",
    width: float = WIDE,
) -> str:
    """Return horizontal stacked bars, one a row, with a legend."""
    if not rows:
        return ""
    left, above = _rows(width, 210.0)
    right, top, step = 40.0, 8.0, 28.0 + above
    most = max(sum(parts.values()) for _, parts in rows) or 1
    scale = (width - left - right) / most
    out = []
    for number, (label, values) in enumerate(rows):
        y, x = top + step * number + above, left
        out.append(_row_label(label, left, y + 12, above))
        for name, value in values.items():
            if value:
                out.append(
                    f"<rect x='{x:.1f}' y='{y + 3}' width='{value * scale:.1f}' "
                    f"height='{step - 8 - above}' "
                    f"fill='{colours[name]}'><title>{escape(label)}, {escape(name)}: {value:g} "
                    f"{escape(unit)}</title></rect>"
                )
                x += value * scale
        out.append(_text(x + 5, y + 16, f"{sum(values.values()):g}"))
    bottom, x = top + step * len(rows) + 6, left
    for name, fill in colours.items():
        out.append(f"<rect x='{x}' y='{bottom}' width='11' height='11' fill='{fill}'/>")
        out.append(_text(x + 16, bottom + 10, name))
        x += 32 + 7 * len(name)
    return _svg(width, bottom + 20, title, out)
