"""``steward runs``: training runs and what triggered them."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from steward.domain.quotas import quota_advice
from steward_cli.console import CommandError, Exit, Json, record, show, table
from steward_cli.state import StackState
from steward_cli.target import choose

app = typer.Typer(help="Training runs: what started, what waits, what was suppressed.")

Project = Annotated[str, typer.Argument(help="Project name.")]


@app.command("list")
def list_runs(context: typer.Context, project: Project, json_: Json = False) -> None:
    """List a project's runs and suppressed triggers, oldest first.

    A run's cost is that of its jobs and executions, staging and release included, at the prices
    of the dated table; it grows until its version is released.

    Example: `steward runs list diabetes --json`
    """
    state = StackState(choose(context.obj))
    state.project(project)
    suppressed, costs = state.suppressed(project), state.dollars_by_run(project)
    runs = [{**run, "dollars": costs.get(run["run_id"])} for run in state.runs(project)]

    def render(console: Console) -> None:
        rows = [
            (
                run["run_id"],
                run["status"],
                (run.get("trigger") or {}).get("kind"),
                len(run.get("deliveries") or []),
                run.get("version"),
                run.get("started_at"),
                "" if run["dollars"] is None else f"${run['dollars']:.4f}",
                run.get("error"),
            )
            for run in runs
        ]
        columns = ("run", "status", "trigger", "files", "version", "started", "cost", "error")
        console.print(table(columns, rows))
        for item in suppressed:
            console.print(
                f"[yellow]suppressed[/yellow] {item['run_id'].split('#')[1]}: "
                f"{item.get('reason', 'already done')} (run {item.get('existing_run_id')})"
            )

    show({"runs": runs, "suppressed": suppressed}, json_, render)


@app.command("show")
def show_run(
    context: typer.Context,
    project: Project,
    run_id: Annotated[str, typer.Argument(help="Run id, as `runs list` shows it.")],
    json_: Json = False,
) -> None:
    """Show one run with its execution and cost.

    Example: `steward runs show diabetes 3f9a0c11d2e4-1`
    """
    target = choose(context.obj)
    state = StackState(target)
    runs = {run["run_id"]: run for run in state.runs(project)}
    if run_id not in runs:
        known = ", ".join(runs) or "none"
        raise CommandError(f"{project} has no run {run_id!r}", Exit.NOT_FOUND, f"known: {known}")
    run = {**runs[run_id], "dollars": state.dollars_by_run(project).get(run_id)}

    def render(console: Console) -> None:
        shown = {name: run[name] for name in run if name != "config"}
        console.print(record(shown))
        if advice := quota_advice(str(run.get("error")), str(run.get("cause"))):
            console.print(f"What to do: {advice}", style="yellow")
        console.print("The configuration it ran with: --json", style="dim")
        link = target.console_url(f"states/home#/v2/executions/details/{run.get('execution_arn')}")
        if link:
            console.print(link)

    show(run, json_, render)
