"""``steward outcomes``: what became of predictions."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from steward.domain.errors import RejectedError, UnreadableFileError
from steward.domain.outcome_files import Row, kind_of, rows_of
from steward.domain.outcomes import outcome_of
from steward_cli.commands.data import content_type_of
from steward_cli.console import Exit, Json, progress, rejected, show, table
from steward_cli.function_urls import call
from steward_cli.target import Target, choose

app = typer.Typer(help="Outcomes: report what became of predictions.")

BATCH = 10_000
"""Rows of one request; the function takes no more."""


@app.command("send")
def send(
    context: typer.Context,
    project: Annotated[str, typer.Argument(help="Project name.")],
    file: Annotated[
        Path,
        typer.Argument(
            help="JSON Lines or CSV, also .gz: inference_id or entity_id, outcome, observed_at.",
            exists=True,
            dir_okay=False,
        ),
    ],
    drop: Annotated[
        bool, typer.Option("--drop", help="Put the file into the data bucket instead.")
    ] = False,
    json_: Json = False,
) -> None:
    """Report outcomes from a file, and say which rows were refused and why.

    With `--drop` the file is taken by event, up to a million rows; what was refused is then in
    quarantine with a report, and `OutcomesRecorded` says so.

    Example: `steward outcomes send diabetes followup.csv`
    """  # fmt: skip
    target = choose(context.obj)
    try:
        kind, packed = kind_of(file.name)
        if drop:
            with progress(f"putting {file.name}"):
                placed = drop_file(target, project, file)
            show(placed, json_, lambda console: console.print(f"put at {placed['uri']}"))
            return
        with progress(f"reporting {file.name}"):
            answer = send_rows(target, project, rows_of(file, kind, packed=packed))
    except UnreadableFileError as error:
        raise rejected(error, Exit.USAGE, str(file)) from None

    def render(console: Console) -> None:
        console.print(
            f"{answer['recorded']} recorded, {len(answer['refused'])} refused, "
            f"{len(answer['duplicates'])} repeated"
        )
        if answer["refused"]:
            columns = ("row", "line", "field", "value", "allowed")
            told = [tuple(one.get(name) for name in columns) for one in answer["refused"][:50]]
            console.print(table(columns, told))

    show(answer, json_, render)
    if answer["refused"] and not answer["recorded"]:
        raise typer.Exit(Exit.FAILED)


def drop_file(target: Target, project: str, file: Path) -> dict[str, str]:
    """Put a file where its arrival is an event."""
    bucket, key = target.output("DataBucketName"), f"outcomes/{project}/{file.name}"
    with file.open("rb") as body:
        target.client("s3").put_object(
            Bucket=bucket, Key=key, Body=body, ChecksumAlgorithm="SHA256",
            ContentType=content_type_of(file),
        )  # fmt: skip
    return {"uri": f"s3://{bucket}/{key}"}


def send_rows(target: Target, project: str, rows: Iterator[Row]) -> dict[str, Any]:
    """Send the good rows in batches, judged here by the rules of the function.

    Returns:
        Counts, and what was refused by row and line of the file.
    """
    url = f"{target.output('OutcomesUrl').rstrip('/')}/{project}"
    answer: dict[str, Any] = {"recorded": 0, "refused": [], "duplicates": [], "uris": []}
    now = datetime.now(UTC)
    batch: list[Row] = []
    for row in rows:
        try:
            row.usable()
            outcome_of(row.value, now)
        except RejectedError as error:
            answer["refused"].append(row.refusal(error))
            continue
        batch.append(row)
        if len(batch) == BATCH:
            _send(target, url, batch, answer)
            batch = []
    if batch:
        _send(target, url, batch, answer)
    return answer


def _send(target: Target, url: str, batch: list[Row], answer: dict[str, Any]) -> None:
    body = call(target, url, "POST", [row.value for row in batch]).raise_for_status().body
    answer["recorded"] += body["recorded"]
    answer["uris"].append(body["uri"])
    answer["duplicates"] += [batch[index].number for index in body["duplicates"]]
    for refused in body["refused"]:
        row = batch[refused.pop("index")]
        answer["refused"].append({"row": row.number, "line": row.line, **refused})
