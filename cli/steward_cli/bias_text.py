"""``bias.json`` on a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from steward.domain.bias.by_group import ByGroup, Spread
from steward.domain.bias.evidence import BiasEvidence, FacetEvidence
from steward_cli.console import table

TONES = {"pass": "green", "fail": "red", "hold": "red", "inconclusive": "yellow"}


def draw(version: int, evidence: BiasEvidence, console: Console) -> None:
    """Print verdicts first, then every metric, then groups."""
    console.print(
        f"[bold]{evidence.project} {version}[/bold] bias: ", _toned(evidence.verdict),
        f"  {evidence.mode}, {evidence.confidence:.0%} intervals, at least "
        f"{evidence.minimum_rows} rows of each metric's denominator", highlight=False,
    )  # fmt: skip
    for facet in evidence.facets:
        console.print(_facet(facet))
        for verdict in facet.verdicts:
            console.print("  ", _toned(verdict.verdict), verdict.reason, highlight=False)
    for groups in evidence.groups:
        console.print(_groups(groups))
    for note in evidence.notes:
        console.print(note, highlight=False, markup=False)


def _facet(facet: FacetEvidence) -> object:
    verdicts = {one.metric: one.verdict for one in facet.verdicts}
    rows = [
        (
            one.name, figure(one.value), interval(one.lower, one.upper), one.rows,
            _toned(verdicts[one.name]) if one.name in verdicts else "",
            one.undefined_because or "",
        )
        for one in facet.report.metrics
    ]  # fmt: skip
    title = (
        f"{facet.name}: {facet.report.rows_d} held-out rows of d, {facet.report.rows_a} of a; "
        f"training {facet.training.rows_d} and {facet.training.rows_a}"
    )
    return table(("metric", "value", "interval", "rows", "verdict", "undefined because"), rows,
                 title)  # fmt: skip


def _groups(one: ByGroup) -> object:
    rows = [
        (
            group_name(value.group), value.denominator, figure(value.value),
            interval(value.lower, value.upper),
            figure(value.adjusted), value.why or "",
        )
        for value in one.groups
    ]  # fmt: skip
    differences, ratios = one.differences, one.ratios
    title = (
        f"{one.metric}: all {figure(one.overall)}; between groups difference "
        f"{_spread(differences['between_groups'])}, ratio {_spread(ratios['between_groups'])}; "
        f"to all difference {_spread(differences['to_overall'])}, "
        f"ratio {_spread(ratios['to_overall'])}"
    )
    return table(("group", "rows", "value", "interval", "adjusted p", "why none"), rows, title)


def group_name(group: object) -> str:
    """Return a group for people, such as ``sex f, age < 40``."""
    assert hasattr(group, "items")
    return ", ".join(f"{name} {'missing' if v is None else v}" for name, v in group.items())


def figure(value: float | None) -> str:
    """Return a number to three places."""
    return "-" if value is None else f"{value:.3f}"


def interval(lower: float | None, upper: float | None) -> str:
    """Return an interval."""
    return "" if lower is None or upper is None else f"{lower:.3f} to {upper:.3f}"


def _spread(one: Spread) -> str:
    told = interval(one.lower, one.upper)
    return figure(one.value) + (f" ({told})" if told else "")


def _toned(verdict: str) -> Text:
    return Text(verdict, style=TONES.get(verdict, ""))
