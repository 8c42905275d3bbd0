"""A card as Markdown, for a repository or a wiki."""

from __future__ import annotations

import re

from steward.domain.cards.card import UNPROVEN, Card, Estimate, Group, Section, Statement

_MARKUP = re.compile(r"([\\`*_{}\[\]<>()#+!|~])")


def markdown(card: Card, status: str = "") -> str:
    """Return the card as Markdown; text of the evidence is escaped, so it stays text."""
    lines = [f"# Model card: {_plain(card.project)} {card.version}", ""]
    if status:
        lines += [f"Status: {status}", ""]
    for section in card.sections:
        lines += _section(card, section)
    lines += ["## Evidence", "", "| What | SHA-256 | Where |", "|---|---|---|"]
    lines += [f"| {_plain(s.name)} | `{s.sha256}` | {_plain(s.uri or '')} |" for s in card.sources]
    return "\n".join(lines) + "\n"


def _plain(text: str) -> str:
    return _MARKUP.sub(r"\\\1", " ".join(text.split()))


def _section(card: Card, section: Section) -> list[str]:
    lines = [f"## {_plain(section.title)}", ""]
    lines += [_statement(card, statement) for statement in section.statements]
    for group in section.groups:
        lines += ["", *_group(group)]
    return [*lines, ""]


def _statement(card: Card, statement: Statement) -> str:
    if statement.value is None:
        return f"- {statement.label}: **{UNPROVEN}** (missing: {_plain(statement.missing)})"
    value = statement.value
    said = "; ".join(value) if isinstance(value, list) else str(value)
    proof = ", ".join(f"{s.name} `{s.sha256[:12]}`" for s in card.digests(statement))
    return f"- {statement.label}: {_plain(said)} ({proof})"


def _group(group: Group) -> list[str]:
    head = [
        f"### {_plain(group.title)}",
        "",
        f"| {_plain(group.axis)} | value | interval | rows | |",
    ]
    rows = [_row(estimate) for estimate in group.estimates]
    more = [f"{group.left_out} more in the evidence.", ""] if group.left_out else []
    return [*head, "|---|---|---|---|---|", *rows, "", *more]


def _row(estimate: Estimate) -> str:
    ends = (estimate.lower, estimate.upper)
    interval = " to ".join("open" if end is None else f"{end:.4g}" for end in ends)
    interval = "" if ends == (None, None) else interval
    rows = "" if estimate.rows is None else str(estimate.rows)
    cells = (_plain(estimate.name), estimate.said, interval, rows, _plain(estimate.note))
    return f"| {' | '.join(cells)} |"
