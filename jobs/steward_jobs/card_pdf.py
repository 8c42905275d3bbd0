"""A model card as PDF: text, tables and vector pictures, with nothing from elsewhere."""

from __future__ import annotations

import io
from html import escape
from typing import Any

from reportlab.graphics.shapes import Circle, Drawing, Line, String
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.platypus import KeepTogether, Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

from steward.domain.cards.card import UNPROVEN, Card, Estimate, Group, Section, Statement

_WIDTH = A4[0] - 36 * mm - 12  # the frame pads six points on each side
_INK, _SOFT, _LINE, _BLUE, _WARN = (
    colors.HexColor(code) for code in ("#1d2733", "#5d6b7a", "#dfe5ea", "#2f6f9f", "#9a6200")
)


def _style(name: str, size: float, **about: Any) -> ParagraphStyle:
    about = {"fontName": "Vera", "textColor": _INK, "leading": size * 1.35, **about}
    return ParagraphStyle(name, fontSize=size, splitLongWords=1, **about)


_BODY = _style("body", 8.5)
_SMALL = _style("small", 6.5, textColor=_SOFT)
_LABEL = _style("label", 8.5, textColor=_SOFT)
_ABSENT = _style("absent", 8.5, textColor=_WARN)
_TITLE = _style("title", 17, fontName="VeraBd")
_HEAD = _style("head", 12, fontName="VeraBd", spaceBefore=10, spaceAfter=4)
_MINOR = _style("minor", 9.5, fontName="VeraBd", spaceBefore=8, spaceAfter=3)


def pdf(card: Card, status: str = "") -> bytes:
    """Return a card as PDF; the same card gives the same bytes.

    Args:
        card: As frozen, or with what became known since.
        status: Of the card; empty where it is shown as frozen.
    """
    for name in ("Vera", "VeraBd"):
        pdfmetrics.registerFont(TTFont(name, f"{name}.ttf"))
    name = f"{card.project} {card.version}"
    out = io.BytesIO()
    document = SimpleDocTemplate(
        out, pagesize=A4, leftMargin=18 * mm, rightMargin=18 * mm, topMargin=16 * mm,
        bottomMargin=18 * mm, title=f"Model card: {name}", author="Steward", invariant=1,
    )  # fmt: skip
    flow: list[Any] = [
        Paragraph(_text(f"Model card: {name}"), _TITLE),
        Paragraph(_text(f"Status: {status or 'as frozen'}. Card digest {card.digest}"), _SMALL),
    ]
    for section in card.sections:
        flow += _section(card, section)
    flow += [Paragraph("Evidence", _HEAD), _evidence(card)]
    document.build(flow, onFirstPage=_footer(name), onLaterPages=_footer(name))
    return out.getvalue()


def _text(said: str) -> str:
    kept = "".join(c for c in said if ord(c) >= 32 or c in "\n\t")
    return escape(kept).replace("\n", "<br/>")


def _footer(name: str) -> Any:
    def draw(canvas: Any, document: Any) -> None:
        canvas.setFont("Vera", 7)
        canvas.setFillColor(_SOFT)
        canvas.drawString(18 * mm, 10 * mm, f"Model card: {name}")
        canvas.drawRightString(A4[0] - 18 * mm, 10 * mm, str(document.page))

    return draw


def _section(card: Card, section: Section) -> list[Any]:
    rows = [_statement(card, statement) for statement in section.statements]
    made: list[Any] = [Paragraph(_text(section.title), _HEAD)]
    if rows:
        made.append(_table(rows, [0.26 * _WIDTH, 0.74 * _WIDTH]))
    for group in section.groups:
        made += _group(card, group)
    return made


def _statement(card: Card, statement: Statement) -> list[Any]:
    label = Paragraph(_text(statement.label), _LABEL)
    if statement.value is None:
        missing = Paragraph(_text(f"missing: {statement.missing}"), _SMALL)
        return [label, [Paragraph(UNPROVEN, _ABSENT), missing]]
    value = statement.value
    lines = [f"• {line}" for line in value] if isinstance(value, list) else [str(value)]
    proof = ", ".join(f"{s.name} {s.sha256[:12]}" for s in card.digests(statement))
    shown = [Paragraph(_text(line), _BODY) for line in lines]
    return [label, [*shown, Paragraph(_text(proof), _SMALL)]]


