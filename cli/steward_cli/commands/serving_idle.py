"""``steward serving idle``: endpoints that cost and do nothing, and what their end saves."""

from __future__ import annotations

import uuid
from typing import Annotated, Any

import typer
from rich.console import Console

from steward.adapters.bus import EventBridgeBus
from steward.adapters.endpoint_metrics import CloudWatchEndpointMetrics
from steward.adapters.hosting import SageMakerHosting
from steward.adapters.time import SystemClock, UuidIds
from steward.contracts.events import ReapingRequested
from steward.domain.idle_endpoints import Idle
from steward.domain.prices import HOSTING_US_EAST_1
from steward.domain.principals import identity_of
from steward.service.emission import Cause, event
from steward.service.serving.idling import survey
from steward.service.serving.records import project_of
from steward_cli.console import Json, show, stderr, table
from steward_cli.state import StackState
from steward_cli.target import Target, choose


def idle_endpoints(
    context: typer.Context,
    project: Annotated[str | None, typer.Argument(help="Project name; all without it.")] = None,
    reap: Annotated[bool, typer.Option("--reap", help="Have it done, after a question.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json_: Json = False,
) -> None:
    """List endpoints that nothing names or nobody asks, with what their end saves a month.

    `--reap` asks the stack to delete those that nothing names and to end the provisioned
    concurrency of idle ones; it looks once more before, and keeps what has come into use.

    Example: `steward serving idle diabetes`
    """
    target = choose(context.obj)
    state = StackState(target)
    chosen = [project] if project else [str(item["project"]) for item in state.projects()]
    if project:
        state.project(project)
    records = [record for name in chosen for record in _survey(target, state, name)]
    may = [record for record in records if record["action"] != "none"]
    if reap and may:
        if not yes:
            _render(records, stderr())
            typer.confirm(f"Have this done to {len(may)} endpoints?", abort=True, err=True)
        for name in chosen:
            wanted = [record["endpoint"] for record in may if record["project"] == name]
            if wanted:
                request_reaping(target, name, wanted)
        for record in may:
            record["asked"] = True
    show(records, json_, lambda console: _render(records, console))


def _survey(target: Target, state: StackState, project: str) -> list[dict[str, Any]]:
    seen = survey(
        project,
        project_of(state.store, project).serving.idle,
        environment=target.environment_name,
        state=state.store,
        hosting=SageMakerHosting(target.client("sagemaker")),
        metrics=CloudWatchEndpointMetrics(target.client("cloudwatch")),
        role_arn=target.output("EndpointRoleArn"),
        now=SystemClock().now(),
    )
    return [_record(project, found, seen.records.get(found.endpoint)) for found in seen.found]


def _record(project: str, found: Idle, known: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "project": project,
        "endpoint": found.endpoint,
        "kind": found.kind,
        "since": found.since.isoformat(timespec="seconds"),
        "reason": found.reason,
        "action": found.action,
        "dollars_month": found.dollars_month,
        "told_at": ((known or {}).get("idle") or {}).get("told_at"),
        "asked": False,
    }


def request_reaping(target: Target, project: str, endpoints: list[str]) -> str:
    """Publish ``ReapingRequested`` in the caller's name; return the event's id."""
    cause = Cause(project, str(uuid.uuid4()), "cli", identity_of(target.identity()))
    request = event(ReapingRequested(endpoints=endpoints), cause, SystemClock(), UuidIds())
    EventBridgeBus(target.client("events"), target.output("BusName")).publish([request])
    return request.event_id


def _render(records: list[dict[str, Any]], console: Console) -> None:
    if not records:
        console.print("Every endpoint is in use, or costs nothing while nobody asks it.")
        return
    rows = [
        (r["endpoint"], r["since"], r["reason"], r["action"].replace("_", " "),
         "not known" if r["dollars_month"] is None else f"{r['dollars_month']:.2f}",
         "asked for" if r["asked"] else "")
        for r in records
    ]  # fmt: skip
    columns = ("endpoint", "since", "why", "what saves it", "$ a month", "")
    console.print(table(columns, rows))
    total = sum(record["dollars_month"] or 0 for record in records)
    console.print(f"${total:.2f} a month, {HOSTING_US_EAST_1.label()}", soft_wrap=True)
