"""``steward cost``: what a project cost, what its next run will cost, and the prices of both."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from rich.console import Console
from typer.core import TyperGroup

from steward.adapters.time import SystemClock
from steward.domain.budget import over_budget
from steward.domain.names import metric_namespace
from steward.domain.project import parse_project
from steward.domain.run_cost import estimate, month_of
from steward.ports import Table
from steward.service.training.budget import history, planned_run, spent_in
from steward_cli.console import Exit, Json, show, table
from steward_cli.costs import By, batch_costs, costs_by, per_million, predictions_by_version
from steward_cli.price_list import TABLE, refreshed, written
from steward_cli.state import StackState
from steward_cli.target import Target, choose


class _ShowsByDefault(TyperGroup):
    """Takes ``cost PROJECT`` for ``cost show PROJECT``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put ``show`` before what is no command."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            args = ["show", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    help="What a project cost, what its next run will cost, and at which prices.",
    cls=_ShowsByDefault,
)
Project = Annotated[str, typer.Argument(help="Project name.")]


@app.command("show")
def show_cost(
    context: typer.Context,
    project: Project,
    by: Annotated[str, typer.Option(help="run, version or month.")] = "run",
    json_: Json = False,
) -> None:
    """Show what a project cost, each run against its estimate, and per million predictions.

    `steward cost PROJECT` is short for it.

    Example: `steward cost show churn --by month`
    """
    if by not in get_args(By):
        raise typer.BadParameter(f"{by!r}; allowed: run, version, month", param_hint="--by")
    target = choose(context.obj)
    state = StackState(target)
    configured = state.project(project)
    entries = state.costs(project)
    batches = state.batches(project)
    lines = costs_by(by, entries, state.runs(project), state.versions(project), batches)  # type: ignore[arg-type]
    scored = batch_costs(entries, batches)
    chunks = state.store.query(Table.MONITORING, project, prefix="chunk#")
    predictions = sum(predictions_by_version(chunks).values())
    total = sum(line["dollars"] for line in lines)
    memory_mb = int(configured["config"]["serving"]["memory_mb"])
    making = total - scored["dollars"]
    million = per_million(making, predictions, memory_mb, _latency_s(target, project))
    million["batch"] = scored
    found = {"project": project, "by": by, "lines": lines, "dollars": total, "million": million,
             "prices": sorted({str(entry["prices"]) for entry in entries})}  # fmt: skip

    def render(console: Console) -> None:
        console.print(table(_columns(by), [_row(by, line) for line in lines]))
        if any(line.get("expected") is not None for line in lines):
            console.print(
                "training: until the version is registered, beside what was expected and high of "
                "the same parts; staging and release are in together, storage is in neither",
                style="dim", soft_wrap=True,
            )  # fmt: skip
        console.print(f"Together ${total:.4f}: {', '.join(found['prices']) or 'nothing recorded'}")
        if unpriced := sum(line["unpriced"] for line in lines):
            console.print(
                f"[yellow]{unpriced} entries have no known price[/yellow] and add nothing"
            )
        _render_million(console, million)

    show(found, json_, render)


def _columns(by: str) -> tuple[str, ...]:
    more = ("training", "expected", "high", "difference") if by == "run" else ()
    return (by, "together", *more, "entries", "since")


def _row(by: str, line: dict[str, Any]) -> tuple[Any, ...]:
    more: tuple[str, ...] = ()
    if by == "run":
        more = tuple(_dollars(line[name]) for name in ("training", "expected", "high"))
        more = (*more, _difference(line))
    return (_named(str(line[by])), _dollars(line["dollars"]), *more, line["entries"], line["since"])


def _named(key: str) -> str:
    """Return a run's id as lists show it: of a commit its short id and the attempt."""
    kind, _, rest = key.partition("#")
    commit, _, attempt = rest.partition("#")
    return f"{kind} {commit[:12]} #{attempt}" if attempt else key


def _difference(line: dict[str, Any]) -> str:
    if line["difference"] is None:
        return ""
    sign = "-" if line["difference"] < 0 else "+"
    share = f" ({line['difference'] / line['expected']:+.0%})" if line["expected"] else ""
    above = ", above high" if line["training"] > line["high"] else ""
    return f"{sign}${abs(line['difference']):.4f}{share}{above}"


def _dollars(value: float | None) -> str:
    return "" if value is None else f"${value:.4f}"


def _render_million(console: Console, million: dict[str, Any]) -> None:
    how = "measured" if million["measured"] else "assumed"
    console.print(
        f"A million predictions: ${million['answering']:.2f} to answer"
        f" (endpoint ${million['endpoint']:.2f} at {million['answer_s'] * 1000:.0f} ms {how},"
        f" gateway ${million['gateway']:.2f}; {million['prices']})"
    )
    if million["batch"]["million"] is not None:
        console.print(
            f"${million['batch']['million']:.2f} to score in batches,"
            f" of {million['batch']['rows']} rows so far"
        )
    if million["making"] is None:
        console.print("No prediction was captured yet, so making the model is spread over none")
        return
    console.print(
        f"and ${million['making']:.2f} to make the model,"
        f" spread over {million['predictions']} captured so far"
    )