def _table(rows: list[list[Any]], widths: list[float], *, head: bool = False) -> Table:
    table = Table(rows, colWidths=widths, repeatRows=int(head), splitInRow=1)
    style: list[Any] = [
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("LINEBELOW", (0, 0), (-1, -1), 0.4, _LINE),
        ("LEFTPADDING", (0, 0), (-1, -1), 0),
        ("TOPPADDING", (0, 0), (-1, -1), 2),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 2),
    ]
    table.setStyle(TableStyle(style))
    return table


def _group(card: Card, group: Group) -> list[Any]:
    head = [
        Paragraph(_text(word), _SMALL) for word in (group.axis, "Value", "Interval", "Rows", "")
    ]
    rows = [head, *([Paragraph(_text(cell), _BODY) for cell in _cells(e)] for e in group.estimates)]
    shares = (0.34, 0.13, 0.22, 0.09, 0.22)
    source = card.source(group.source)
    told = f"{group.source} {source.sha256}"
    if group.left_out:
        told = f"{group.left_out} more in the evidence; {told}"
    drawn = [e for e in group.estimates if e.value is not None]
    picture = [_picture(group, drawn)] if drawn else []
    return [
        KeepTogether([Paragraph(_text(group.title), _MINOR), *picture]),
        Spacer(1, 4),
        _table(rows, [share * _WIDTH for share in shares], head=True),
        Paragraph(_text(told), _SMALL),
    ]


def _cells(estimate: Estimate) -> tuple[str, ...]:
    ends = (estimate.lower, estimate.upper)
    interval = " to ".join("open" if end is None else f"{end:.4g}" for end in ends)
    return (
        estimate.name,
        estimate.said,
        "" if ends == (None, None) else interval,
        "" if estimate.rows is None else f"{estimate.rows:,}",
        estimate.note,
    )


def _picture(group: Group, drawn: list[Estimate]) -> Drawing:
    step, left = 13.0, 0.34 * _WIDTH
    height = step * len(drawn) + 14
    edges = [
        edge for e in drawn for edge in (e.value, e.lower, e.upper, group.reference)
        if edge is not None
    ]  # fmt: skip
    low, high = float(min(edges)), float(max(edges))
    pad = (high - low) * 0.05 or abs(high) * 0.05 or 0.01
    low, high = low - pad, high + pad
    scale = (_WIDTH - left - 8) / (high - low)
    picture = Drawing(_WIDTH, height)

    def place(value: float) -> float:
        return float(left + (value - low) * scale)

    if group.reference is not None:
        x = place(group.reference)
        picture.add(Line(x, 12, x, height, strokeColor=_SOFT, strokeDashArray=[3, 2]))
    for number, estimate in enumerate(drawn):
        y = height - step * (number + 0.5)
        value = estimate.value or 0.0
        x0 = place(value if estimate.lower is None else estimate.lower)
        x1 = place(value if estimate.upper is None else estimate.upper)
        name = estimate.name if len(estimate.name) <= 34 else f"{estimate.name[:33]}…"
        picture.add(String(0, y - 3, name, fontName="Vera", fontSize=7, fillColor=_INK))
        picture.add(Line(x0, y, x1, y, strokeColor=_BLUE, strokeWidth=2))
        picture.add(Circle(place(value), y, 2.6, fillColor=_BLUE, strokeColor=_BLUE))
    for value in (low + pad, high - pad):
        picture.add(String(place(value), 2, f"{value:.4g}", fontName="Vera", fontSize=6.5,
                           fillColor=_SOFT, textAnchor="middle"))  # fmt: skip
    return picture


def _evidence(card: Card) -> Table:
    rows = [
        [Paragraph(_text(s.name), _BODY),
         [Paragraph(s.sha256, _SMALL), Paragraph(_text(s.uri or ""), _SMALL)]]
        for s in card.sources
    ]  # fmt: skip
    return _table(rows, [0.2 * _WIDTH, 0.8 * _WIDTH])
