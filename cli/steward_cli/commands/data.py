"""``steward data``: deliveries."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from steward.domain.names import PRIMARY
from steward.domain.runs import DeliveryStatus
from steward_cli.commands.data_delete import delete
from steward_cli.commands.data_profile import profile_file
from steward_cli.console import CommandError, Exit, Json, progress, quoted, show, table
from steward_cli.state import StackState
from steward_cli.target import Target, choose

app = typer.Typer(help="Deliveries: put a file, see what was accepted and why not.")

_LISTED = (
    "delivery", "table", "status", "rows", "set aside", "warnings", "file", "received",
)  # fmt: skip

app.command("profile")(profile_file)
app.command("delete")(delete)

Project = Annotated[str, typer.Argument(help="Project name.")]


@app.command("put")
def put(
    context: typer.Context,
    file: Annotated[
        Path, typer.Argument(help="As project.yaml declares it.", exists=True, dir_okay=False)
    ],
    project: Annotated[str, typer.Option("--project", "-p", help="Project name.")],
    table_: Annotated[str, typer.Option("--table", help="A source of data.sources.")] = PRIMARY,
    rename: Annotated[
        Path | None,
        typer.Option("--rename", exists=True, help="Rename columns as a project's folder, or a "
                     "file of new by old names, says."),
    ] = None,
    json_: Json = False,
) -> None:  # fmt: skip
    """Deliver a file: everything else follows from the event.

    With --rename the columns get the names that `project new --rename` gave them; the file on
    this machine stays as it is.

    Example: `steward data put march.csv --project diabetes`
    """
    target = choose(context.obj)
    sources = StackState(target).project(project)["config"]["data"].get("sources", {})
    if table_ != PRIMARY and table_ not in sources:
        allowed = ", ".join([PRIMARY, *sorted(sources)])
        raise CommandError(f"{project} has no table {table_!r}", Exit.USAGE, f"allowed: {allowed}")
    with tempfile.TemporaryDirectory(prefix="steward-") as scratch:
        sent = file
        if rename is not None:
            from steward_cli.renaming import read_record, renamed_in

            found = renamed_in(file, Path(scratch), names=read_record(rename))
            sent = found.file or file
        with progress(f"delivering {file.name}"):
            placed = deliver(target, project, sent, table_, name=file.name)
    show(placed, json_, lambda console: console.print(f"delivered to {placed['uri']}"))


def deliver(
    target: Target, project: str, file: Path, table_: str = PRIMARY, name: str | None = None
) -> dict[str, str]:
    """Put a file where its arrival is an event, by its own name or another.

    S3 keeps the SHA-256 of its bytes.
    """
    name = name or file.name
    path = name if table_ == PRIMARY else f"{table_}/{name}"
    bucket, key = target.output("DataBucketName"), f"deliveries/{project}/{path}"
    with file.open("rb") as body:
        answer = target.client("s3").put_object(
            Bucket=bucket,
            Key=key,
            Body=body,
            ChecksumAlgorithm="SHA256",
            ContentType=content_type_of(file),
        )
    return {"uri": f"s3://{bucket}/{key}", "version_id": answer.get("VersionId", "")}


def content_type_of(file: Path) -> str:
    """Return the media type of a delivered file."""
    kinds = {
        ".csv": "text/csv", ".jsonl": "application/x-ndjson", ".ndjson": "application/x-ndjson",
        ".parquet": "application/vnd.apache.parquet", ".gz": "application/gzip",
    }  # fmt: skip
    return kinds.get(file.suffix.lower(), "application/octet-stream")


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
                item.get("table", PRIMARY),
                item["status"],
                item.get("rows"),
                item.get("quarantined_rows") or "",
                item.get("warnings") or "",
                item["key"].rsplit("/", 1)[-1],
                item.get("received_at"),
            )
            for item in items
        ]
        console.print(table(_LISTED, rows))

    show(items, json_, render)


@app.command("report")
def show_report(
    context: typer.Context,
    project: Project,
    delivery: Annotated[str, typer.Argument(help="Delivery id or its beginning.")],
    html: Annotated[Path | None, typer.Option("--html", help="Save the page with charts.")] = None,
    json_: Json = False,
) -> None:
    """Show the validation report of a delivery: rule, column, rows, values.

    Example: `steward data report diabetes 91bc --html report.html`
    """
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
    if found[0]["status"] == DeliveryStatus.DELETED:
        deletion = found[0].get("deletion", {})
        raise CommandError(
            f"{found[0]['delivery_id'][:12]} was deleted by {deletion.get('by')}: "
            f"{deletion.get('reason')}", Exit.NOT_FOUND,
        )  # fmt: skip
    report = json.loads(_read(target, found[0]["report_uri"]))
    if html is not None and not found[0].get("page_uri"):
        raise CommandError(
            f"{found[0]['delivery_id'][:12]} was judged before pages were written", Exit.NOT_FOUND
        )
    if html is not None:
        html.write_bytes(_read(target, found[0]["page_uri"]))

    def render(console: Console) -> None:
        console.print(f"{found[0]['key']}: {found[0]['status']}, {found[0].get('rows', '?')} rows")
        if found[0].get("quarantined_rows"):
            aside = f"{found[0]['quarantined_rows']} rows are set aside"
            console.print(f"{aside}: {found[0]['quarantine_uri']}", soft_wrap=True)
        rows = [
            (
                violation.get("severity"),
                violation.get("rule"),
                violation.get("column"),
                violation.get("count"),
                "; ".join(
                    f"{_place(e)}: {quoted(e.get('value'))}"
                    for e in (violation.get("examples") or [])[:3]
                ),
                violation.get("message"),
            )
            for violation in report.get("violations", [])
        ]
        heads = ("severity", "rule", "column", "count", "examples", "message")
        console.print(table(heads, rows))
        if html is not None:
            console.print(f"page: {html}")

    show(report, json_, render)


def _place(example: Mapping[str, Any]) -> str:
    """Return where an example stands: its row, or its line where no row could be read."""
    row = example.get("row")
    return f"line {example.get('line')}" if row is None else f"row {row}"


def _read(target: Target, uri: str) -> bytes:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    body: bytes = target.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    return body
