"""``steward data``: deliveries."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from steward_cli.console import CommandError, Exit, Json, progress, show, table
from steward_cli.state import StackState
from steward_cli.target import Target, choose

app = typer.Typer(help="Deliveries: put a file, see what was accepted and why not.")

Project = Annotated[str, typer.Argument(help="Project name.")]


@app.command("put")
def put(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="CSV file.", exists=True, dir_okay=False)],
    project: Annotated[str, typer.Option("--project", "-p", help="Project name.")],
    json_: Json = False,
) -> None:
    """Deliver a file: everything else follows from the event.

    Example: `steward data put march.csv --project diabetes`
    """
    target = choose(context.obj)
    StackState(target).project(project)
    with progress(f"delivering {file.name}"):
        placed = deliver(target, project, file)
    show(placed, json_, lambda console: console.print(f"delivered to {placed['uri']}"))


def deliver(target: Target, project: str, file: Path) -> dict[str, str]:
    """Put a file where its arrival starts a run; S3 keeps the SHA-256 of its bytes."""
    bucket, key = target.output("DataBucketName"), f"deliveries/{project}/{file.name}"
    with file.open("rb") as body:
        answer = target.client("s3").put_object(
            Bucket=bucket, Key=key, Body=body, ChecksumAlgorithm="SHA256", ContentType="text/csv"
        )
    return {"uri": f"s3://{bucket}/{key}", "version_id": answer.get("VersionId", "")}


@app.command("list")
def list_deliveries(context: typer.Context, project: Project, json_: Json = False) -> None:
    """List a project's deliveries with their verdicts.

    Example: `steward data list diabetes`
    """
    state = StackState(choose(context.obj))
    state.project(project)
    items = state.deliveries(project)

    def render(console: Console) -> None:
        rows = [
            (
                item["delivery_id"][:12],
                item["status"],
                item.get("rows"),
                item["key"].rsplit("/", 1)[-1],
                item.get("received_at"),
            )
            for item in items
        ]
        console.print(table(("delivery", "status", "rows", "file", "received"), rows))

    show(items, json_, render)


@app.command("report")
def show_report(
    context: typer.Context,
    project: Project,
    delivery: Annotated[str, typer.Argument(help="Delivery id or its beginning.")],
    json_: Json = False,
) -> None:
    """Show the validation report of a delivery: rule, column, rows, values.

    Example: `steward data report diabetes 91bc`
    """
    import json

    target = choose(context.obj)
    found = [
        item
        for item in StackState(target).deliveries(project)
        if item["delivery_id"].startswith(delivery)
    ]
    if len(found) != 1 or not found[0].get("report_uri"):
        raise CommandError(
            f"{len(found)} deliveries of {project} begin with {delivery!r} and have a report",
            Exit.NOT_FOUND, f"steward data list {project}",
        )  # fmt: skip
    bucket, _, key = found[0]["report_uri"].removeprefix("s3://").partition("/")
    body = target.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    report = json.loads(body)

    def render(console: Console) -> None:
        console.print(f"{found[0]['key']}: {found[0]['status']}, {found[0].get('rows', '?')} rows")
        rows = [
            (
                violation.get("rule"),
                violation.get("column"),
                violation.get("count"),
                "; ".join(
                    f"row {e.get('row')}: {e.get('value')!r}"
                    for e in (violation.get("examples") or [])[:3]
                ),
                violation.get("message"),
            )
            for violation in report.get("violations", [])
        ]
        console.print(table(("rule", "column", "count", "examples", "message"), rows))

    show(report, json_, render)
