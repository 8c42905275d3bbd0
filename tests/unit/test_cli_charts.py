"""The chart library draws what it is given."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steward_cli import charts

SVG = "{http://www.w3.org/2000/svg}"


def parsed(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_lie_within_the_range_and_are_few(low: float, span: float) -> None:
    values = charts.ticks(low, low + span)
    tolerance = 1e-6 * max(1.0, abs(low), span)
    assert len(values) <= 12
    assert all(low - tolerance <= value <= low + span + tolerance for value in values)
    assert values == sorted(values)


def test_shares_are_drawn_as_steps_to_the_end() -> None:
    svg = parsed(
        charts.shares_over_time(
            [(0.0, {"version 1": 100.0}), (10.0, {"version 1": 90.0, "version 2": 10.0})],
            20.0,
            [charts.Mark(12.0, "alarm")],
        )
    )
    hovers = [title.text or "" for title in svg.iter(f"{SVG}title")]
    assert any("version 2: 10 % from 10.0 s to 20.0 s" in hover for hover in hovers)
    assert any(text.text == "alarm" for text in svg.iter(f"{SVG}text"))


def test_intervals_show_value_and_bounds_on_hover() -> None:
    svg = parsed(
        charts.intervals([charts.Interval("version 1", 0.2, 0.15, 0.25)], "Brier", limit=0.22)
    )
    hovers = [title.text or "" for title in svg.iter(f"{SVG}title")]
    assert any("0.2000 (0.1500 to 0.2500)" in hover for hover in hovers)


def test_labels_are_escaped() -> None:
    svg = charts.stacked_bars([("<b>x</b>", {"a": 1.0})], "t", {"a": "#000"})
    assert "<b>" not in svg
    parsed(svg)


@pytest.mark.parametrize(
    "svg",
    [
        charts.shares_over_time([], 1.0),
        charts.intervals([], "x"),
        charts.timeline([], "x"),
        charts.stacked_bars([], "x", {}),
    ],
)
def test_nothing_to_draw_is_nothing(svg: str) -> None:
    assert svg == ""


def test_bars_of_no_length_stay_visible() -> None:
    bars = [charts.Bar("a", 0.0, 0.0, "#000", "a"), charts.Bar("b", 0.0, 2.0, "#000", "b")]
    svg = parsed(charts.timeline(bars, "t"))
    widths = [float(rect.get("width", "0")) for rect in svg.iter(f"{SVG}rect")]
    assert min(widths) >= 2.0
