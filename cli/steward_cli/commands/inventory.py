"""``steward inventory``: all models, who answers for them, and when they are reviewed."""

from __future__ import annotations

import csv
import io
from typing import Annotated, Any

import typer
from rich.console import Console

from steward.adapters.time import SystemClock
from steward.service.registry.reviews import inventory
from steward_cli.console import Json, show, table
from steward_cli.function_urls import call
from steward_cli.state import StackState, person
from steward_cli.target import Choice, Target, choose

app = typer.Typer(help="The model inventory and its reviews.", no_args_is_help=False)

_DUE = {"in_time": "", "due": "[yellow]due[/yellow]", "overdue": "[bold red]overdue[/bold red]"}
Csv = Annotated[bool, typer.Option("--csv", help="Print CSV.")]


@app.callback(invoke_without_command=True)
def whole(context: typer.Context, csv_: Csv = False, json_: Json = False) -> None:
    """List every model with tier, owner, version in production, status and reviews.

    Example: `steward inventory`
    """
    if context.invoked_subcommand is None:
        _list(context.obj, csv_, json_)


@app.command("list")
def list_models(context: typer.Context, csv_: Csv = False, json_: Json = False) -> None:
    """List every model; those whose review is due come first.

    Example: `steward inventory list --csv`
    """
    _list(context.obj, csv_, json_)


def _list(choice: Choice, csv_: bool, json_: bool) -> None:
    now = SystemClock().now()
    rows = [entry.row(now) for entry in inventory(StackState(choose(choice)).store, now)]
    if csv_:
        typer.echo(as_csv(rows), nl=False)
        return

    def render(console: Console) -> None:
        columns = ("project", "tier", "owner", "production", "status", "last review", "next review")
        shown = [
            (
                row["project"], row["tier"], row["owner"],
                f"version {row['production']}" if row["production"] else "",
                row["status"], f"{row['last_review'] or 'none'} {person(row['reviewed_by'])}",
                f"{row['next_review']} {_DUE[row['review']]}",
            )
            for row in rows
        ]  # fmt: skip
        console.print(table(columns, shown))

    show(rows, json_, render)


_COLUMNS = ("project", "owner", "tier", "production", "versions", "status", "last_review",
            "reviewed_by", "note", "next_review", "review")  # fmt: skip


def as_csv(rows: list[dict[str, Any]]) -> str:
    """Return rows as CSV; a cell that a spreadsheet would run as a formula begins with a quote."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows([_cell(row[name]) for name in _COLUMNS] for row in rows)
    return out.getvalue()


def _cell(value: object) -> object:
    risky = isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r")
    return f"'{value}" if risky else value


@app.command("review")
def review(
    context: typer.Context,
    project: Annotated[str, typer.Argument(help="Project name.")],
    note: Annotated[str, typer.Option("--note", "-m", help="What you found; kept for good.")],
    json_: Json = False,
) -> None:
    """Record under your own IAM identity that you reviewed a model.

    Example: `steward inventory review diabetes --note "drift and slices looked through"`
    """
    answer = record(choose(context.obj), project, note)

    def render(console: Console) -> None:
        console.print(
            f"{project} reviewed by [bold]{person(answer['by'])}[/bold] at {answer['at']}"
        )

    show(answer, json_, render)


def record(target: Target, project: str, note: str) -> dict[str, Any]:
    """Send a review to the review URL and return what it kept.

    Raises:
        CommandError: It was refused, with the reason.
    """
    body = {"project": project, "note": note}
    reply = call(target, target.output("ReviewUrl"), "POST", body).raise_for_status()
    answer: dict[str, Any] = reply.body
    return answer
