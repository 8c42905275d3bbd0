"""Pictures of text: intervals over time with their zero line, and bars against a need."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.text import Text

HEIGHT = 9
_LABEL = 9
_FULL, _EMPTY = "█", "░"
_COLOURS = {"good": "green", "bad": "red", "": "cyan"}


@dataclass(frozen=True)
class Column:
    """One interval; None where there is none yet.

    Attributes:
        tone: ``good``, ``bad`` or nothing.
    """

    value: float | None
    low: float | None
    high: float | None
    tone: str = ""


def interval_chart(columns: Sequence[Column], width: int, lines: Sequence[float] = ()) -> Text:
    """Return intervals over time, oldest left: a bar from limit to limit, a point the estimate.

    The scale fits the newer intervals; what is wider is cut, with an arrow at the edge.

    Args:
        columns: In order of time; more than fit are thinned out evenly, the newest kept.
        width: Of the whole picture in characters.
        lines: Values to draw beside the zero line, such as a margin.
    """
    places = max(1, width - _LABEL - 2)
    shown = _thinned(columns, places)
    stride = max(1, min(4, places // len(shown))) if shown else 1
    low, high = scale(columns, lines)
    rows = [[(" ", "")] * (len(shown) * stride) for _ in range(HEIGHT)]

    def row_of(value: float) -> int:
        return round((high - value) / (high - low) * (HEIGHT - 1))

    for value in lines:
        if low <= value <= high:
            rows[row_of(value)] = [("┄", "yellow")] * (len(shown) * stride)
    rows[row_of(0.0)] = [("─", "dim")] * (len(shown) * stride)
    for number, column in enumerate(shown):
        _draw(rows, number * stride + stride // 2, column, low, high, row_of)
    labels = {0: f"{high:+.3g}", HEIGHT - 1: f"{low:+.3g}", row_of(0.0): "0"}
    text = Text(no_wrap=True)
    for number, cells in enumerate(rows):
        text.append(f"{labels.get(number, ''):>{_LABEL}} ", "dim")
        text.append("┼" if number == row_of(0.0) else "│", "dim")
        for sign, style in cells:
            text.append(sign, style)
        text.append("\n" if number < HEIGHT - 1 else "")
    return text


def scale(columns: Sequence[Column], lines: Sequence[float] = ()) -> tuple[float, float]:
    """Return the range of values to show: zero, the newer intervals, and lines that are near."""
    known = [c for c in columns if c.low is not None and c.high is not None]
    newer = known[-max(1, len(known) * 2 // 3) :]
    edges = [0.0, *(e for c in newer for e in (c.low, c.high, c.value) if e is not None)]
    low, high = min(edges), max(edges)
    span = (high - low) or 1.0
    near = [v for v in lines if low - span / 2 <= v <= high + span / 2]
    low, high = min([low, *near]), max([high, *near])
    pad = ((high - low) or 1.0) * 0.04
    return low - pad, high + pad


def _draw(
    rows: list[list[tuple[str, str]]],
    place: int,
    column: Column,
    low: float,
    high: float,
    row_of: Callable[[float], int],
) -> None:
    if column.low is None or column.high is None:
        rows[row_of(0.0)][place] = ("·", "dim")
        return
    style = _COLOURS[column.tone]
    top, bottom = row_of(min(column.high, high)), row_of(max(column.low, low))
    for row in range(max(0, top), min(HEIGHT - 1, bottom) + 1):
        rows[row][place] = ("│", style)
    if column.high > high:
        rows[0][place] = ("↑", style)
    if column.low < low:
        rows[HEIGHT - 1][place] = ("↓", style)
    if column.value is not None and low <= column.value <= high:
        rows[row_of(column.value)][place] = ("●", style)


def _thinned(columns: Sequence[Column], most: int) -> list[Column]:
    if len(columns) <= most:
        return list(columns)
    last = len(columns) - 1
    return [columns[round(i * last / (most - 1))] for i in range(most)] if most > 1 else [
        columns[-1]
    ]  # fmt: skip


def bar(share: float, width: int = 20, style: str = "cyan") -> Text:
    """Return a bar that is full at a share of 1; what is less than 0 is empty."""
    full = round(min(1.0, max(0.0, share)) * width)
    return Text.assemble((_FULL * full, style), (_EMPTY * (width - full), "dim"))
