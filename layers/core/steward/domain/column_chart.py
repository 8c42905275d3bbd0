"""The picture of one column's distribution, beside an earlier one."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape

from steward.domain.profiles import ColumnProfile
from steward.domain.svg import NARROW, svg, text, ticks

BARS = 24
_LEVELS = 8
_TOP, _BOTTOM = 8.0, 112.0
_LEFT, _RIGHT = 34.0, 8.0


def distribution(column: ColumnProfile, before: ColumnProfile | None = None) -> str:
    """Return shares by value as inline SVG; empty where there is nothing to count.

    Args:
        column: What is drawn as bars.
        before: What is drawn as a line, where both are counted alike.
    """
    if not column.count:
        return ""
    comparable = before if before is not None and before.count else None
    if column.levels and len(column.levels) <= 1000:
        return _by_level(column, comparable)
    if column.bins and column.bin_edges:
        return _on_bins(column, comparable)
    return ""


def _by_level(column: ColumnProfile, before: ColumnProfile | None) -> str:
    names = list(column.levels)[:_LEVELS]
    if column.type == "integer":
        names.sort(key=int)
    rest = column.count - sum(column.levels[name] for name in names)
    shares = [(name, column.levels[name] / column.count) for name in names]
    if rest:
        shares.append(("others", rest / column.count))
    step, left, width = 19.0, 110.0, NARROW
    scale = (width - left - 52) / max(share for _, share in shares)
    parts = []
    for place, (name, share) in enumerate(shares):
        y = 6 + step * place
        was = _level_share(before, name, names) if before is not None else None
        said = f"{name}: {share:.1%}" + ("" if was is None else f", before {was:.1%}")
        parts.append(
            f"<g><title>{escape(said)}</title><rect x='{left}' y='{y}' "
            f"width='{max(share * scale, 0.5):.1f}' height='13' class='bar'/></g>"
        )
        if was is not None:
            x = left + min(was * scale, width - left - 4)
            parts.append(_line(x, x, y - 2, y + 15, "before"))
        label = name if len(name) <= 15 else f"{name[:14]}…"
        parts.append(text(left - 6, y + 11, label, "end"))
        parts.append(text(left + share * scale + 5, y + 11, f"{share:.1%}"))
    return svg(width, 10 + step * len(shares), f"Shares of {column.name}", parts)


def _line(x1: float, x2: float, y1: float, y2: float, kind: str) -> str:
    return f"<line x1='{x1:.1f}' x2='{x2:.1f}' y1='{y1:.1f}' y2='{y2:.1f}' class='{kind}'/>"


def _level_share(before: ColumnProfile, name: str, shown: list[str]) -> float:
    if name != "others":
        return before.levels.get(name, 0) / before.count
    return (before.count - sum(before.levels.get(known, 0) for known in shown)) / before.count


def _on_bins(column: ColumnProfile, before: ColumnProfile | None) -> str:
    low, high = _range(column)
    if high <= low:
        return ""
    bars = _rebinned(column, low, high)
    line = None
    if before is not None and before.bin_edges == column.bin_edges:
        line = _rebinned(before, low, high)
    most = max([*bars, *(line or [0.0])])
    width = NARROW
    across, up = (width - _LEFT - _RIGHT) / BARS, (_BOTTOM - _TOP) / max(most, 1e-9)
    parts = []
    for value in ticks(0.0, most * 100, 3):
        y = _BOTTOM - value / 100 * up
        parts.append(_line(_LEFT, width - _RIGHT, y, y, "grid"))
        parts.append(text(_LEFT - 4, y + 4, f"{value:g}%", "end"))
    step = (high - low) / BARS
    for place, share in enumerate(bars):
        begin, end = low + place * step, low + (place + 1) * step
        said = f"{_label(column, begin)} to {_label(column, end)}: {share:.2%}"
        if line is not None:
            said += f", before {line[place]:.2%}"
        parts.append(
            f"<rect x='{_LEFT + place * across + 0.5:.1f}' y='{_BOTTOM - share * up:.1f}' "
            f"width='{across - 1:.1f}' height='{share * up:.1f}' class='bar'>"
            f"<title>{escape(said)}</title></rect>"
        )
    if line is not None:
        points = " ".join(
            f"{_LEFT + (place + side) * across:.1f},{_BOTTOM - share * up:.1f}"
            for place, share in enumerate(line)
            for side in (0, 1)
        )
        parts.append(f"<polyline points='{points}' class='before'/>")
    for value in _axis(column, low, high):
        x = _LEFT + (value - low) / (high - low) * (width - _LEFT - _RIGHT)
        anchor = "start" if x < _LEFT + 20 else "end" if x > width - 40 else "middle"
        parts.append(text(x, _BOTTOM + 15, _label(column, value), anchor))
    return svg(width, _BOTTOM + 22, f"Distribution of {column.name}", parts)


def _axis(column: ColumnProfile, low: float, high: float) -> list[float]:
    return [low, high] if column.type == "timestamp" else ticks(low, high, 4)


def _label(column: ColumnProfile, value: float) -> str:
    if column.type != "timestamp":
        return f"{value:.4g}"
    return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%d")


def _range(column: ColumnProfile) -> tuple[float, float]:
    """Return what is shown: the inner bins and a sixth of their span beyond, within the range."""
    first, last = column.bin_edges[0], column.bin_edges[-1]
    span = (last - first) or abs(first) * 0.01 or 1.0
    low, high = first - span / 6, last + span / 6
    if column.type in ("integer", "float"):
        low, high = (
            max(low, min(float(column.min or first), first)),
            min(high, max(float(column.max or last), last)),
        )
    return (low - 0.5, high + 0.5) if column.type == "integer" else (low, high)


def _rebinned(column: ColumnProfile, low: float, high: float) -> list[float]:
    """Return shares on equal bars; within a bin the values are taken as evenly spread."""
    shift = 0.5 if column.type == "integer" else 0.0
    edges = [edge + shift for edge in column.bin_edges]
    bounds = [min(low, edges[0]), *edges, max(high, edges[-1])]
    bars = [0.0] * BARS
    step = (high - low) / BARS
    for begin, end, rows in zip(bounds[:-1], bounds[1:], column.bins, strict=True):
        if not rows:
            continue
        first = min(BARS - 1, max(0, int((begin - low) / step)))
        last = min(BARS - 1, max(0, int((end - low) / step)))
        for bar in range(first, last + 1):
            inside = min(end, low + (bar + 1) * step) - max(begin, low + bar * step)
            part = inside / (end - begin) if end > begin else 1.0
            bars[bar] += max(part, 0.0) * rows / column.count
    return bars
