"""``steward experiment``: read experiments, judge them again, write their report."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from steward.adapters.objects import S3ObjectStore
from steward.adapters.time import SystemClock
from steward_cli.console import Exit, Json, progress, show, stdout, table
from steward_cli.experiment_page import page
from steward_cli.experiment_replay import Replayed, replay
from steward_cli.experiment_text import HISTORY, document, screen, summary
from steward_cli.experiments import Experiment, Experiments
from steward_cli.state import StackState
from steward_cli.target import Choice, choose

app = typer.Typer(help="Experiments: who wins, by what evidence, and whether it can be redone.")

WIDEST = 110
Id = Annotated[
    str,
    typer.Argument(
        metavar="ID", help="PROJECT/RELEASE_ID; a project alone means its newest experiment."
    ),
]


def reader(choice: Choice) -> Experiments:
    """Return a reader of the chosen target's experiments, with the caller's own rights."""
    target = choose(choice)
    return Experiments(StackState(target).store, S3ObjectStore(target.client("s3")))


@app.command("list")
def list_experiments(
    context: typer.Context,
    project: Annotated[str | None, typer.Argument(help="Project name; default: all.")] = None,
    json_: Json = False,
) -> None:
    """List experiments, oldest first: every release that was judged.

    Example: `steward experiment list diabetes`
    """
    heads = reader(context.obj).heads(project)

    def render(console: Console) -> None:
        columns = ("experiment", "version", "beside", "strategy", "status", "verdicts",
                   "started", "outcome")  # fmt: skip
        console.print(table(columns, [summary(head) for head in heads]))

    show([{n: v for n, v in head.items() if n != "plans"} for head in heads], json_, render)


@app.command("show")
def show_experiment(
    context: typer.Context,
    id_: Id,
    once: Annotated[bool, typer.Option("--once", help="Print once instead of refreshing.")] = False,
    every_s: Annotated[float, typer.Option("--every", min=1, help="Seconds between looks.")] = 5,
    history: Annotated[
        int, typer.Option("--history", min=0, help="Most verdicts to list, the newest; 0: all.")
    ] = HISTORY,
    json_: Json = False,
) -> None:
    """Show an experiment as it goes: shares, intervals over time, guardrails, what is waited for.

    Refreshes until it ends or Ctrl-C. Looking often costs nothing: every error rate holds over
    all looks together. In a pipe, or once it has ended, it prints once.

    Example: `steward experiment show diabetes --once`
    """
    experiments = reader(context.obj)
    project, release_id = experiments.find(id_)
    experiment = experiments.read(project, release_id)
    console = stdout()
    if once or json_ or not experiment.running or not console.is_terminal:
        show(document(experiment), json_, lambda console: draw(experiment, console, history))
        return
    footer = Text(f"every {every_s:g} s; Ctrl-C ends", style="dim")
    with Live(console=console, screen=False, auto_refresh=False) as live:
        while experiment.running:
            picture = screen(experiment, _width(console), history, live=True)
            live.update(Group(footer, picture), refresh=True)
            time.sleep(every_s)
            experiment = experiments.read(project, release_id)
        live.update(screen(experiment, _width(console), history), refresh=True)


def draw(experiment: Experiment, console: Console, history: int = HISTORY) -> None:
    """Print an experiment once."""
    console.print(screen(experiment, _width(console), history))


def _width(console: Console) -> int:
    return min(console.width, WIDEST)


@app.command("replay")
def replay_experiment(context: typer.Context, id_: Id, json_: Json = False) -> None:
    """Judge every verdict again from the record; any difference is named and is exit code 1.

    Recomputes each verdict from its stored plan, counts and statistics (floats to 1e-12), and
    checks digests of plans, verdicts and frozen cohorts against the experiment's items.

    Example: `steward experiment replay diabetes/00000002-1`
    """
    experiments = reader(context.obj)
    with progress("judging again"):
        experiment = experiments.read(*experiments.find(id_))
        found = replay(experiment, experiments.objects)
    show(found.document(), json_, lambda console: render_replay(found, console))
    if not found.agrees:
        raise typer.Exit(int(Exit.FAILED))


def render_replay(found: Replayed, console: Console) -> None:
    """Print per verdict whether it agrees; verdicts in a row of one kind share a line."""
    rows: list[list[object]] = []
    for verdict in found.verdicts:
        number, wrong = verdict["number"], ", ".join(verdict["differences"])
        row = [str(number), verdict["step_id"], verdict["verdict"].replace("_", " "),
               wrong or "agrees"]  # fmt: skip
        if rows and rows[-1][1:] == row[1:] and not wrong:
            rows[-1][0] = f"{str(rows[-1][0]).split('-', maxsplit=1)[0]}-{number}"
        else:
            rows.append(row)
    console.print(table(("verdict", "step", "said", "judged again"), rows))
    broken = [cohort for cohort in found.cohorts if cohort["differences"]]
    for cohort in broken:
        wrong = ", ".join(cohort["differences"])
        console.print(f"cohort {cohort['cohort']}: {wrong}", markup=False, soft_wrap=True)
    for line in found.record:
        console.print(f"record: {line}", markup=False, soft_wrap=True)
    differing = sum(bool(verdict["differences"]) for verdict in found.verdicts)
    told = (
        f"{len(found.verdicts)} verdicts and {len(found.cohorts)} frozen cohorts agree"
        if found.agrees
        else f"{differing} of {len(found.verdicts)} verdicts and {len(broken)} of "
        f"{len(found.cohorts)} frozen cohorts differ"
    )
    console.print(told, style="green" if found.agrees else "red")


@app.command("report")
def report_experiment(
    context: typer.Context,
    id_: Id,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="File to write; default: experiment-PROJECT-RELEASE.html."
        ),
    ] = None,
    json_: Json = False,
) -> None:
    """Write an experiment's report as one HTML page that needs nothing from elsewhere.

    Example: `steward experiment report diabetes/00000002-1 -o experiment.html`
    """
    experiments = reader(context.obj)
    project, release_id = experiments.find(id_)
    path = out or Path(f"experiment-{project}-{release_id}.html")
    written = write_report(experiments, project, release_id, path)
    show({"experiment": f"{project}/{release_id}", "file": str(written)}, json_,
         lambda console: console.print(str(written), markup=False, soft_wrap=True))  # fmt: skip


def write_report(experiments: Experiments, project: str, release_id: str, path: Path) -> Path:
    """Make the report of an experiment from the record as it is now; return its path."""
    made = page(experiments.read(project, release_id), SystemClock().now())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(made, encoding="utf-8")
    return path
