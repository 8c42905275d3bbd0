"""``steward versions compare``: two versions side by side, on the terminal and as a page."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from steward.adapters.objects import S3ObjectStore
from steward.domain.code_difference import CodeDifference
from steward.domain.errors import EvidenceIncompleteError
from steward.domain.version_archive import named_parts
from steward.domain.version_comparison import (
    Estimate,
    MetricRow,
    Section,
    Side,
    VersionComparison,
    compare_versions,
)
from steward.ports import Item, ObjectStore, Table
from steward_cli.console import Json, progress, show, stderr, table
from steward_cli.state import StackState
from steward_cli.target import Target, choose
from steward_cli.version_code import code_difference
from steward_cli.version_page import page

_STYLES = {"+": "green", "-": "red", "@": "cyan"}
_CARD = ("card.json", "bias.json", "explanation.json", "comparison.json", "dataset_manifest.json")


def compare(
    context: typer.Context,
    project: Annotated[str, typer.Argument(help="Project name.")],
    first: Annotated[int, typer.Argument(min=1, help="Version A.")],
    second: Annotated[int, typer.Argument(min=1, help="Version B.")],
    html: Annotated[Path | None, typer.Option(help="Write a page with plots there.")] = None,
    whole: Annotated[bool, typer.Option("--all", help="Show also what is the same.")] = False,
    json_: Json = False,
) -> None:
    """Compare two versions: metrics, slices, data, code, parameters, bias, explanation, card.

    Example: `steward versions compare diabetes 1 2 --html compare.html`
    """
    target = choose(context.obj)
    with progress(f"read {project} {first} and {second}"):
        a, b = side_of(target, project, first), side_of(target, project, second)
        found = compare_versions(a, b)
        code = code_difference(
            dict(a.record), dict(b.record), S3ObjectStore(target.client("s3")),
            target.output("ArtifactsBucketName"),
        )  # fmt: skip
    if html is not None:
        html.parent.mkdir(parents=True, exist_ok=True)
        html.write_text(page(found, datetime.now(UTC), code), encoding="utf-8")
        stderr().print(f"wrote {html}")

    def render(console: Console) -> None:
        _render(found, console, whole)
        render_code(code, console)

    show({**found.model_dump(mode="json"), "code": code.model_dump(mode="json")}, json_, render)


def side_of(target: Target, project: str, version: int) -> Side:
    """Return what the stack knows of a version."""
    state, objects = StackState(target), S3ObjectStore(target.client("s3"))
    item = state.version(project, version)
    names = sorted(name for name, number in state.aliases(project).items() if number == version)
    evidence = _document(objects, item.get("evidence_uri"))
    parts = {name: part["uri"] for name, part in named_parts(evidence or {}).items()}
    for name, uri in _registered(item).items():
        parts.setdefault(name, uri)
    run = state.store.get(Table.RUNS, {"project": project, "run_id": str(item["run_id"])}) or {}
    read = {name: _document(objects, parts.get(name)) for name in _CARD}
    return Side(
        record={**item, "aliases": names},
        evidence=evidence,
        evaluation=_document(objects, item.get("evaluation_uri")),
        config=run.get("config"),
        dataset=read["dataset_manifest.json"],
        bias=read["bias.json"],
        explanation=read["explanation.json"],
        card=read["card.json"],
        comparison=read["comparison.json"],
    )


def _registered(item: Item) -> dict[str, str]:
    """Return what a version that was not staged yet has already."""
    found = {"comparison.json": item.get("comparison_uri")}
    if item.get("dataset_id") != "unproven":
        found["dataset_manifest.json"] = item.get("manifest_uri")
    for name in ("bias", "explanation"):
        found[f"{name}.json"] = (item.get(name) or {}).get("uri")
    return {name: str(uri) for name, uri in found.items() if uri}


def _document(objects: ObjectStore, uri: Any) -> dict[str, Any] | None:
    if not uri:
        return None
    try:
        found = json.loads(objects.read(str(uri)))
    except (EvidenceIncompleteError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _render(found: VersionComparison, console: Console, whole: bool) -> None:
    a, b = f"version {found.a}", f"version {found.b}"
    if not found.same_rows:
        console.print("held-out rows of different datasets: the intervals tell of different rows")
    if found.judged:
        judged = found.judged
        console.print(
            f"version {judged['candidate']} against {judged['champion']} on the same "
            f"{judged['rows']} rows: {judged['verdict']}, difference of mean loss "
            f"{judged['difference']:.4f} ({judged['lower']:.4f} to {judged['upper']:.4f})"
        )
    for title, rows in (("Metrics", found.metrics), ("Slices", found.slices)):
        cells = [
            (row.slice or "all", row.metric, _told(row.a), _told(row.b), _rows(row)) for row in rows
        ]
        console.print(table(("slice", "metric", a, b, "rows"), cells, title))
    for section in found.sections:
        _section(section, console, (a, b), whole)


def render_code(code: CodeDifference, console: Console) -> None:
    """Print the files that differ with their lines; nothing of them is markup."""
    for told in code.unread:
        console.print(Text(f"\ncode is not compared: {told}"), soft_wrap=True)
    if not code.files:
        return
    more = f", {code.left_out} more not shown" if code.left_out else ""
    console.print(f"\nCode: {len(code.files)} files differ{more}, {code.same} are the same")
    for file in code.files:
        told = f": {file.told}" if file.told else ""
        console.print(Text(f"\n{file.kind} {file.path}{told}", style="bold"), soft_wrap=True)
        for line in file.lines:
            console.print(Text(line, style=_STYLES.get(line[:1], "")), soft_wrap=True)
        if file.left_out:
            console.print(f"... {file.left_out} more lines")


def _rows(row: MetricRow) -> str:
    return str(row.rows_a) if row.rows_a == row.rows_b else f"{row.rows_a} / {row.rows_b}"


def _told(found: Estimate | None) -> str:
    if found is None:
        return "missing"
    if found.value is None:
        return f"undefined: {found.because or 'no reason given'}"
    if found.lower is None or found.upper is None:
        return f"{found.value:.4f}" + (f" (no interval: {found.because})" if found.because else "")
    return f"{found.value:.4f} ({found.lower:.4f} to {found.upper:.4f})"


def _section(section: Section, console: Console, heads: tuple[str, str], whole: bool) -> None:
    shown = [row for row in section.rows if whole or not row.same]
    same = len(section.rows) - len([row for row in section.rows if not row.same])
    title = f"\n{section.title}: {len(section.rows) - same} different, {same} the same"
    if section.missing:
        title += f"; missing: version {' and '.join(map(str, section.missing))}"
    if section.left_out:
        title += f"; {section.left_out} more not listed"
    console.print(title)
    if shown:
        rows = [(row.name, _cell(row.a), _cell(row.b)) for row in shown]
        console.print(table(("", *heads), rows))


def _cell(value: object) -> str:
    text = "missing" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
