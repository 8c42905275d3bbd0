"""``steward serving``: who answers, and who answered at any time."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Console

from steward.adapters.hosting import SageMakerHosting
from steward.adapters.time import SystemClock
from steward.domain.endpoint_drift import WORDS as WORDS_OF_DRIFT
from steward.domain.endpoint_drift import Drift, DriftKind
from steward.domain.errors import RejectedError
from steward.domain.moments import moment_of
from steward.domain.serving_history import WORDS
from steward.service.serving.reconciling import Look, looks
from steward_cli.commands.serving_idle import idle_endpoints
from steward_cli.console import CommandError, Exit, Json, rejected, shortened, show, table
from steward_cli.state import StackState, person
from steward_cli.target import choose
from steward_cli.time_machine import Moment, TimeMachine

app = typer.Typer(help="Who answers, and who answered at any time.")

app.command("idle")(idle_endpoints)

Project = Annotated[str, typer.Argument(help="Project name.")]


@app.command("at")
def serving_at(
    context: typer.Context,
    time: Annotated[
        str,
        typer.Argument(
            help="2026-01-05T09:00:00+01:00 (UTC without a zone), 2026-01-05, now, '2h ago'."
        ),
    ],
    project: Project,
    json_: Json = False,
) -> None:
    """Tell which version answered at a time, with which share, on whose approval and evidence.

    From the record of every write of the route: release steps, completions, rollbacks. A date
    is the beginning of its day in UTC.

    Example: `steward serving at "2h ago" diabetes`
    """
    now = SystemClock().now()
    at = _moment(time, now)
    if at > now:
        raise CommandError(
            f"{at.isoformat(timespec='seconds')} has not come yet; it is "
            f"{now.isoformat(timespec='seconds')}",
            Exit.USAGE, f"who answers now: steward serving at now {project}",
        )  # fmt: skip
    found = _machine(context, project).at(at)
    show(found.record(), json_, lambda console: render_moment(found, console))


@app.command("history")
def serving_history(context: typer.Context, project: Project, json_: Json = False) -> None:
    """List every change of who answers, oldest first, with what caused it.

    Example: `steward serving history diabetes`
    """
    changes = _machine(context, project).history()
    show(changes, json_, lambda console: render_history(project, changes, console))


@app.command("check")
def serving_check(context: typer.Context, project: Project, json_: Json = False) -> None:
    """Compare the endpoints that a project's route names with what SageMaker describes.

    Nothing is changed; the same comparison runs every five minutes and acts as `serving.on_drift`
    declares. The exit code is 1 where one has drifted.

    Example: `steward serving check diabetes`
    """
    target = choose(context.obj)
    state = StackState(target)
    state.project(project)
    found = list(
        looks(
            project, environment=target.environment_name, state=state.store,
            hosting=SageMakerHosting(target.client("sagemaker")), now=SystemClock().now(),
        )
    )  # fmt: skip
    records = [checked(look) for look in found]
    show(records, json_, lambda console: render_check(project, records, console))
    if any(isinstance(look.result, Drift) for look in found):
        raise typer.Exit(int(Exit.FAILED))


def checked(look: Look) -> dict[str, Any]:
    """Return one compared endpoint as a record."""
    drift = look.result if isinstance(look.result, Drift) else None
    finding = (look.record or {}).get("finding") or {}
    since = drift.since.isoformat(timespec="seconds") if drift and drift.since else None
    return {
        "endpoint": look.endpoint,
        "version": look.version,
        "role": look.role,
        "state": "drifted" if drift else "moving" if look.result else "as wanted",
        "status": look.found.status if look.found else None,
        "config": look.found.config if look.found else None,
        "kind": drift.kind.value if drift else None,
        "wanted": drift.wanted if drift else None,
        "found": drift.found if drift else None,
        "since": since,
        "last_in_order_at": (look.record or {}).get("in_order_at"),
        "action": finding.get("action"),
        "attempts": finding.get("attempts"),
        "given_up": finding.get("given_up"),
    }


def render_check(project: str, records: list[dict[str, Any]], console: Console) -> None:
    """Print compared endpoints as a table, and what differs below it."""
    if not records:
        console.print(f"{project} has no route, or its first endpoint is being created.")
        return
    columns = ("endpoint", "version", "role", "state", "status", "configuration")
    rows = [
        tuple(told[name] for name in ("endpoint", "version", "role", "state", "status", "config"))
        for told in records
    ]
    console.print(table(columns, rows))
    for told in records:
        if told["state"] != "drifted":
            continue
        since = told["since"] or f"after {told['last_in_order_at'] or 'an unknown time'}"
        console.print(f"{told['endpoint']}: {WORDS_OF_DRIFT[DriftKind(told['kind'])]}",
                      style="bold", soft_wrap=True)  # fmt: skip
        done = told["action"] or "the next sweep finds it"
        if told["given_up"]:
            done = f"given up after {told['attempts']} steps"
        for name in (("wanted", told["wanted"]), ("found", told["found"]), ("since", since),
                     ("action", done)):  # fmt: skip
            console.print(f"  {name[0]:<7} {name[1]}", markup=False, soft_wrap=True)


def _moment(text: str, now: datetime) -> datetime:
    try:
        return moment_of(text, now)
    except RejectedError as error:
        raise rejected(error, Exit.USAGE) from None


def _machine(context: typer.Context, project: str) -> TimeMachine:
    state = StackState(choose(context.obj))
    state.project(project)
    return TimeMachine(state.store, project)


def render_moment(found: Moment, console: Console) -> None:
    """Print what answered at a moment for people."""
    when = _said(found.at)
    change = found.change
    if change is None:
        first = found.first_at
        told = f"its first version answered at {_said(first)}" if first else "none has answered yet"
        console.print(f"{when}: no version of {found.project} answered; {told}.", soft_wrap=True)
        return
    ended = f"until {_said(found.ended_at)}" if found.ended_at else "and does so now"
    console.print(f"{when}: {shares_text(change.shares)}, since {_said(change.at)} {ended}",
                  soft_wrap=True)  # fmt: skip
    by = f"  by {change.release_id}, {change.step_id}: {WORDS[change.kind]}"
    console.print(by + ("" if change.noted else " (from how it ended)"), soft_wrap=True)
    if change.mirrored:
        console.print(f"  version {change.version} answered copies of {change.mirrored:g} % of the "
                      "requests, unseen", soft_wrap=True)  # fmt: skip
    if change.cause:
        console.print(f"  because {change.cause}", markup=False, soft_wrap=True)
    for version in found.versions:
        _render_version(version, console)


def _render_version(version: dict[str, Any], console: Console) -> None:
    evidence = version["evidence"]
    approvals = [f"{person(a['identity'])} at {a['at'][:19]}" for a in version["approved_by"]]
    console.print(f"version {version['version']}, {version['share']:g} %", style="bold")
    lines = [
        ("answering since", _cut(version["answering_since"])),
        ("this share since", _cut(version["share_since"])),
        ("released by", version["release_id"] or "not known"),
        ("approved by", "; ".join(approvals) or "nobody on record"),
        ("evidence", evidence["digest"] or "none on record"),
        ("evidence at", evidence["uri"] or ""),
        ("metrics", "; ".join(_metric(metric) for metric in evidence["metrics"])),
        ("run", version["run_id"] or ""),
    ]
    for name, value in lines:
        if value:
            console.print(f"  {name:<17} {value}", markup=False, soft_wrap=True)


def render_history(project: str, changes: list[dict[str, Any]], console: Console) -> None:
    """Print all changes as a table."""
    if not changes:
        console.print(f"No version of {project} has answered yet.")
        return
    rows = [
        (change["at"], shares_text({int(v): s for v, s in change["shares"].items()}),
         change["release_id"], change["step_id"],
         change["kind"].replace("_", " ") + ("" if change["noted"] else " *"),
         shortened(change["cause"], 60))
        for change in changes
    ]  # fmt: skip
    console.print(table(("since", "shares", "release", "step", "what", "cause"), rows))
    if not all(change["noted"] for change in changes):
        console.print("* no write was noted; it follows from how the release ended")


def shares_text(shares: Any) -> str:
    """Return shares in percent for a line, the largest first."""
    ranked = sorted(shares.items(), key=lambda entry: (-entry[1], entry[0]))
    return ", ".join(f"v{version} {share:g} %" for version, share in ranked) or "nothing"


def _metric(metric: dict[str, Any]) -> str:
    if metric.get("value") is None:
        return f"{metric['metric']} undefined"
    text = f"{metric['metric']} {metric['value']:.4g}"
    if metric.get("lower") is None or metric.get("upper") is None:
        return text
    return f"{text} ({metric['lower']:.4g} to {metric['upper']:.4g})"


def _said(moment: datetime | None) -> str:
    return "" if moment is None else moment.strftime("%Y-%m-%d %H:%M:%S UTC")


def _cut(text: str | None) -> str:
    return "" if text is None else f"{text[:19].replace('T', ' ')} UTC"