def _latency_s(target: Target, project: str) -> float | None:
    """Return the mean time of the stable version's answers of a fortnight, in seconds."""
    now = datetime.now(UTC)
    points = target.client("cloudwatch").get_metric_statistics(
        Namespace=metric_namespace(target.environment_name), MetricName="VariantLatency",
        StartTime=now - timedelta(days=14), EndTime=now, Period=1_209_600,
        Statistics=["Sum", "SampleCount"],
        Dimensions=[{"Name": "project", "Value": project}, {"Name": "role", "Value": "stable"}],
    )["Datapoints"]  # fmt: skip
    count = sum(float(point["SampleCount"]) for point in points)
    return sum(float(point["Sum"]) for point in points) / count / 1000 if count else None


@app.command("list")
def list_costs(context: typer.Context, json_: Json = False) -> None:
    """List what each project cost, this month against its budget, and what had no price.

    Example: `steward cost list`
    """
    state = StackState(choose(context.obj))
    month = month_of(SystemClock().now())
    found: list[dict[str, Any]] = []
    for item in sorted(state.projects(), key=lambda item: str(item["project"])):
        name, entries = str(item["project"]), state.costs(item["project"])
        budget = (item["config"].get("budget") or {}).get("per_month_usd")
        found.append(
            {
                "project": name, "dollars": sum(float(e["dollars"] or 0) for e in entries),
                "month": spent_in(state.store, name, month).dollars, "per_month_usd": budget,
                "unpriced": sum(e["dollars"] is None for e in entries),
            }
        )  # fmt: skip

    def render(console: Console) -> None:
        rows = [
            (f["project"], _dollars(f["dollars"]), _dollars(f["month"]),
             _dollars(f["per_month_usd"]), f["unpriced"] or "")
            for f in found
        ]  # fmt: skip
        console.print(table(("project", "dollars", month, "budget a month", "unpriced"), rows))

    show({"month": month, "projects": found}, json_, render)


@app.command("estimate")
def estimate_cost(context: typer.Context, project: Project, json_: Json = False) -> None:
    """Show what the next run is expected to cost, and whether its budget allows it.

    Exits with 1 where a run would be refused.

    Example: `steward cost estimate churn`
    """
    state = StackState(choose(context.obj))
    declared = parse_project(state.project(project)["config"])
    expected = estimate(planned_run(state.store, declared), history(state.store, project))
    month = month_of(SystemClock().now())
    spent = spent_in(state.store, project, month)
    refusal = over_budget(declared.budget, expected.high, spent)
    budget = declared.budget.model_dump()
    found = {**expected.as_dict(), "month": month, "spent": spent.dollars,
             "spent_unpriced": list(spent.unpriced), "budget": budget,
             "refusal": refusal.as_dict() if refusal else None}  # fmt: skip

    def render(console: Console) -> None:
        rows = [(p.name, _dollars(p.expected), _dollars(p.high), p.basis) for p in expected.parts]
        total = ("together", _dollars(expected.expected), _dollars(expected.high), expected.prices)
        console.print(table(("part", "expected", "high", "from"), [*rows, total]))
        unknown = (
            f", and {len(spent.unpriced)} jobs without a known price" if spent.unpriced else ""
        )
        console.print(f"Spent in {month}: ${spent.dollars:.4f}{unknown if spent.unpriced else ''}")
        if refusal is not None:
            console.print(f"[red]A run would be refused[/red]: {refusal.message}")
        elif declared.budget.is_limited:
            console.print("The budget allows the run")

    show(found, json_, render)
    if refusal is not None:
        raise typer.Exit(int(Exit.FAILED))


@app.command("refresh-prices")
def refresh_prices(
    context: typer.Context,
    out: Annotated[Path, typer.Option("--out", "-o", help="The table's file.")] = TABLE,
    json_: Json = False,
) -> None:
    """Write the price table again from the AWS Price List API; needs `pricing:GetProducts`.

    Jobs' instances, Step Functions, Lambda and Athena are asked for; other prices keep their
    dates. The same answers write the same bytes, and nothing is written unless all were found.

    Example: `steward --target aws cost refresh-prices`
    """
    target = choose(context.obj)
    client = target.session.client("pricing", region_name="us-east-1")
    before, after = refreshed(client, target.region, out)
    changed = written(after, out)
    compute = {"before": before["compute"], "after": after["compute"]}

    def render(console: Console) -> None:
        rows = [
            (name, compute["before"]["instance_hour"].get(name), price)
            for name, price in after["compute"]["instance_hour"].items()
            if compute["before"]["instance_hour"].get(name) != price
        ]
        console.print(table(("instance", "was", "is"), rows))
        state = "written" if changed else "unchanged"
        console.print(f"{out}: {state}, {after['region']} prices of {after['compute']['as_of']}")

    show({"changed": changed, "table": after}, json_, render)
