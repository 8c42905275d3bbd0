"""A card as one HTML page: no script, nothing from elsewhere, for any screen and for print."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from steward.domain.cards.card import UNPROVEN, Card, Estimate, Group, Section, Source, Statement
from steward.domain.cards.pictures import pictured

STYLE = """
:root { --ink:#1d2733; --soft:#5d6b7a; --line:#dfe5ea; --paper:#fff; --tint:#f4f7f9;
  --good:#2c7a4b; --bad:#b03030; --warn:#9a6200 }
@media (prefers-color-scheme: dark) { :root { --ink:#e6ebf0; --soft:#9aa8b5; --line:#33404c;
  --paper:#161c22; --tint:#1f2830; --good:#6cc38e; --bad:#ef8080; --warn:#e0b050 } }
@media print { :root { --ink:#000; --soft:#444; --line:#bbb; --paper:#fff; --tint:#fff;
  --good:#2c7a4b; --bad:#b03030; --warn:#9a6200 }
  tr, svg, .tile { break-inside: avoid } h2, h3 { break-after: avoid } }
* { box-sizing: border-box }
body { margin:0; background:var(--paper); color:var(--ink); font:15px/1.5 system-ui, sans-serif;
  -webkit-print-color-adjust: exact; print-color-adjust: exact }
main { max-width:900px; margin:0 auto; padding:24px 16px 60px }
h1 { font-size:1.5rem; margin:0 0 4px; overflow-wrap:anywhere }
h2 { font-size:1.15rem; margin:34px 0 8px; border-bottom:1px solid var(--line); padding-bottom:4px }
h3 { font-size:.98rem; margin:20px 0 6px; overflow-wrap:anywhere } p { margin:6px 0 }
.soft { color:var(--soft) } .good { color:var(--good) } .bad { color:var(--bad) }
.warn { color:var(--warn) } code { font-size:.85em; overflow-wrap:anywhere }
.tiles { display:grid; grid-template-columns:repeat(auto-fit, minmax(120px, 1fr)); gap:10px;
  margin:18px 0 }
.tile { background:var(--tint); border:1px solid var(--line); border-radius:8px; padding:10px 12px }
.tile b { display:block; font-size:1.2rem } .tile span { color:var(--soft); font-size:.85rem }
dl { display:grid; grid-template-columns:minmax(120px, 210px) 1fr; gap:6px 14px; margin:8px 0 }
dt { color:var(--soft) } dd { margin:0; overflow-wrap:anywhere }
dd ul { margin:0; padding-left:18px }
dd small { display:block; color:var(--soft); font-size:.76rem }
svg { display:block; width:100%; height:auto } .ink { fill:var(--ink) } .grid { stroke:var(--line) }
.narrow { display:none }
@media screen and (max-width:560px) { .wide { display:none } .narrow { display:block }
  dl { grid-template-columns:1fr; gap:0 } dd { margin-bottom:10px } }
.scroll { overflow-x:auto } table { border-collapse:collapse; width:100%; font-size:.88rem }
th, td { text-align:left; padding:4px 10px 4px 0; border-bottom:1px solid var(--line);
  vertical-align:top } th { color:var(--soft); font-weight:600 }
td.n, th.n { text-align:right; font-variant-numeric:tabular-nums; white-space:nowrap }
abbr { text-decoration:underline dotted; cursor:help }
"""


def document(title: str, parts: Sequence[str]) -> str:
    """Return a whole page."""
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{safe(title)}</title><style>{STYLE}</style></head>"
        f"<body><main>{''.join(parts)}</main></body></html>"
    )


def safe(said: str) -> str:
    """Return a text as HTML: escaped, without the control characters that HTML has not."""
    return escape("".join(c for c in said if ord(c) >= 32 or c in "\n\t"), True)


def page(card: Card, status: str = "") -> str:
    """Return the page of a card.

    Args:
        card: As frozen, or with what became known since.
        status: Of the card; empty where it is shown as frozen.
    """
    name = f"{card.project} {card.version}"
    described = card.said("overview.description")
    parts = [
        f"<h1>Model card: {safe(name)}</h1>",
        f"<p class='soft'>{safe(str(described))}</p>" if described else "",
        _tiles(card, status),
        *(_section(card, section) for section in card.sections),
        _evidence(card),
    ]
    return document(f"Model card: {name}", parts)


def _tiles(card: Card, status: str) -> str:
    proven = sum(statement.proven for statement in card.statements())
    tiles = [
        (status or "as frozen", "status", "Of the card in SageMaker Model Cards.", ""),
        (str(card.said("risk.rating") or UNPROVEN), "risk rating", "From the project's tier.", ""),
        (str(card.said("evaluation.gate") or UNPROVEN), "gate", "Verdict that let it in.", ""),
        (str(proven), "statements with evidence", "Each names a digest.", "good"),
        (str(len(card.unproven)), UNPROVEN, "Statements that no evidence makes.",
         "warn" if card.unproven else "good"),
    ]  # fmt: skip
    body = "".join(
        f"<div class='tile' title='{safe(title)}'><b class='{tone}'>{safe(value)}</b>"
        f"<span>{label}</span></div>"
        for value, label, title, tone in tiles
    )
    return f"<div class='tiles'>{body}</div>"


def _section(card: Card, section: Section) -> str:
    listed = "".join(_statement(card, statement) for statement in section.statements)
    groups = "".join(_group(card, group) for group in section.groups)
    return f"<h2>{safe(section.title)}</h2><dl>{listed}</dl>{groups}"


def _statement(card: Card, statement: Statement) -> str:
    if statement.value is None:
        said = (
            f"<span class='warn'>{UNPROVEN}</span><small>missing: {safe(statement.missing)}</small>"
        )
    else:
        value = statement.value
        said = (
            "<ul>" + "".join(f"<li>{safe(line)}</li>" for line in value) + "</ul>"
            if isinstance(value, list)
            else safe(str(value)).replace("\n", "<br>")
        )
        said += f"<small>{', '.join(proof(s) for s in card.digests(statement))}</small>"
    return f"<dt>{safe(statement.label)}</dt><dd>{said}</dd>"


def proof(source: Source) -> str:
    """Return a piece of evidence as a short link to its row in the table of evidence."""
    return (
        f"<a href='#{source.sha256}' class='soft'><abbr title='SHA-256 {source.sha256}'>"
        f"{safe(source.name)} {source.sha256[:12]}</abbr></a>"
    )


def _group(card: Card, group: Group) -> str:
    rows = "".join(_row(estimate) for estimate in group.estimates)
    more = f"<p class='soft'>{group.left_out} more in the evidence.</p>" if group.left_out else ""
    return (
        f"<h3>{safe(group.title)}</h3>{pictured(group)}<div class='scroll'><table><tr>"
        f"<th>{safe(group.axis)}</th><th class='n'>Value</th><th class='n'>"
        "<abbr title='At the level that the evaluation names; open where it is one-sided.'>"
        "Interval</abbr></th><th class='n'>Rows</th><th></th></tr>"
        f"{rows}</table></div>{more}<p class='soft'><small>{proof(card.source(group.source))}"
        "</small></p>"
    )


def _row(estimate: Estimate) -> str:
    ends = "" if estimate.lower is None and estimate.upper is None else " to ".join(
        "open" if end is None else f"{end:.4g}" for end in (estimate.lower, estimate.upper)
    )  # fmt: skip
    rows = "" if estimate.rows is None else f"{estimate.rows:,}"
    return (
        f"<tr><td>{safe(estimate.name)}</td><td class='n'>{estimate.said}</td>"
        f"<td class='n'>{ends}</td><td class='n'>{rows}</td>"
        f"<td class='soft'>{safe(estimate.note)}</td></tr>"
    )


def _evidence(card: Card) -> str:
    rows = "".join(
        f"<tr id='{s.sha256}'><td>{safe(s.name)}</td><td><code>{s.sha256}</code></td>"
        f"<td><code>{safe(s.uri or '')}</code></td></tr>"
        for s in card.sources
    )
    return (
        "<h2>Evidence</h2><div class='scroll'><table><tr><th>What</th><th>SHA-256</th>"
        f"<th>Where</th></tr>{rows}</table></div><p class='soft'>Model package "
        f"<code>{safe(card.model_package_arn)}</code></p>"
    )
