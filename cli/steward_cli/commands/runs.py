"""``steward runs``: training runs, what triggered them, and what people do with them."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.console import Console

from steward.adapters.objects import S3ObjectStore
from steward.domain.errors import StewardError
from steward.domain.run_comparison import compare_runs, saved_dollars, trained_list
from steward.ports import Item
from steward.service.delivery_lists import read_list
from steward_cli.console import CommandError, Exit, Json, progress, show, table
from steward_cli.function_urls import call
from steward_cli.run_text import reused_text, show_comparison, show_run, started_on
from steward_cli.sheet import Full
from steward_cli.state import StackState
from steward_cli.target import Target, choose

app = typer.Typer(help="Training runs: start, follow, resume, cancel and compare them.")

Project = Annotated[str, typer.Argument(help="Project name.")]
Run = Annotated[str, typer.Argument(metavar="RUN", help="Run id, as `runs list` shows it.")]
Reason = Annotated[str, typer.Option("--reason", "-m", help="Why; it stays on the run.")]


@app.command("list")
def list_runs(context: typer.Context, project: Project, json_: Json = False) -> None:
    """List a project's runs and suppressed triggers, oldest first.

    A run's cost is that of its jobs and executions, staging and release included, at the prices
    of the dated table; it grows until its version is released. Steps that were reused cost
    nothing again; what they cost then is what was saved.

    Example: `steward runs list diabetes --json`
    """
    state = StackState(choose(context.obj))
    state.project(project)
    suppressed, costs = state.suppressed(project), state.dollars_by_run(project)
    runs = [
        {**run, "dollars": costs.get(run["run_id"]), "saved_dollars": saved_dollars(run)}
        for run in state.runs(project)
    ]

    def render(console: Console) -> None:
        rows = [
            (
                run["run_id"],
                run["status"],
                (run.get("trigger") or {}).get("kind"),
                started_on(run),
                run.get("version"),
                run.get("started_at"),
                "" if run["dollars"] is None else f"${run['dollars']:.4f}",
                reused_text(run),
                run.get("error"),
            )
            for run in runs
        ]
        columns = (
            "run", "status", "trigger", "files", "version", "started", "cost", "reused", "error",
        )  # fmt: skip
        console.print(table(columns, rows))
        for item in suppressed:
            console.print(
                f"[yellow]suppressed[/yellow] {item['run_id'].split('#')[1]}: "
                f"{item.get('reason', 'already done')} (run {item.get('existing_run_id')})"
            )

    show({"runs": runs, "suppressed": suppressed}, json_, render)


@app.command("show")
def show_one(
    context: typer.Context, project: Project, run_id: Run, full: Full = False, json_: Json = False
) -> None:
    """Show one run with its steps, what it reused, its cost and where its execution is.

    Example: `steward runs show diabetes 3f9a0c11d2e4-1`
    """
    target = choose(context.obj)
    state = StackState(target)
    run = _run(state, project, run_id)
    run = {**run, "dollars": state.dollars_by_run(project).get(run_id)}
    link = target.console_url(f"states/home#/v2/executions/details/{run.get('execution_arn')}")
    show(run, json_, lambda console: show_run(run, console, link, full))


@app.command("start")
def start(
    context: typer.Context,
    project: Project,
    reason: Reason,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Carry every step out, although it has run before.")
    ] = False,
    json_: Json = False,
) -> None:
    """Start a run on what was delivered, if there is anything new to do.

    Example: `steward runs start diabetes --reason "the price of a false alarm has changed"`
    """
    body = {"action": "start", "project": project, "reason": reason, "use_cache": not no_cache}
    _change(choose(context.obj), body, json_)


@app.command("resume")
def resume(
    context: typer.Context, project: Project, run_id: Run, reason: Reason, json_: Json = False
) -> None:
    """Take a failed run up again: what it has finished is not repeated.

    An execution that timed out or was stopped goes on by itself, from the state that it was in.
    A run that recorded its own failure gets the next attempt, with the same data, configuration,
    code and image, which finds the finished steps in the step cache. Refused while another run
    has the training lock.

    Example: `steward runs resume diabetes 3f9a0c11d2e4-1 --reason "quota raised"`
    """
    body = {"action": "resume", "project": project, "run_id": run_id, "reason": reason}
    _change(choose(context.obj), body, json_)


@app.command("cancel")
def cancel(
    context: typer.Context, project: Project, run_id: Run, reason: Reason, json_: Json = False
) -> None:
    """Stop a run and its job, or take a waiting run out of the queue.

    The lock passes to the run that waits. A cancelled run can be resumed.

    Example: `steward runs cancel diabetes 3f9a0c11d2e4-1 --reason "wrong data"`
    """
    body = {"action": "cancel", "project": project, "run_id": run_id, "reason": reason}
    _change(choose(context.obj), body, json_)


@app.command("compare")
def compare(
    context: typer.Context,
    project: Project,
    first: Annotated[str, typer.Argument(help="Run A.")],
    second: Annotated[str, typer.Argument(help="Run B.")],
    json_: Json = False,
) -> None:
    """Compare two runs: inputs, parameters, metrics with intervals, cost, reused steps.

    Example: `steward runs compare diabetes 3f9a0c11d2e4-1 8c1d77e0aa31-1`
    """
    target = choose(context.obj)
    state = StackState(target)
    a, b = (_run(state, project, run_id) for run_id in (first, second))
    costs = state.dollars_by_run(project)
    found = compare_runs(
        a, b, (_evaluation(target, a), _evaluation(target, b)),
        (costs.get(first), costs.get(second)),
        (_deliveries(target, a), _deliveries(target, b)),
    )  # fmt: skip
    show(found, json_, lambda console: show_comparison(found, console))


def _run(state: StackState, project: str, run_id: str) -> Item:
    runs = {run["run_id"]: run for run in state.runs(project)}
    if run_id not in runs:
        known = ", ".join(runs) or "none"
        raise CommandError(f"{project} has no run {run_id!r}", Exit.NOT_FOUND, f"known: {known}")
    return runs[run_id]


def _evaluation(target: Target, run: Item) -> dict[str, Any] | None:
    """Return what the evaluation found, or None where there is none or it may not be read."""
    if not run.get("evaluation_uri"):
        return None
    try:
        found = json.loads(S3ObjectStore(target.client("s3")).read(str(run["evaluation_uri"])))
    except (StewardError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _deliveries(target: Target, run: Item) -> list[str] | None:
    """Return what a run trained on, or None where the list is gone or may not be read."""
    listed = trained_list(run)
    if listed is None:
        return []
    try:
        return read_list(S3ObjectStore(target.client("s3")), listed)
    except StewardError:
        return None


def _change(target: Target, body: dict[str, Any], json_: bool) -> None:
    with progress(f"{body['action']} {body.get('run_id') or body['project']}"):
        answer: dict[str, Any] = (
            call(target, target.output("RunUrl"), "POST", body).raise_for_status().body
        )

    def render(console: Console) -> None:
        words = " ".join(
            str(answer[name]) for name in ("run_id", "existing_run_id") if answer.get(name)
        )
        console.print(f"{answer['outcome']} {words}".rstrip())
        if answer.get("reason"):
            console.print(answer["reason"], style="dim")

    show(answer, json_, render)
