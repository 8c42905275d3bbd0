"""``steward lineage``: what something was made of, what was made of it, and what that touches."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.text import Text

from steward.domain.errors import RejectedError
from steward.domain.lineage import Direction, moment
from steward_cli.console import Exit, Json, rejected, show, state_text
from steward_cli.lineage_graph import Impact, LineageGraph, hours, short
from steward_cli.lineage_picture import picture
from steward_cli.lineage_text import counted, document, mermaid, tree
from steward_cli.state import StackState
from steward_cli.target import choose

app = typer.Typer(help="What was made of what: from source objects to predictions and back.")

Node = Annotated[
    str,
    typer.Argument(
        help="A node or its unique beginning: version:diabetes/1, run:diabetes/3f9a, s3://... ."
    ),
]
AsOf = Annotated[
    str | None,
    typer.Option("--as-of", metavar="TIME", help="The graph as it was known then (ISO 8601)."),
]
Depth = Annotated[int | None, typer.Option(min=1, help="Most steps; no limit by default.")]
Format = Annotated[Literal["tree", "mermaid", "json"], typer.Option("--format", help="Output.")]


@app.command("up")
def up(
    context: typer.Context,
    node: Node,
    as_of: AsOf = None,
    depth: Depth = None,
    form: Format = "tree",
    json_: Json = False,
) -> None:
    """Show everything that a node was made of.

    Example: `steward lineage up version:diabetes/1`
    """
    _walk(context, node, "up", as_of, depth, "json" if json_ else form)


@app.command("down")
def down(
    context: typer.Context,
    node: Node,
    as_of: AsOf = None,
    depth: Depth = None,
    form: Format = "tree",
    json_: Json = False,
) -> None:
    """Show everything that was made of a node.

    Example: `steward lineage down s3://my-data/deliveries/diabetes/2026-01.csv --format mermaid`
    """
    _walk(context, node, "down", as_of, depth, "json" if json_ else form)


@app.command("impact")
def impact(
    context: typer.Context,
    source: Annotated[
        str, typer.Argument(metavar="S3_URI", help="A source object, or a prefix of several.")
    ],
    as_of: AsOf = None,
    json_: Json = False,
) -> None:
    """Show which versions were trained on an object, which are live, and what they predicted.

    Without `?versionId=` all versions of the object count.

    Example: `steward lineage impact s3://my-data/deliveries/diabetes/2026-01.csv`
    """
    found = _graph(context, as_of).impact(source)
    show(vars(found), json_, lambda console: _render(found, console))


@app.command("show")
def show_picture(
    context: typer.Context,
    node: Node,
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write.")] = Path("lineage.svg"),
    as_of: AsOf = None,
    depth: Depth = None,
    json_: Json = False,
) -> None:
    """Draw a node with all that it was made of and all that was made of it, as SVG.

    Example: `steward lineage show version:diabetes/2 --out lineage.svg`
    """
    graph = _graph(context, as_of)
    start = graph.one(node)
    walks = [graph.walk(start, "up", depth), graph.walk(start, "down", depth)]
    nodes = {name for found in walks for name in found.steps}
    graph.prefetch(nodes)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(picture(walks, graph), encoding="utf-8")
    show(
        {"file": str(out), "node": start, "nodes": len(nodes)},
        json_,
        lambda console: console.print(
            f"{out}: {len(nodes)} nodes around {short(start)}", markup=False, soft_wrap=True
        ),
    )


def _graph(context: typer.Context, as_of: str | None) -> LineageGraph:
    try:
        at = moment(as_of) if as_of is not None else None
    except RejectedError as error:
        raise rejected(error, Exit.USAGE, "--as-of") from None
    return LineageGraph(StackState(choose(context.obj)).store, at)


def _walk(
    context: typer.Context,
    node: str,
    direction: Direction,
    as_of: str | None,
    depth: int | None,
    form: str,
) -> None:
    graph = _graph(context, as_of)
    found = graph.walk(graph.one(node), direction, depth)
    graph.prefetch(found.steps)
    if form == "json":
        typer.echo(json.dumps(document(found, graph), indent=2, ensure_ascii=False))
    else:
        typer.echo(tree(found, graph) if form == "tree" else mermaid(found, graph))


def _render(found: Impact, console: Console) -> None:
    several = len(found.objects) > 1
    console.print(f"{len(found.objects)} source objects:" if several else "Source object:")
    for source in found.objects:
        console.print(f"  {source}", soft_wrap=True)
    if not found.versions:
        console.print("No version was trained on it.")
        return
    console.print("Trained on it:")
    for version in found.versions:
        live = f"live {version['share']:g} %" if version["share"] else "not live"
        made = version["predictions"]
        told = "no predictions"
        if made:
            answers = counted(sum(made.values()), "answer")
            told = f"{counted(len(made), 'prediction partition')}, {answers}, {hours(made)} (UTC)"
        line = Text.assemble(
            f"  {version['version']}  ", state_text(version["status"]), f", {live}, {told}"
        )
        console.print(line, soft_wrap=True)
