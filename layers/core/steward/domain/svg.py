"""Pieces of pictures that need no script: inline SVG for reports, on a phone and in print."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

PALETTE = ("#2f6f9f", "#e08a1e", "#4f9d69", "#b0476b", "#7a68b3", "#8a8a8a")
WIDE = 720.0
NARROW = 360.0
FONT = "font-family='system-ui,sans-serif' font-size='12'"


def colour(index: int) -> str:
    """Return the palette's colour for a series."""
    return PALETTE[index % len(PALETTE)]


def svg(width: float, height: float, title: str, parts: Sequence[str]) -> str:
    """Return a picture with its title for readers who cannot see it."""
    return (
        f"<svg viewBox='0 0 {width:.0f} {height:.0f}' role='img' "
        f"aria-label='{escape(title, True)}' xmlns='http://www.w3.org/2000/svg' "
        f"{FONT}><title>{escape(title)}</title>" + "".join(parts) + "</svg>"
    )


def text(x: float, y: float, said: str, anchor: str = "start", extra: str = "") -> str:
    """Return a line of text, 12 units high."""
    return (
        f"<text x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}' class='ink' {extra}>"
        f"{escape(said)}</text>"
    )


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Return round values that cover [low, high]."""
    span = high - low
    if span <= 0:
        return [low]
    power = 10.0 ** len(str(int(span / about))) / 10 if span / about >= 1 else 1.0
    while power > span / about:
        power /= 10
    step = next(power * f for f in (1, 2, 5, 10) if power * f >= span / about)
    first = int(low / step) * step
    values = [first + i * step for i in range(int((high - first) / step) + 2)]
    return [round(value, 10) for value in values if low - 1e-9 <= value <= high + 1e-9]
