"""``steward dataset``: what models were trained on, and the proof that it can be built again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Console

from steward.domain.dataset_rebuild import Difference, diff
from steward_cli.console import CommandError, Exit, Json, progress, record, show, table
from steward_cli.datasets import Datasets, Outcome
from steward_cli.target import choose

app = typer.Typer(help="Training sets: list, show, build again, compare.")

Dataset = Annotated[
    str, typer.Argument(help="Dataset id or its beginning; <project>/<id> where it is ambiguous.")
]


@app.command("list")
def list_datasets(
    context: typer.Context,
    project: Annotated[str, typer.Argument(help="Project name.")],
    json_: Json = False,
) -> None:
    """List a project's datasets with cutoff, rows and views.

    Example: `steward dataset list diabetes`
    """
    manifests = Datasets.of(choose(context.obj)).all_of(project)
    rows = [
        (
            manifest["dataset_id"], manifest.get("cutoff"), manifest.get("rows"),
            ", ".join(feature["view"] for feature in manifest.get("features", [])) or "none",
            manifest.get("knowledge", {}).get("rows_with_later_knowledge"),
            len(manifest["sources"]),
        )
        for manifest in manifests
    ]  # fmt: skip
    columns = ("dataset", "knowledge cutoff", "rows", "features", "would leak", "deliveries")
    show(manifests, json_, lambda console: console.print(table(columns, rows)))


@app.command("show")
def show_dataset(context: typer.Context, dataset: Dataset, json_: Json = False) -> None:
    """Show a dataset's manifest: sources, views, what was known, digests.

    Example: `steward dataset show 3f9a1c0b`
    """
    manifest = Datasets.of(choose(context.obj)).find(dataset)

    def render(console: Console) -> None:
        console.print(record(_facts(manifest)))
        sources = [("data", source) for source in manifest["sources"]]
        for feature in manifest["features"]:
            sources += [(feature["view"], source) for source in feature["sources"]]
        rows = [
            (role, source["key"].rsplit("/", 1)[-1], source["rows"], source["received_at"],
             source["sha256"][:12])
            for role, source in sources
        ]  # fmt: skip
        console.print(table(("for", "file", "rows", "received", "sha256"), rows))
        views = [
            (view["view"], view["found"], view["missing"], view["deleted"], view["expired"],
             view["later_knowledge"], view["null_by_known_at"])
            for view in manifest["knowledge"]["views"]
        ]  # fmt: skip
        if views:
            columns = ("view", "found", "missing", "deleted", "expired", "would leak", "not known")
            console.print(table(columns, views))
        for warning in manifest["knowledge"]["warnings"]:
            console.print(f"[yellow]warning[/yellow]: {warning}")

    show(manifest, json_, render)


def _rows_told(part: dict[str, Any]) -> str:
    positives = part.get("positives")
    return str(part["rows"]) if positives is None else f"{part['rows']}, {positives} positive"


def _facts(manifest: dict[str, Any]) -> dict[str, Any]:
    parts = {f"{name} rows": _rows_told(part) for name, part in manifest["parts"].items()}
    listed = [
        *manifest["sources"],
        *(source for feature in manifest["features"] for source in feature["sources"]),
    ]
    aside = {source["sha256"]: source.get("quarantined_rows", 0) for source in listed}
    return {
        "dataset": manifest["dataset_id"], "project": manifest["project"],
        "knowledge cutoff": manifest["cutoff"], **parts,
        "left out": ", ".join(
            f"{number} {name.replace('_', ' ')}"
            for name, number in manifest["counts"].items()
            if name in _LEFT_OUT
        ),
        "set aside": f"{sum(aside.values())} rows of {sum(map(bool, aside.values()))} deliveries",
        "rows with later knowledge": manifest["knowledge"]["rows_with_later_knowledge"],
        "split": f"{_split(manifest['split'])}, seed {manifest['seed']}",
        "code": manifest["code"]["sha256"][:12],
        "engine": f"{manifest['engine']['name']} {manifest['engine']['version']}",
        "digest of all rows": manifest["logical_digest"],
    }  # fmt: skip


_LEFT_OUT = ("labels_unknown", "superseded", "without_label", "traffic", "across_the_border")


def _split(split: dict[str, Any]) -> str:
    """Return what parts the rows: a salt, or the border of a split by time."""
    return f"later than {split['border']} judges" if split.get("border") else str(split["salt"])


@app.command("rebuild")
def rebuild_dataset(
    context: typer.Context,
    dataset: Dataset,
    with_later: Annotated[
        bool,
        typer.Option("--with-later", help="Let deliveries that came since take part."),
    ] = False,
    event_time_only: Annotated[
        bool,
        typer.Option(
            "--event-time-only", help="Ignore what was known when: shows what would leak."
        ),
    ] = False,
    json_: Json = False,
) -> None:
    """Build a dataset again from its source objects; compare rows and bytes; name the causes.

    Nothing is written. The command fails where something differs.

    Example: `steward dataset rebuild 3f9a1c0b`
    """
    datasets = Datasets.of(choose(context.obj))
    manifest = datasets.find(dataset)
    with progress(f"building {manifest['dataset_id']} again"):
        outcome = datasets.rebuild(manifest, with_later, event_time_only)

    def render(console: Console) -> None:
        console.print(record(_verdict(outcome)))
        _differences(console, outcome.differences)
        for uri in outcome.later:
            console.print(f"came since and was left out: {uri} (see --with-later)")

    show({**asdict(outcome), "equal": outcome.equal}, json_, render)
    if not outcome.equal:
        raise typer.Exit(int(Exit.FAILED))


def _verdict(outcome: Outcome) -> dict[str, str]:
    def said(same: bool) -> str:
        return "equal" if same else "differ" if outcome.rebuilt else "could not be built"

    return {
        "dataset": outcome.dataset_id,
        "digest of rows": said(outcome.rows),
        "digest of bytes": said(outcome.bytes),
        "stored files": "as in the manifest" if outcome.stored else "differ from the manifest",
    }


def _differences(console: Console, differences: Sequence[Difference]) -> None:
    if differences:
        rows = [(d.cause.value, d.about, d.detail) for d in differences]
        console.print(table(("cause", "about", "detail"), rows))


@app.command("diff")
def diff_datasets(
    context: typer.Context,
    a: Annotated[str, typer.Argument(help="Dataset id or its beginning.")],
    b: Annotated[str, typer.Argument(help="Another one.")],
    json_: Json = False,
) -> None:
    """Compare two datasets: what they were made of, and how many rows and values differ.

    Example: `steward dataset diff 3f9a1c0b 77ab01ce`
    """
    datasets = Datasets.of(choose(context.obj))
    one, other = datasets.find(a), datasets.find(b)
    if one["project"] != other["project"]:
        raise CommandError(
            f"{one['dataset_id']} is of {one['project']}, {other['dataset_id']} of"
            f" {other['project']}", Exit.USAGE, "datasets of one project",
        )  # fmt: skip
    differences = diff(one, other)
    changes = datasets.row_changes(one, other)

    def render(console: Console) -> None:
        if not differences:
            console.print("made of the same")
        _differences(console, differences)
        if changes:
            facts = {
                name.replace("_", " "): changes[name] for name in ("rows", "only_in_a", "only_in_b")
            }
            console.print(record(facts))
            rows = sorted(changes["changed_values"].items(), key=lambda pair: -pair[1])
            if rows:
                console.print(table(("column", "rows with another value"), rows))

    document = {
        "a": one["dataset_id"], "b": other["dataset_id"],
        "equal_rows": one["logical_digest"] == other["logical_digest"],
        "differences": [asdict(difference) for difference in differences], "changes": changes,
    }  # fmt: skip
    show(document, json_, render)
