"""``steward monitor``: alarms, reports, past windows judged again, the breaker of retraining."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import ValidationError
from rich.console import Console

from steward.adapters.objects import S3ObjectStore
from steward.adapters.time import SystemClock
from steward_cli.console import CommandError, Exit, Json, progress, show
from steward_cli.monitoring import RECENT, Monitoring, Watched, document
from steward_cli.state import StackState
from steward_cli.target import Choice, choose

if TYPE_CHECKING:
    from steward.domain.monitoring.counts import Counts

app = typer.Typer(help="Monitoring: what alarms, since when, by what evidence, and what follows.")

WIDEST = 110
ALL = 1000
Project = Annotated[str, typer.Argument(help="Project name.")]
Last = Annotated[
    int, typer.Option("--last", min=1, max=ALL, help="Looks at most, the newest.")
]  # fmt: skip
Version = Annotated[
    int | None,
    typer.Option(
        "--version", min=1, help="A version that answered beside the stable one, in a release."
    ),
]


def reader(choice: Choice) -> Monitoring:
    """Return a reader of the chosen target's monitoring, with the caller's own rights."""
    target = choose(choice)
    return Monitoring(StackState(target).store, S3ObjectStore(target.client("s3")))


@app.command("show")
def show_monitoring(
    context: typer.Context,
    project: Project,
    last: Last = RECENT,
    version: Version = None,
    json_: Json = False,
) -> None:
    """Show alarms, the last looks as a line, and the columns of the newest window.

    Each character is a look: its height says how many rows came, its colour what was said.

    Example: `steward monitor show diabetes`
    """
    watched = reader(context.obj).read(project, recent=last, version=version)
    show(document(watched), json_, lambda console: draw(watched, console))


def draw(watched: Watched, console: Console) -> None:
    """Print what is known of a project."""
    from steward_cli.monitor_text import screen

    console.print(screen(watched, min(console.width, WIDEST)))


@app.command("report")
def report(
    context: typer.Context,
    project: Project,
    look: Annotated[
        str | None,
        typer.Option(
            "--look", help="Start of a window, such as 2026-01-05T09:00:00Z; default: the newest."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="File to write; default: monitor-PROJECT.html."),
    ] = None,
    last: Last = RECENT,
    version: Version = None,
    json_: Json = False,
) -> None:
    """Write a window's report as one HTML page that needs nothing from elsewhere, and show it.

    Example: `steward monitor report diabetes --out monitor.html`
    """
    monitoring = reader(context.obj)
    with progress("reading looks"):
        watched = monitoring.read(project, recent=ALL if look else last, version=version)
        watched = watched.at(look) if look else watched
    path = out or Path(f"monitor-{project}.html")
    write_report(monitoring, watched, path)
    newest = watched.newest
    assert newest is not None

    def render(console: Console) -> None:
        draw(watched, console)
        console.print(f"\n{path}", markup=False, soft_wrap=True)

    told = {"project": project, "window": newest.window, "digest": newest.digest,
            "alarms": newest.alarms, "file": str(path)}  # fmt: skip
    show(told, json_, render)


def write_report(monitoring: Monitoring, watched: Watched, path: Path) -> Path:
    """Make the report of the newest of the looks that were read; return its path.

    Raises:
        CommandError: There is no look yet.
    """
    from steward_cli.monitor_page import page

    if watched.newest is None:
        raise CommandError(
            f"no window of {watched.project} was looked at yet", Exit.NOT_FOUND,
            "windows are looked at once they have ended",
        )  # fmt: skip
    made = page(watched, window_counts(monitoring, watched), SystemClock().now())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(made, encoding="utf-8")
    return path


def window_counts(monitoring: Monitoring, watched: Watched) -> dict[str, Counts]:
    """Return what was counted in the newest window, by column; nothing where nothing was."""
    look, baseline = watched.newest, watched.baseline
    if look is None or baseline is None or look.profile_uri is None:
        return {}
    from steward.domain.monitoring.entity_samples import profile_sample, sample_from_json
    from steward.domain.monitoring.profiles import Profile

    content = monitoring.objects.read(look.profile_uri)
    if baseline.unit == "entity":
        return profile_sample(baseline, sample_from_json(content)).columns
    return Profile.model_validate_json(content).columns


@app.command("backtest")
def backtest_windows(
    context: typer.Context,
    project: Project,
    fdr: Annotated[
        float | None, typer.Option(help="False discovery rate over columns of a window.")
    ] = None,
    alpha: Annotated[
        float | None, typer.Option(help="Probability of any false alarm within 336 looks.")
    ] = None,
    min_effect: Annotated[
        float | None, typer.Option("--min-effect", help="Smallest effect that counts.")
    ] = None,
    minimum_rows: Annotated[
        int | None, typer.Option("--minimum-rows", help="Rows below which nothing is judged.")
    ] = None,
    last: Last = ALL,
    json_: Json = False,
) -> None:
    """Judge past windows again, with other settings or with their own; nothing is written.

    With their own settings any verdict that does not come out again is exit code 1.

    Example: `steward monitor backtest diabetes --fdr 0.01 --min-effect 0.05`
    """
    from steward_cli.monitor_backtest import Settings, backtest, summary
    from steward_cli.monitor_text import backtested

    monitoring = reader(context.obj)
    tried = Settings(fdr=fdr, alpha=alpha, min_effect=min_effect, minimum_rows=minimum_rows)
    with progress("judging again"):
        watched = monitoring.read(project, recent=last)
        if watched.baseline is None:
            raise CommandError(f"{project} has no look with a baseline", Exit.NOT_FOUND)
        try:
            found = backtest(watched.records, watched.baseline, monitoring.objects, tried)
        except ValidationError as invalid:
            first = invalid.errors()[0]
            raise CommandError(f"{first['loc'][0]}: {first['msg']}", Exit.USAGE) from None
    totals = summary(found)
    show({**totals, "looks": [one.document() for one in found]}, json_,
         lambda console: console.print(backtested(found, totals)))  # fmt: skip
    if totals["differing"]:
        raise typer.Exit(int(Exit.FAILED))


@app.command("retraining")
def retraining(
    context: typer.Context,
    project: Project,
    reset: Annotated[
        bool, typer.Option("--reset", help="Close the breaker: attempts may begin again.")
    ] = False,
    json_: Json = False,
) -> None:
    """Show what asked for training, what became of it, and the breaker; reset it.

    Reset it after looking at what was in vain: it opened since new versions did not help.

    Example: `steward monitor retraining diabetes --reset`
    """
    from steward_cli.monitor_text import retraining as drawn

    monitoring = reader(context.obj)
    if reset:
        monitoring.reset_breaker(project)
    item = monitoring.retraining(project)
    if item is None:
        watched = monitoring.read(project, recent=1, records=False)
        show({"project": watched.project, "retraining": None}, json_,
             lambda console: console.print("nothing asked for training yet"))  # fmt: skip
        return
    show(item, json_, lambda console: console.print(drawn(item)))
