"""Charts over time, of SVG and of text, draw what they are given."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steward_cli import time_charts
from steward_cli.terminal_chart import HEIGHT, Column, bar, interval_chart, scale
from steward_cli.time_charts import Band, Line, Need

SVG = "{http://www.w3.org/2000/svg}"
HOUR = 3600.0


def parsed(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)


def hovers(svg: str) -> list[str]:
    return [title.text or "" for title in parsed(svg).iter(f"{SVG}title")]


@given(st.floats(0, 2e9), st.floats(1, 1e8), st.sampled_from([3, 6]))
def test_time_ticks_lie_within_the_span_and_are_few(start: float, span: float, about: int) -> None:
    moments = [at for at, _ in time_charts.time_ticks(start, start + span, about)]
    assert all(start <= at <= start + span for at in moments)
    assert moments == sorted(set(moments))
    assert len(moments) <= max(about + 1, span / (30 * 86_400) + 1)


def test_midnight_is_labelled_by_its_date() -> None:
    labels = [label for _, label in time_charts.time_ticks(86_400 - 6 * HOUR, 86_400 + 6 * HOUR, 6)]
    assert "2 Jan" in labels
    assert "21:00" in labels


def test_shares_are_steps_that_end_where_the_next_begins() -> None:
    moments = [(0.0, {"version 1": 100.0}), (HOUR, {"version 1": 90.0, "version 2": 10.0})]
    svg = time_charts.share_steps(moments, 2 * HOUR, [(HOUR, "step <1>")])
    said = hovers(svg)
    assert "version 1: 100 % from 1970-01-01 00:00 UTC to 1970-01-01 01:00 UTC" in said
    assert "version 2: 10 % from 1970-01-01 01:00 UTC to 1970-01-01 02:00 UTC" in said
    assert any(text.text == "step <1>" for text in parsed(svg).iter(f"{SVG}text"))


limits = st.floats(-1e3, 1e3).filter(lambda v: v == 0 or abs(v) > 1e-6)


@given(st.lists(st.tuples(limits, limits, limits), min_size=1, max_size=40), limits)
def test_a_band_stays_within_its_picture(
    drawn: list[tuple[float, float, float]], margin: float
) -> None:
    bands = [
        Band(HOUR * i, sorted(v)[1], min(v), max(v), f"verdict {i}") for i, v in enumerate(drawn)
    ]
    svg = parsed(time_charts.confidence_band(bands, "t", [Line(margin, "margin")]))
    for shape in svg.iter(f"{SVG}polygon"):
        pairs = [pair.split(",") for pair in shape.attrib["points"].split()]
        assert all(0 <= float(x) <= 720 and 0 <= float(y) <= 200 for x, y in pairs)
        assert len(pairs) == 2 * len(bands)


def test_points_without_an_interval_wait_on_the_zero_line() -> None:
    bands = [Band(0, None, None, None, "waits"), Band(HOUR, 0.1, -0.1, 0.3, "verdict 2")]
    svg = time_charts.confidence_band(bands, "t")
    classes = [dot.attrib["class"] for dot in parsed(svg).iter(f"{SVG}circle")]
    assert classes == ["dot waits", "dot "]


def test_one_interval_alone_is_a_bar_from_end_to_end() -> None:
    bands = [Band(0, None, None, None, "waits"), Band(HOUR, 0.1, -0.1, 0.3, "verdict 2")]
    [bar] = [
        line
        for line in parsed(time_charts.confidence_band(bands, "t")).iter(f"{SVG}line")
        if line.attrib.get("class", "").startswith("edge")
    ]
    [dot] = [
        dot
        for dot in parsed(time_charts.confidence_band(bands, "t")).iter(f"{SVG}circle")
        if dot.attrib["class"] == "dot "
    ]
    assert bar.attrib["x1"] == bar.attrib["x2"] == dot.attrib["cx"]
    assert float(bar.attrib["y1"]) < float(dot.attrib["cy"]) < float(bar.attrib["y2"])


def test_evidence_that_decides_is_coloured_by_what_it_proves() -> None:
    points = [(0.0, 0.5, "early"), (HOUR, 9.0, "late")]
    svg = time_charts.evidence_line(points, 6.9, "t", "mismatch")
    classes = [dot.attrib["class"] for dot in parsed(svg).iter(f"{SVG}circle")]
    assert classes == ["dot ", "dot bad"]


@pytest.mark.parametrize("width", [360.0, 720.0])
def test_bars_are_full_at_their_need_and_empty_below_zero(width: float) -> None:
    rows = [Need("a: harm", 9.0, 3.0, "bad", "a"), Need("b: harm", -2.0, 3.0, "", "b")]
    svg = parsed(time_charts.need_bars(rows, "t", width))
    widths: dict[str, list[float]] = {}
    for rect in svg.iter(f"{SVG}rect"):
        kind = rect.attrib["class"].split()[0]
        widths.setdefault(kind, []).append(float(rect.attrib["width"]))
    assert widths["full"] == [widths["empty"][0], 0.0]


@pytest.mark.parametrize(
    "svg",
    [
        time_charts.share_steps([], 1.0),
        time_charts.confidence_band([Band(0, None, None, None, "")], "t"),
        time_charts.evidence_line([], 1.0, "t", "n"),
        time_charts.need_bars([], "t"),
    ],
)
def test_nothing_is_drawn_of_nothing(svg: str) -> None:
    assert svg == ""


# In the terminal


def lines_of(columns: list[Column], width: int, lines: list[float] | None = None) -> list[str]:
    return interval_chart(columns, width, lines or []).plain.split("\n")


@given(
    st.lists(st.tuples(limits, limits, limits), min_size=1, max_size=200),
    st.integers(20, 120),
    st.lists(limits, max_size=2),
)
def test_a_chart_of_text_fits_its_width_and_marks_the_newest_interval(
    drawn: list[tuple[float, float, float]], width: int, lines: list[float]
) -> None:
    columns = [Column(sorted(v)[1], min(v), max(v)) for v in drawn]
    rows = lines_of(columns, width, lines)
    assert len(rows) == HEIGHT
    assert max(len(row) for row in rows) <= width
    low, high = scale(columns, lines)
    newest = columns[-1]
    assert low < 0 < high
    assert newest.low is not None
    assert newest.high is not None
    assert low <= newest.low <= newest.high <= high


def test_the_zero_line_is_named_and_what_is_cut_has_an_arrow() -> None:
    wide = Column(0.0, -50.0, 50.0)
    rows = lines_of([wide, *[Column(0.1, -0.2, 0.4)] * 8], 60)
    zero = next(row for row in rows if row.strip().startswith("0 ┼"))
    assert "─" in zero
    assert "↑" in rows[0]
    assert "↓" in rows[-1]
    assert sum(row.count("●") for row in rows) == 9


def test_a_verdict_without_an_interval_is_a_dot_on_the_zero_line() -> None:
    rows = lines_of([Column(None, None, None), Column(0.1, -0.2, 0.4)], 40)
    assert sum(row.count("·") for row in rows) == 1


@pytest.mark.parametrize(("share", "full"), [(-1, 0), (0, 0), (0.5, 10), (1, 20), (7, 20)])
def test_a_bar_is_full_at_one(share: float, full: int) -> None:
    assert bar(share).plain == "█" * full + "░" * (20 - full)
