"""The report of a delivery as one HTML page: no script, nothing from elsewhere, for any screen.

Written where the verdict is made, so that the page lies beside its JSON. Plain functions instead
of a template engine: see docs/adr/0012-report-pages-without-a-template-engine.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from steward.domain.column_chart import distribution
from steward.domain.delivery_drift import DriftReport
from steward.domain.findings import Violation
from steward.domain.profiles import EXACT, ColumnProfile, TableProfile
from steward.domain.validation import FileReport

_STYLE = """
:root { --ink:#1d2733; --soft:#5d6b7a; --line:#dfe5ea; --paper:#fff; --tint:#f4f7f9;
  --good:#2c7a4b; --bad:#b03030; --warn:#9a6200; --bar:#2f6f9f; --before:#e08a1e; }
@media (prefers-color-scheme: dark) { :root { --ink:#e6ebf0; --soft:#9aa8b5; --line:#33404c;
  --paper:#161c22; --tint:#1f2830; --good:#6cc38e; --bad:#ef8080; --warn:#e0b050; } }
@media print { :root { --ink:#000; --soft:#444; --line:#bbb; --paper:#fff; --tint:#fff;
  --good:#2c7a4b; --bad:#b03030; --warn:#9a6200; }
  .card, tr { break-inside: avoid } }
* { box-sizing: border-box }
body { margin:0; background:var(--paper); color:var(--ink); font:15px/1.5 system-ui, sans-serif;
  -webkit-print-color-adjust: exact; print-color-adjust: exact }
main { max-width:960px; margin:0 auto; padding:24px 16px 60px }
h1 { font-size:1.5rem; margin:0 0 4px; overflow-wrap:anywhere }
h2 { font-size:1.15rem; margin:34px 0 8px; border-bottom:1px solid var(--line); padding-bottom:4px }
h3 { font-size:.98rem; margin:0; overflow-wrap:anywhere } p { margin:6px 0 }
.soft { color:var(--soft) } .good { color:var(--good) } .bad { color:var(--bad) }
.warn { color:var(--warn) } code { font-size:.85em; overflow-wrap:anywhere }
.tiles { display:grid; grid-template-columns:repeat(auto-fit, minmax(130px, 1fr)); gap:10px;
  margin:18px 0 }
.tile, .card { background:var(--tint); border:1px solid var(--line); border-radius:8px;
  padding:10px 12px }
.tile b { display:block; font-size:1.3rem } .tile span { color:var(--soft); font-size:.85rem }
.cards { display:grid; grid-template-columns:repeat(auto-fill, minmax(280px, 1fr)); gap:12px }
.rule { margin:10px 0 } .rule p { overflow-wrap:anywhere }
svg { display:block; width:100%; height:auto } .ink { fill:var(--ink) } .grid { stroke:var(--line) }
.bar { fill:var(--bar) } .before { stroke:var(--before); fill:none; stroke-width:2 }
.scroll { overflow-x:auto } table { border-collapse:collapse; width:100%; font-size:.88rem }
th, td { text-align:left; padding:4px 10px 4px 0; border-bottom:1px solid var(--line);
  vertical-align:top } th { color:var(--soft); font-weight:600; white-space:nowrap }
td.n, th.n { text-align:right; font-variant-numeric:tabular-nums }
table.places { width:auto } table.places td, table.places th { padding-right:18px }
td.s { white-space:nowrap } td.n { white-space:nowrap }
td.value { overflow-wrap:anywhere; font-family:ui-monospace, monospace; font-size:.82rem }
abbr { text-decoration:underline dotted; cursor:help }
dl { display:grid; grid-template-columns:auto 1fr; gap:0 10px; margin:6px 0 0; font-size:.85rem }
dt { color:var(--soft) } dd { margin:0; overflow-wrap:anywhere;
  font-variant-numeric:tabular-nums }
"""

_SEVERITY = {
    "reject": ("bad", "rejects", "The whole delivery is refused and kept in quarantine."),
    "quarantine_rows": ("warn", "sets rows aside", "These rows do not count and are kept."),
    "warn": ("soft", "warns", "Nothing but this line comes of it."),
}
_AGAINST = {
    "last_accepted": "Against the last accepted delivery",
    "training_baseline": "Against the training baseline",
}
_WORDS = {"same": ("good", "as before"), "changed": ("warn", "changed"),
          "inconclusive": ("soft", "too little to say")}  # fmt: skip


def page(
    report: FileReport, facts: Mapping[str, Any], references: Sequence[tuple[str, TableProfile]]
) -> str:
    """Return the page of a report.

    Args:
        report: What came of the file.
        facts: ``project``, ``table``, ``key``, ``delivery_id``, ``received_at``, ``judged_at``,
            ``config_digest``, ``report_uri`` and, where there are, ``quarantine_uri`` and
            ``accepted_uri``.
        references: Profiles that charts show beside, by the words for them; the first counts.
    """
    file = str(facts["key"]).rpartition("/")[2]
    verdict = ("good", "accepted") if report.accepted else ("bad", "rejected")
    parts = [
        f"<h1>{escape(file)}: <span class='{verdict[0]}'>{verdict[1]}</span></h1>",
        f"<p class='soft'>Delivered to <b>{escape(str(facts['project']))}</b>, table "
        f"<b>{escape(str(facts['table']))}</b>, received {escape(str(facts['received_at']))}, "
        f"judged {escape(str(facts['judged_at']))}.</p>",
        _tiles(report),
        _rules(report),
        *(_drift(drift) for drift in report.drift),
        _columns(report, references),
        _facts(facts),
    ]
    return _document(f"{file}: {verdict[1]}", parts)


def profile_page(report: FileReport, file: str) -> str:
    """Return the page of a file that nobody judged: what its columns hold."""
    head = f"<h1>{escape(file)}</h1><p class='soft'>{report.rows:,} rows, {_bytes(report.size)}</p>"
    return _document(file, [head, _columns(report, ())])


def _document(title: str, parts: Sequence[str]) -> str:
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body><main>{''.join(parts)}</main></body></html>"
    )


def _tiles(report: FileReport) -> str:
    broken = sum(found.severity != "warn" for found in report.violations)
    tiles = [
        (f"{report.rows:,}", "rows in the file", "Records, without the header.", ""),
        (f"{report.rows - report.quarantined_rows:,}", "rows that count",
         "Rows of the file that no rule sets aside.", ""),
        (f"{report.quarantined_rows:,}", "rows set aside",
         "Rows that a rule of severity quarantine_rows sets aside; each counts once.",
         "warn" if report.quarantined_rows else ""),
        (f"{broken:,}", "broken rules", "Rules that reject or set rows aside.",
         "bad" if broken else "good"),
        (f"{report.warnings:,}", "warnings", "Broken rules of severity warn.",
         "warn" if report.warnings else "good"),
        (_bytes(report.size), "size", "Bytes as delivered, packed or not.", ""),
    ]  # fmt: skip
    body = "".join(
        f"<div class='tile' title='{escape(title, True)}'><b class='{tone}'>{value}</b>"
        f"<span>{label}</span></div>"
        for value, label, title, tone in tiles
    )
    return f"<div class='tiles'>{body}</div>"


def _bytes(size: int) -> str:
    amount, unit = float(size), "B"
    for larger in ("kB", "MB", "GB"):
        if amount < 1000:
            break
        amount, unit = amount / 1000, larger
    return f"{amount:.3g} {unit}" if unit != "B" else f"{size} B"


def _rules(report: FileReport) -> str:
    if not report.violations:
        return "<h2>Rules</h2><p class='good'>Every rule was kept.</p>"
    return "<h2>Broken rules</h2>" + "".join(_rule(found) for found in report.violations)


def _rule(found: Violation) -> str:
    tone, said, definition = _SEVERITY[found.severity]
    share = "" if found.share is None else f", {found.share:.2%} of the rows"
    times = "once" if found.count == 1 else f"{found.count:,} times"
    column = f"{escape(found.column)} · " if found.column else ""
    head = (
        f"<h3>{column}{escape(found.rule)} <abbr class='{tone}' title='{definition}'>{said}</abbr>"
        f"</h3><p>{escape(found.message)} <span class='soft'>({times}{share})</span></p>"
    )
    places = [e for e in found.examples if e.row is not None or e.line is not None]
    if not places:
        return f"<div class='card rule'>{head}</div>"
    rows = "".join(
        f"<tr><td class='n'>{_plain(e.row)}</td><td class='n'>{_plain(e.line)}</td>"
        f"<td class='value'>{'<i>empty</i>' if e.value is None else escape(e.value)}</td>"
        f"<td>{'' if e.first_row is None else f'first in row {e.first_row}'}</td></tr>"
        for e in places
    )
    more = f"<p class='soft'>and {found.count - len(places):,} more</p>"
    return (
        f"<div class='card rule'>{head}<div class='scroll'><table class='places'><tr>"
        "<th class='n'>Row</th><th class='n'>Line</th><th>Value</th><th></th></tr>"
        f"{rows}</table></div>"
        f"{more if found.count > len(places) else ''}</div>"
    )


def _plain(value: object) -> str:
    return "" if value is None else str(value)


def _drift(report: DriftReport) -> str:
    head = (
        "<tr><th>Column</th><th>Verdict</th>"
        "<th class='n'><abbr title='Numbers: the larger of |2 AUC - 1| and the total variation "
        "over 20 merged bins; others: total variation over the levels. Corrected for chance; 0 is "
        "no difference, 1 the largest.'>Effect</abbr></th>"
        "<th class='n'><abbr title='Numbers: rank-sum, Mood and chi-square, combined by Cauchy; "
        "others: chi-square.'>p</abbr></th>"
        "<th class='n'><abbr title='The smallest |2 AUC - 1| that this many rows show with "
        "probability 0.8.'>Could see</abbr></th>"
        "<th class='n'><abbr title='Population stability index; it describes and decides nothing."
        "'>PSI</abbr></th><th class='n'>Empty</th></tr>"
    )
    rows = "".join(
        f"<tr><td>{escape(c.column)}</td><td class='s {_WORDS[c.verdict][0]}'>"
        f"{_WORDS[c.verdict][1]}</td><td class='n'>{_fixed(c.effect)}</td>"
        f"<td class='n'>{'' if c.p is None else f'{c.p:.2g}'}</td>"
        f"<td class='n'>{_fixed(c.detectable)}</td><td class='n'>{_fixed(c.psi)}</td>"
        f"<td class='n'>{c.nulls[0]:.1%} / {c.nulls[1]:.1%}</td></tr>"
        for c in report.columns
    )
    made = "one delivery" if len(report.deliveries) == 1 else f"{len(report.deliveries)} deliveries"
    return (
        f"<h2>{_AGAINST[report.against]}</h2><div class='scroll'><table>{head}{rows}</table></div>"
        f"<p class='soft'>{report.rows:,} rows of {made}. A column has changed when "
        f"Benjamini-Hochberg at {report.fdr:g} over the columns rejects and the effect is at least "
        f"{report.min_effect:g}.</p>"
    )


def _fixed(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _columns(report: FileReport, references: Sequence[tuple[str, TableProfile]]) -> str:
    if report.profile is None:
        return ""
    words, before = references[0] if references else ("", None)
    cards = "".join(
        _card(column, before.column(column.name) if before else None)
        for column in report.profile.columns
    )
    legend = (
        f" The orange line is {escape(words)}, on the same scale of shares." if references else ""
    )
    return (
        "<h2>Columns</h2><p class='soft'>Of the rows that count. Bars are shares of the values; "
        f"both ends collect what lies beyond the picture.{legend}</p>"
        f"<div class='cards'>{cards}</div>"
    )


def _card(column: ColumnProfile, before: ColumnProfile | None) -> str:
    rows = column.count + column.nulls
    facts = [
        ("empty", f"{column.nulls:,} ({column.nulls / rows:.1%})" if rows else "0"),
        ("different", f"{'about ' if rows > EXACT else ''}{column.distinct:,}"),
    ]
    if column.min is not None and column.type != "boolean":
        facts.append(("range", f"{_short(column.min)} to {_short(column.max or '')}"))
    if column.mean is not None:
        facts.append(("mean", f"{column.mean:.4g}, deviation {column.deviation or 0:.3g}"))
    listed = "".join(f"<dt>{name}</dt><dd>{escape(value)}</dd>" for name, value in facts)
    return (
        f"<div class='card'><h3>{escape(column.name)} <span class='soft'>{column.type}</span></h3>"
        f"{distribution(column, before)}<dl>{listed}</dl></div>"
    )


def _short(text: str) -> str:
    return text if len(text) <= 28 else f"{text[:27]}…"


def _facts(facts: Mapping[str, Any]) -> str:
    shown = [
        ("Delivered as", facts["key"]), ("Delivery", facts["delivery_id"]),
        ("Report as JSON", facts["report_uri"]),
        ("Kept in quarantine", facts.get("quarantine_uri")),
        ("Rows that count", facts.get("accepted_uri")),
        ("Configuration", facts["config_digest"]),
    ]  # fmt: skip
    rows = "".join(
        f"<tr><th>{name}</th><td><code>{escape(str(value))}</code></td></tr>"
        for name, value in shown
        if value
    )
    return (
        f"<h2>Where it lies</h2><table>{rows}</table><p class='soft'>Rows are numbered from 1 "
        "without the header; lines are those of the file.</p>"
    )
