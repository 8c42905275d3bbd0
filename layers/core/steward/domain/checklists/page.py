"""A filled checklist as one HTML page."""

from __future__ import annotations

from steward.domain.cards.card import Card
from steward.domain.cards.page import document, safe
from steward.domain.checklists.filling import Answered, counted
from steward.domain.checklists.lines import Checklist

_TONES = {"evidence": "good", "partly": "warn", "missing": "bad"}


def checklist_page(asked: Checklist, card: Card, lines: list[Answered]) -> str:
    """Return the page of a checklist for one version."""
    name = f"{card.project} {card.version}"
    tiles = "".join(
        f"<div class='tile'><b class='{_TONES[kind]}'>{number}</b><span>{kind}</span></div>"
        for kind, number in counted(lines).items()
    )
    rows = "".join(_row(line) for line in lines)
    parts = [
        f"<h1>{safe(asked.title)}: {safe(name)}</h1><p class='soft'>{safe(asked.source)}</p>",
        f"<p>{safe(asked.scope)}</p><div class='tiles'>{tiles}</div>",
        "<div class='scroll'><table><tr><th>Paragraph</th><th>Asks for</th><th>Answer</th>"
        f"<th>Evidence, or what is missing</th></tr>{rows}</table></div>",
        f"<p class='soft'>From the card with digest <code>{card.digest}</code>. A line with "
        "evidence says that a document is there, not that it suffices.</p>",
    ]
    return document(f"{asked.title}: {name}", parts)


def _row(line: Answered) -> str:
    proofs = "".join(
        f"<div><abbr title='{safe(s.uri or s.name)}'>{safe(s.name)}</abbr> "
        f"<code>{s.sha256}</code></div>"
        for s in line.evidence
    )
    missing = "".join(f"<div class='warn'>missing: {safe(what)}</div>" for what in line.missing)
    return (
        f"<tr><td>{safe(line.paragraph)}</td><td>{safe(line.asks)}</td>"
        f"<td class='{_TONES[line.answer]}'>{line.answer}</td><td>{proofs}{missing}</td></tr>"
    )
