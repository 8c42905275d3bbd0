"""Pictures of figures over time as inline SVG: shares, confidence sequences, evidence, budgets.

Colours are classes of the page (``band``, ``line``, ``good``, ``bad``, ``need``), so that they
follow its dark and printed forms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape

from steward.domain.svg import NARROW, WIDE, colour, ticks
from steward.domain.svg import svg as _svg
from steward.domain.svg import text as _text

_STEPS_S = (
    1, 5, 15, 60, 300, 900, 1800, 3600, 3 * 3600, 6 * 3600, 12 * 3600,
    86_400, 2 * 86_400, 7 * 86_400, 14 * 86_400, 30 * 86_400,
)  # fmt: skip
_LEFT, _RIGHT = 54.0, 14.0


@dataclass(frozen=True)
class Band:
    """An interval at a time; None where there is none yet.

    Attributes:
        at: Epoch seconds.
        hover: What is said of it.
    """

    at: float
    value: float | None
    low: float | None
    high: float | None
    hover: str


@dataclass(frozen=True)
class Line:
    """A value to draw across, with its label."""

    value: float
    label: str
    kind: str = "need"


@dataclass(frozen=True)
class Need:
    """A bar of what was seen of what is needed."""

    label: str
    seen: float
    needs: float
    kind: str
    hover: str


class _Frame:
    """Axes of a picture: time across, values upward."""

    def __init__(
        self, start: float, end: float, low: float, high: float, width: float, bottom: float
    ) -> None:
        self.start, self.end, self.low, self.high = start, max(end, start + 1e-3), low, high
        self.width, self.top, self.bottom = width, 16.0, bottom

    def x(self, at: float) -> float:
        inner = self.width - _LEFT - _RIGHT
        return _LEFT + (at - self.start) / (self.end - self.start) * inner

    def y(self, value: float) -> float:
        clipped = min(max(value, self.low), self.high)
        return self.bottom - (clipped - self.low) / (self.high - self.low) * (
            self.bottom - self.top
        )

    def axes(self, unit: str = "") -> list[str]:
        right = self.width - _RIGHT
        parts = []
        for value in ticks(self.low, self.high, 4):
            y = self.y(value)
            parts.append(
                f"<line x1='{_LEFT}' x2='{right}' y1='{y:.1f}' y2='{y:.1f}' class='grid'/>"
            )
            parts.append(_text(_LEFT - 6, y + 4, f"{value:g}{unit}", "end"))
        for at, label in time_ticks(self.start, self.end, 6 if self.width > NARROW else 3):
            x = self.x(at)
            parts.append(
                f"<line x1='{x:.1f}' x2='{x:.1f}' y1='{self.bottom}' y2='{self.bottom + 4}' "
                "class='grid'/>"
            )
            anchor = "end" if x > right - 24 else "start" if x < _LEFT + 24 else "middle"
            parts.append(_text(x, self.bottom + 17, label, anchor))
        return parts

    def across(self, line: Line) -> list[str]:
        if not self.low <= line.value <= self.high:
            return []
        y, right = self.y(line.value), self.width - _RIGHT
        return [
            f"<line x1='{_LEFT}' x2='{right}' y1='{y:.1f}' y2='{y:.1f}' class='{line.kind}'/>",
            _text(right, y - 4, line.label, "end", f"opacity='.8' data-kind='{line.kind}'"),
        ]


def time_ticks(start: float, end: float, about: int) -> list[tuple[float, str]]:
    """Return round moments (UTC) within a span with their labels; at most about twice as many."""
    span = max(end - start, 1e-3)
    step = next((s for s in _STEPS_S if span / s <= about), _STEPS_S[-1])
    pattern = "%-d %b" if step >= 86_400 else "%H:%M" if step >= 60 else "%H:%M:%S"
    first = -(-start // step) * step
    moments = (
        [first + i * step for i in range(int((end - first) / step) + 1)] if end >= first else []
    )
    return [(at, _label(datetime.fromtimestamp(at, UTC), pattern)) for at in moments]


def _label(at: datetime, pattern: str) -> str:
    midnight = (at.hour, at.minute, at.second) == (0, 0, 0)
    return at.strftime("%-d %b" if midnight else pattern)


def share_steps(
    moments: Sequence[tuple[float, dict[str, float]]],
    end: float,
    marks: Sequence[tuple[float, str]] = (),
    title: str = "Share of traffic by version",
    width: float = WIDE,
) -> str:
    """Return stacked steps of shares in percent by series, with moments pointed out.

    Args:
        moments: Epoch seconds and shares from then on, ascending.
        end: Where the last step ends.
        marks: Moments to point out, such as a rollback.
        title: For readers who cannot see it.
        width: Of the picture.
    """
    if not moments:
        return ""
    frame = _Frame(moments[0][0], end, 0, 100, width, 190.0)
    names = sorted({name for _, shares in moments for name in shares})
    parts = frame.axes(" %")
    for number, (at, shares) in enumerate(moments):
        until = moments[number + 1][0] if number + 1 < len(moments) else end
        x, wide, base = frame.x(at), max(frame.x(until) - frame.x(at), 0.8), 0.0
        for index, name in enumerate(names):
            share = shares.get(name, 0.0)
            if share:
                top, bottom = frame.y(base + share), frame.y(base)
                parts.append(
                    f"<rect x='{x:.1f}' y='{top:.1f}' width='{wide:.1f}' "
                    f"height='{bottom - top:.1f}' fill='{colour(index)}'><title>{escape(name)}: "
                    f"{share:g} % from {said(at)} to {said(until)}</title></rect>"
                )
            base += share
    for row, (at, label) in enumerate(marks):
        x = frame.x(at)
        anchor, shift = ("end", -4) if x > width * 0.6 else ("start", 4)
        parts.append(
            f"<line x1='{x:.1f}' x2='{x:.1f}' y1='{frame.top - 6}' y2='{frame.bottom}' "
            "class='mark'/>"
        )
        parts.append(_text(x + shift, frame.top + 12 + 14 * (row % 3), label, anchor,
                           "style='fill:#fff;font-weight:600'"))  # fmt: skip
    x = _LEFT
    for index, name in enumerate(names):
        y = frame.bottom + 28
        parts.append(f"<rect x='{x:.0f}' y='{y}' width='11' height='11' fill='{colour(index)}'/>")
        parts.append(_text(x + 16, y + 10, name))
        x += 36 + 7.5 * len(name)
    return _svg(width, frame.bottom + 48, title, parts)


def confidence_band(
    bands: Sequence[Band],
    title: str,
    lines: Sequence[Line] = (),
    kind: str = "",
    width: float = WIDE,
) -> str:
    """Return a confidence sequence over time: its band, its estimate, the zero line.

    The scale fits the newer two thirds; what is wider is cut at the edge.

    Args:
        bands: In order of time.
        title: For readers who cannot see it.
        lines: Values to draw beside the zero line; those far outside are left out.
        kind: Class of the band: ``good``, ``bad`` or nothing.
        width: Of the picture.
    """
    known = [b for b in bands if b.low is not None and b.high is not None]
    if not known:
        return ""
    low, high = _range(known, lines)
    start, end = bands[0].at, bands[-1].at
    pad = (end - start) * 0.02 or 0.5
    frame = _Frame(start - pad, end + pad, low, high, width, 170.0)
    parts = [*frame.axes(), *frame.across(Line(0.0, "", "zero"))]
    for line in lines:
        parts += frame.across(line)
    upper = [(frame.x(b.at), frame.y(b.high or 0.0)) for b in known]
    lower = [(frame.x(b.at), frame.y(b.low or 0.0)) for b in known]
    outline = " ".join(f"{x:.1f},{y:.1f}" for x, y in [*upper, *reversed(lower)])
    parts.append(f"<polygon points='{outline}' class='band {kind}'/>")
    if len(known) == 1:  # one interval has no area yet: draw it as a bar
        (x, top), (_, foot) = upper[0], lower[0]
        parts.append(
            f"<line x1='{x:.1f}' x2='{x:.1f}' y1='{top:.1f}' y2='{foot:.1f}' class='edge {kind}'/>"
        )
    for edge in (upper, lower):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in edge)
        parts.append(f"<polyline points='{path}' class='edge {kind}'/>")
    middle = [b for b in known if b.value is not None]
    path = " ".join(f"{frame.x(b.at):.1f},{frame.y(b.value or 0.0):.1f}" for b in middle)
    parts.append(f"<polyline points='{path}' class='line {kind}'/>")
    dots = 3.5 if len(bands) <= 60 else 2.0
    for band in bands:
        y = frame.y(band.value or 0.0)
        dot = f"dot {kind}" if band.low is not None else "dot waits"
        parts.append(
            f"<circle cx='{frame.x(band.at):.1f}' cy='{y:.1f}' r='{dots}' class='{dot}'>"
            f"<title>{escape(band.hover)}</title></circle>"
        )
    return _svg(width, frame.bottom + 26, title, parts)


def _range(known: Sequence[Band], lines: Sequence[Line]) -> tuple[float, float]:
    newer = known[-max(1, len(known) * 2 // 3) :]
    edges = [0.0, *(e for b in newer for e in (b.low, b.high, b.value) if e is not None)]
    low, high = min(edges), max(edges)
    span = (high - low) or 1.0
    near = [line.value for line in lines if low - span / 2 <= line.value <= high + span / 2]
    low, high = min([low, *near]), max([high, *near])
    pad = ((high - low) or 1.0) * 0.08
    return low - pad, high + pad


def evidence_line(
    points: Sequence[tuple[float, float, str]],
    needs: float,
    title: str,
    need_label: str,
    width: float = WIDE,
) -> str:
    """Return a log e-value over time with what decides.

    Args:
        points: Epoch seconds, log e-value, what is said of it.
        needs: The log e-value that decides.
        title: For readers who cannot see it.
        need_label: Of the line that decides.
        width: Of the picture.
    """
    if not points:
        return ""
    values = [value for _, value, _ in points]
    low = min(0.0, max(min(values), -needs / 2))
    high = max(needs * 1.2, min(max(values), needs * 6))
    start, end = points[0][0], points[-1][0]
    pad = (end - start) * 0.02 or 0.5
    frame = _Frame(start - pad, end + pad, low, high, width, 150.0)
    over = values[-1] >= needs
    path = " ".join(f"{frame.x(at):.1f},{frame.y(value):.1f}" for at, value, _ in points)
    parts = [
        *frame.axes(), *frame.across(Line(0.0, "", "zero")),
        *frame.across(Line(needs, need_label, "need")),
        f"<polyline points='{path}' class='line {'bad' if over else ''}'/>",
    ]  # fmt: skip
    for at, value, hover in points:
        parts.append(
            f"<circle cx='{frame.x(at):.1f}' cy='{frame.y(value):.1f}' r='2.5' "
            f"class='dot {'bad' if value >= needs else ''}'><title>{escape(hover)}</title></circle>"
        )
    return _svg(width, frame.bottom + 26, title, parts)


def need_bars(rows: Sequence[Need], title: str, width: float = WIDE) -> str:
    """Return bars of what was seen of what is needed; the line at their end decides."""
    if not rows:
        return ""
    narrow = width <= NARROW
    left, above = (0.0, 16.0) if narrow else (230.0, 0.0)
    right, step = 108.0, 28.0 + above
    inner, parts = width - left - right, []
    for number, row in enumerate(rows):
        y = 4 + step * number + above
        full = min(1.0, max(0.0, row.seen / row.needs)) if row.needs > 0 else 0.0
        parts.append(
            f"<g><title>{escape(row.hover)}</title>"
            f"<rect x='{left}' y='{y}' width='{inner:.1f}' height='14' rx='3' class='empty'/>"
            f"<rect x='{left}' y='{y}' width='{inner * full:.1f}' height='14' rx='3' "
            f"class='full {row.kind}'/>"
            f"<line x1='{left + inner:.1f}' x2='{left + inner:.1f}' y1='{y - 3}' y2='{y + 17}' "
            "class='need'/></g>"
        )
        parts.append(
            _text(0, y - 5, row.label) if narrow else _text(left - 10, y + 11, row.label, "end")
        )
        parts.append(_text(left + inner + 8, y + 11, f"{row.seen:.2f} of {row.needs:.2f}"))
    return _svg(width, 8 + step * len(rows), title, parts)


def said(at: float) -> str:
    """Return epoch seconds as people read them."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
