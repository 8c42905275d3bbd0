"""Pictures of monitoring as inline SVG: a column beside its baseline, horizons over time.

Colours are classes of the page, so that they follow its dark and printed forms.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from steward.domain.monitoring.counts import (
    CategoricalCounts,
    ColumnBaseline,
    Counts,
    NumericBins,
    NumericCounts,
    Vocabulary,
)
from steward.domain.monitoring.looks import Look
from steward.domain.svg import NARROW, WIDE, svg, text, ticks
from steward_cli.monitoring import minute, seconds
from steward_cli.time_charts import time_ticks

LEVELS = 8
BARS = 20
_LEFT, _RIGHT, _TOP, _BOTTOM = 40.0, 8.0, 10.0, 116.0
Cell = tuple[str, float, float, float, float]
"""What is said, from, to (both of the axis), share now, share in the baseline."""


def column_chart(baseline: ColumnBaseline, counts: Counts) -> str:
    """Return shares by value: bars now, a line for the baseline; empty where there is nothing."""
    if not counts.rows or not baseline.counts.rows:
        return ""
    if isinstance(baseline.cells, Vocabulary):
        assert isinstance(counts, CategoricalCounts)
        assert isinstance(baseline.counts, CategoricalCounts)
        return _levels(baseline.name, baseline.cells, baseline.counts, counts)
    assert isinstance(counts, NumericCounts)
    assert isinstance(baseline.counts, NumericCounts)
    if len(baseline.cells.edges) < 2:
        return ""
    return _numbers(baseline.name, baseline.cells, baseline.counts, counts)


def _levels(name: str, cells: Vocabulary, before: CategoricalCounts, now: CategoricalCounts) -> str:
    rows = [
        (level, now.levels[n] / now.rows, before.levels[n] / before.rows)
        for n, level in enumerate(cells.levels[:LEVELS])
    ]
    rest = (sum(now.levels[LEVELS:]) / now.rows, sum(before.levels[LEVELS:]) / before.rows)
    for label, one, other in (
        ("other levels", *rest),
        ("new values", now.outside / now.rows, before.outside / before.rows),
        ("missing", now.missing / now.rows, before.missing / before.rows),
    ):
        if one or other:
            rows.append((label, one, other))
    step, left = 20.0, 112.0
    scale = (NARROW - left - 56) / max(max(one, other) for _, one, other in rows)
    parts = []
    for place, (label, one, other) in enumerate(rows):
        y, mark = 6 + step * place, left + other * scale
        hover = f"{label}: {one:.1%} now, {other:.1%} in the baseline"
        shown = label if len(label) <= 15 else f"{label[:14]}…"
        parts += [
            f"<g><title>{escape(hover)}</title><rect x='{left}' y='{y}' "
            f"width='{max(one * scale, 0.5):.1f}' height='13' class='bar'/>"
            f"<line x1='{mark:.1f}' x2='{mark:.1f}' y1='{y - 2}' y2='{y + 15}' class='before'/>"
            "</g>",
            text(left - 6, y + 11, shown, "end"),
            text(left + max(one, other) * scale + 6, y + 11, f"{one:.1%}"),
        ]
    return svg(NARROW, 12 + step * len(rows), f"{name} now and in the baseline", parts)


def _numbers(name: str, cells: NumericBins, before: NumericCounts, now: NumericCounts) -> str:
    bars = _bars(cells, before, now)
    low, high = bars[0][1], bars[-1][2]
    most = max(max(one, other) for _, _, _, one, other in bars) or 1.0
    inner, height = NARROW - _LEFT - _RIGHT, _BOTTOM - _TOP

    def x(value: float) -> float:
        return _LEFT + (value - low) / ((high - low) or 1.0) * inner

    def y(share: float) -> float:
        return _BOTTOM - share / most * height

    parts = []
    for share in ticks(0.0, most, 3):
        parts += [
            f"<line x1='{_LEFT}' x2='{NARROW - _RIGHT}' y1='{y(share):.1f}' y2='{y(share):.1f}' "
            "class='grid'/>",
            text(_LEFT - 5, y(share) + 4, f"{share:.3g}" if most < 0.01 else f"{share:.0%}", "end"),
        ]
    outline = []
    for label, start, end, one, other in bars:
        wide = max(x(end) - x(start) - 0.8, 0.6)
        hover = f"{label}: {one:.1%} now, {other:.1%} in the baseline"
        parts.append(
            f"<g><title>{escape(hover)}</title><rect x='{x(start):.1f}' y='{_TOP}' "
            f"width='{wide:.1f}' height='{height}' class='hit'/><rect x='{x(start):.1f}' "
            f"y='{y(one):.1f}' width='{wide:.1f}' height='{_BOTTOM - y(one):.1f}' class='bar'/></g>"
        )
        outline += [f"{x(start):.1f},{y(other):.1f}", f"{x(end):.1f},{y(other):.1f}"]
    parts.append(f"<polyline points='{' '.join(outline)}' class='before' fill='none'/>")
    for value in ticks(low, high, 4):
        anchor = "end" if x(value) > NARROW - 30 else "middle"
        parts.append(text(x(value), _BOTTOM + 16, f"{value:g}", anchor))
    return svg(NARROW, _BOTTOM + 24, f"{name} now and in the baseline", parts)


def _bars(cells: NumericBins, before: NumericCounts, now: NumericCounts) -> list[Cell]:
    """Return the baseline's bins gathered into bars of one width, outer values at the ends.

    A bin's rows are spread evenly over it where it lies in several bars.
    """
    edges = cells.edges
    low, high = edges[0], edges[-1]
    step = (high - low) / BARS or 1.0
    bounds = [low + step * n for n in range(BARS + 1)]
    shares = [_spread(edges, counts.bins, bounds, counts.finite or 1) for counts in (now, before)]
    bars = [
        (f"{bounds[n]:.4g} to {bounds[n + 1]:.4g}", bounds[n], bounds[n + 1],
         shares[0][n], shares[1][n])
        for n in range(BARS)
    ]  # fmt: skip
    for label, one, other, start in (
        (f"below {low:.4g}", now.below, before.below, low - 2 * step),
        (f"above {high:.4g}", now.above, before.above, high + step),
    ):
        if one or other:
            share = (one / (now.finite or 1), other / (before.finite or 1))
            bars.append((label, start, start + step, *share))
    return sorted(bars, key=lambda bar: bar[1])


def _spread(
    edges: Sequence[float], bins: Sequence[int], bounds: Sequence[float], total: int
) -> list[float]:
    shares = [0.0] * (len(bounds) - 1)
    step = bounds[1] - bounds[0]
    for number, count in enumerate(bins):
        low, high = edges[number], edges[number + 1]
        first = min(int((low - bounds[0]) / step), len(shares) - 1)
        last = min(math.ceil((high - bounds[0]) / step) - 1, len(shares) - 1)
        for place in range(first, max(first, last) + 1):
            covered = min(high, bounds[place + 1]) - max(low, bounds[place])
            part = 1.0 if first >= last else max(0.0, covered) / (high - low)
            shares[place] += count * part / total
    return shares


def horizon_chart(looks: Sequence[Look], width: float = WIDE) -> str:
    """Return the alarm over time: a row for each trailing sum, a cell for each look.

    A cell is empty where the sum was not judged, and full where a column alarms in it.
    """
    horizons = sorted({horizon for look in looks for horizon in look.drift.judged})
    if not horizons:
        return ""
    left, top, step = 46.0, 8.0, 17.0
    first, last = seconds(looks[0].window), seconds(looks[-1].ends)
    inner = width - left - 8
    parts = []
    for row, horizon in enumerate(horizons):
        y = top + row * step
        parts.append(text(left - 6, y + 12, f"{horizon}", "end"))
        for look in looks:
            at, until = seconds(look.window), seconds(look.ends)
            x = left + (at - first) / (last - first) * inner
            wide = max((until - at) / (last - first) * inner - 0.6, 0.8)
            kind, hover = _cell(look, horizon)
            parts.append(
                f"<rect x='{x:.1f}' y='{y:.1f}' width='{wide:.1f}' height='{step - 2}' "
                f"class='{kind}'><title>{escape(hover)}</title></rect>"
            )
    bottom = top + step * len(horizons)
    for at, label in time_ticks(first, last, 6 if width > NARROW else 3):
        x = left + (at - first) / (last - first) * inner
        anchor = "start" if x < left + 20 else "end" if x > width - 30 else "middle"
        parts.append(text(x, bottom + 14, label, anchor))
    return svg(width, bottom + 22, "Alarm by trailing sum over time", parts)


def _cell(look: Look, horizon: int) -> tuple[str, str]:
    when = f"{minute(look.window)} UTC, sum of {horizon} windows"
    if horizon not in look.drift.judged:
        return "empty", f"{when}: not judged"
    columns = [column for column in look.drift.columns if column.horizon == horizon]
    if not columns:
        return "quiet", f"{when}: no alarm"
    told = ", ".join(f"{column.name} (p {column.p:.2g})" for column in columns)
    return "loud", f"{when}: {told}"


def strip(looks: Sequence[Look], width: float = WIDE) -> str:
    """Return rows captured by window as bars; the colour is the window's verdict."""
    if not looks:
        return ""
    left, bottom, height = 46.0, 92.0, 78.0
    first, last = seconds(looks[0].window), seconds(looks[-1].ends)
    most = max(look.captured.rows for look in looks) or 1
    inner = width - left - 8
    parts = []
    for value in ticks(0, most, 3):
        y = bottom - value / most * height
        parts += [
            f"<line x1='{left}' x2='{width - 8}' y1='{y:.1f}' y2='{y:.1f}' class='grid'/>",
            text(left - 6, y + 4, f"{value:g}", "end"),
        ]
    for look in looks:
        at, until = seconds(look.window), seconds(look.ends)
        x = left + (at - first) / (last - first) * inner
        wide = max((until - at) / (last - first) * inner - 0.8, 0.8)
        tall = max(look.captured.rows / most * height, 1.0)
        verdict = look.window_verdict.verdict if look.window_verdict else "no_data"
        parts.append(
            f"<rect x='{x:.1f}' y='{bottom - tall:.1f}' width='{wide:.1f}' height='{tall:.1f}' "
            f"class='{verdict}'><title>{escape(f'{minute(look.window)} UTC: {look.captured.rows}')}"
            f" rows, {escape(verdict.replace('_', ' '))}</title></rect>"
        )
    for at, label in time_ticks(first, last, 6 if width > NARROW else 3):
        x = left + (at - first) / (last - first) * inner
        anchor = "start" if x < left + 20 else "end" if x > width - 30 else "middle"
        parts.append(text(x, bottom + 16, label, anchor))
    return svg(width, bottom + 24, "Captured rows by window", parts)
