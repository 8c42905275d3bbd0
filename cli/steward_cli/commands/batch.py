"""``steward batch``: files scored whole with the version in production, by the stack's machine."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import time
import uuid
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

import typer
from rich.console import Console

from steward.adapters.bus import EventBridgeBus
from steward.adapters.objects import S3ObjectStore
from steward.adapters.time import SystemClock, UuidIds
from steward.adapters.workflows import StepFunctionsWorkflows
from steward.contracts.events import BatchScoringRequested
from steward.domain.batch_runs import (
    EXPIRY_TAG,
    MOST_BYTES,
    UPLOADS_DAYS,
    BatchStatus,
    inputs_folder,
)
from steward.domain.errors import EvidenceIncompleteError, StewardError
from steward.domain.principals import identity_of
from steward.ports import Item
from steward.service.emission import Cause, event
from steward_cli.batch_text import print_batch
from steward_cli.console import CommandError, Exit, Json, progress, record, show, table
from steward_cli.sheet import Full
from steward_cli.state import StackState
from steward_cli.target import Target, choose

app = typer.Typer(help="Batches: score files with the version in production, and look at them.")

Project = Annotated[str, typer.Argument(help="Project name.")]
_ENDINGS = (".csv", ".csv.gz", ".jsonl", ".jsonl.gz", ".parquet")
_BEGINS_WITHIN_S = 300
"""A doorway that has said nothing for so long will not."""

_LOST = "the event of its end was lost: ask for the same batch again, which records the end"
_LOOKS_EACH_S = 30


@app.command("score")
def score(
    context: typer.Context,
    project: Project,
    file: Annotated[Path | None, typer.Argument(help="Entity id and features of each row; without "
                                                "one the input that `batch.input` declares.",
                                                exists=True, dir_okay=False)] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write the scores here too.")]
        = None,
    reason: Annotated[str, typer.Option("--reason", "-m", help="Why; it stays on the batch.")] = "",
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Follow it to its end.")] = True,
    timeout: Annotated[int, typer.Option("--timeout", help="Seconds to follow it.")] = 7200,
    json_: Json = False,
) -> None:  # fmt: skip
    """Have files scored by the stack, and follow the batch to its end.

    The machine judges every row by the rules of requests, runs a SageMaker transform job of the
    version in production, checks the result and delivers it whole or not at all. The same input
    and version are scored once; asking again shows what was delivered. It goes on without you.

    Example: `steward batch score churn april.csv --out scores.csv`
    """
    target = choose(context.obj)
    state = StackState(target)
    declared = state.project(project)["config"]
    if file is None and not declared.get("batch"):
        raise CommandError(
            f"{project} declares no batch", Exit.USAGE,
            "name a file, or add a section `batch` to project.yaml",
        )  # fmt: skip
    with progress(f"scoring {file.name if file else declared['batch']['input']}") as say:
        prefix = _upload(target, project, file) if file else None
        wanted = BatchScoringRequested(
            request_id=str(uuid.uuid4()), prefix=prefix, reason=reason
        )  # fmt: skip
        _ask(target, project, wanted)
        if not wait:
            asked = {"request_id": wanted.request_id, "status": "asked"}
            show(asked, json_, lambda console: console.print(f"see `steward batch list {project}`"))
            return
        follow = _Following(target, state, project, wanted.request_id, say)
        found = follow.until(time.monotonic() + timeout)
    if found["status"] != BatchStatus.SUCCEEDED:
        code = Exit.CONFLICT if found["error"] == "NoStableVersionError" else Exit.FAILED
        quarantine = found.get("quarantine_uri")
        raise CommandError(
            f"batch {found['batch_id']} failed in {found['failed_state']}: {found['error']}: "
            f"{found['cause']}", code,
            f"the refused result is in {quarantine}" if quarantine else
            f"see `steward batch show {project} {found['batch_id']}`",
        )  # fmt: skip
    if out is not None:
        out.write_bytes(S3ObjectStore(target.client("s3")).read(found["delivered"]["scores_uri"]))
    told = {**found["delivered"], "delivered_before": found["delivered_before"]}
    show(told, json_, lambda console: console.print(record(told)))


@app.command("list")
def list_batches(
    context: typer.Context,
    project: Project,
    holding: Annotated[str | None, typer.Option("--holding", help="Only those whose delivered "
                                                "scores or refused rows have this id.")] = None,
    json_: Json = False,
) -> None:  # fmt: skip
    """List a project's batches, oldest first, and what was asked for and scored before.

    `--holding ID` reads the results, to find what a person's deletion concerns.

    Example: `steward batch list churn --holding c-4711`
    """
    target = choose(context.obj)
    state = StackState(target)
    state.project(project)
    costs = state.dollars_by_run(project)
    batches = [
        {**item, "dollars": costs.get(item["batch_id"]), **_unseen(target, item)}
        for item in state.batches(project)
    ]
    suppressed = [item for item in state.suppressed(project) if "batch_id" in item]
    if holding is not None:
        objects = S3ObjectStore(target.client("s3"))
        with progress(f"reading results for {holding}"):
            batches = [item for item in batches if _holds(item, holding, objects)]
        named = {item["batch_id"] for item in batches}
        suppressed = [item for item in suppressed if item["batch_id"] in named]

    def render(console: Console) -> None:
        rows = [
            (
                item["batch_id"], _status(item), item["trigger"]["kind"], item.get("version"),
                item.get("rows"), item.get("refused_rows"), item["started_at"],
                "" if item["dollars"] is None else f"${item['dollars']:.4f}", item.get("error"),
            )
            for item in batches
        ]  # fmt: skip
        heads = ("batch", "status", "asked by", "version", "rows", "refused", "started", "cost",
                 "error")  # fmt: skip
        console.print(table(heads, rows))
        if any("execution_status" in item for item in batches):
            console.print(f"[yellow]{_LOST}[/yellow]")
        for item in suppressed:
            console.print(
                f"[yellow]reused[/yellow] {item['batch_id']} at {item['at']}: {item['reason']}"
            )

    show({"batches": batches, "suppressed": suppressed}, json_, render)


@app.command("show")
def show_batch(
    context: typer.Context,
    project: Project,
    batch: Annotated[str, typer.Argument(help="Batch id, as `batch list` shows it.")],
    full: Full = False,
    json_: Json = False,
) -> None:
    """Show one batch: pinned input, version, counts, what was delivered or why not.

    Example: `steward batch show churn 5d2e9a7b1c30-1`
    """
    target = choose(context.obj)
    state = StackState(target)
    found = {item["batch_id"]: item for item in state.batches(project)}
    if batch not in found:
        known = ", ".join(found) or "none"
        raise CommandError(f"{project} has no batch {batch!r}", Exit.NOT_FOUND, f"known: {known}")
    costs = state.dollars_by_run(project)
    item = {**found[batch], "dollars": costs.get(batch), **_unseen(target, found[batch])}

    def render(console: Console) -> None:
        if full:
            console.print(record({name: item[name] for name in item if name != "run_id"}))
            return
        arn = item.get("batch_arn")
        link = target.console_url(f"states/home#/v2/executions/details/{arn}") if arn else None
        print_batch(console, item, link)
        if "execution_status" in item:
            console.print(f"[yellow]{_LOST}[/yellow]")

    show(item, json_, render)


def _holds(item: Item, entity: str, objects: S3ObjectStore) -> bool:
    """Return whether a row of this id is in what a batch delivered; what is gone holds none."""
    delivered = item.get("delivered") or {}
    for name in ("scores_uri", "refused_uri"):
        uri = delivered.get(name)
        if uri is None:
            continue
        try:
            with io.TextIOWrapper(objects.open(uri), encoding="utf-8", newline="\n") as lines:
                if name == "scores_uri":
                    rows = islice(csv.reader(lines), 1, None)
                    found = any(cells[0] == entity for cells in rows)
                else:
                    found = any(json.loads(line)["entity"] == entity for line in lines)
        except EvidenceIncompleteError:
            continue
        if found:
            return True
    return False


def _unseen(target: Target, item: Item) -> dict[str, str]:
    """Return how the execution of a batch ended that is recorded as running, if it has.

    Who may not look at executions sees the record alone.
    """
    if item["status"] != BatchStatus.RUNNING:
        return {}
    try:
        found = StepFunctionsWorkflows(target.client("stepfunctions")).find(item["batch_arn"])
    except StewardError:
        return {}
    if found is not None and not found.has_ended:
        return {}
    return {"execution_status": found.status if found else "UNKNOWN"}


def _status(item: Item) -> str:
    ended = item.get("execution_status")
    return f"{item['status']}, execution {ended}" if ended else str(item["status"])


def _upload(target: Target, project: str, file: Path) -> str:
    """Put a file where batches take theirs from, in a folder of its own bytes; return the folder.

    S3 deletes it after a month.

    Raises:
        CommandError: It is too large, or its name says no format that is read.
    """
    name = file.name.lower()
    ending = next((e for e in _ENDINGS if name.endswith(e)), None)
    if ending is None:
        raise CommandError(
            f"{file} is of no known format", Exit.USAGE, f"allowed: {', '.join(_ENDINGS)}"
        )
    size = file.stat().st_size
    if size > MOST_BYTES:
        raise CommandError(
            f"{file} has {size} bytes", Exit.USAGE,
            f"allowed: at most {MOST_BYTES}; score it in parts",
        )  # fmt: skip
    content = file.read_bytes()
    folder = f"files/{hashlib.sha256(content).hexdigest()[:16]}"
    target.client("s3").put_object(
        Bucket=target.output("DataBucketName"), Body=content, ChecksumAlgorithm="SHA256",
        Key=f"{inputs_folder(project)}{folder}/input{ending}",
        Tagging=urlencode({EXPIRY_TAG: UPLOADS_DAYS}),
    )  # fmt: skip
    return folder


def _ask(target: Target, project: str, wanted: BatchScoringRequested) -> None:
    cause = Cause(project, wanted.request_id, "cli", identity_of(target.identity()))
    asked = event(wanted, cause, SystemClock(), UuidIds())
    EventBridgeBus(target.client("events"), target.output("BusName")).publish([asked])


@dataclass
class _Following:
    """A person who waits for the batch that a request leads to."""

    target: Target
    state: StackState
    project: str
    request: str
    say: Any
    looked_at: float = 0.0
    ended: str = ""

    def until(self, deadline: float) -> Item:
        """Return the batch once it has ended.

        Raises:
            CommandError: It has not begun, or not ended, in time, or nobody recorded its end.
        """
        began, shown = time.monotonic(), ""
        while time.monotonic() < deadline:
            found = _of_request(self.state, self.project, self.request)
            if found is None and time.monotonic() - began > _BEGINS_WITHIN_S:
                raise CommandError(
                    f"nothing began within {_BEGINS_WITHIN_S} s", Exit.TIMED_OUT,
                    "see the dead-letter queues of StartBatch: steward doctor",
                )  # fmt: skip
            if found is not None and found["status"] != BatchStatus.RUNNING:
                return found
            words = _words(found)
            if words != shown:
                self.say(words)
                shown = words
            if found is not None and time.monotonic() - max(began, self.looked_at) > _LOOKS_EACH_S:
                self._look(found)
            time.sleep(0.5 if found is None or time.monotonic() - began < 30 else 5)
        raise CommandError(
            f"the batch of {self.project} has not ended in time", Exit.TIMED_OUT,
            f"it goes on: steward batch list {self.project}",
        )  # fmt: skip

    def _look(self, found: Item) -> None:
        """Give up on a batch whose execution has ended twice in a row while its record runs."""
        self.looked_at = time.monotonic()
        ended = _unseen(self.target, found).get("execution_status", "")
        if ended and ended == self.ended:
            raise CommandError(
                f"batch {found['batch_id']} is recorded as running, its execution as {ended}",
                Exit.FAILED, _LOST,
            )  # fmt: skip
        self.ended = ended


def _of_request(state: StackState, project: str, request: str) -> Item | None:
    batches = state.batches(project)
    for item in batches:
        if item["trigger"].get("request_id") == request:
            return {**item, "delivered_before": False}
    for item in state.suppressed(project):
        if item["trigger"].get("request_id") == request:
            known = [batch for batch in batches if batch["batch_id"] == item["batch_id"]]
            return {**known[0], "delivered_before": True} if known else None
    return None


def _words(found: Item | None) -> str:
    if found is None:
        return "asked"
    if "rows" not in found:
        return f"batch {found['batch_id']}: judging rows for version {found['version']}"
    return f"batch {found['batch_id']}: {found['rows']} rows with version {found['version']}"
