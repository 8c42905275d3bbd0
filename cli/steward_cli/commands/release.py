"""``steward release`` and ``steward rollback``: how traffic moves."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from steward.adapters.bus import EventBridgeBus
from steward.adapters.time import SystemClock, UuidIds
from steward.adapters.traffic_metrics import CloudWatchTrafficMetrics
from steward.adapters.variant_metrics import TrafficMetricsOfRoute, VariantTrafficMetrics
from steward.contracts.events import Payload, ReleaseRequested, RollbackRequested
from steward.domain.errors import ReleaseNotAllowedError
from steward.domain.principals import identity_of
from steward.domain.project import parse_project
from steward.domain.strategies import plan_for
from steward.domain.strategies.capabilities import check_router
from steward.domain.strategies.preview import Traffic, preview
from steward.domain.versions import VersionState
from steward.ports import Item
from steward.service.emission import Cause, event
from steward.service.serving.records import route_of, version_of
from steward.service.serving.release_steps import RECENT
from steward.service.serving.verification import check_allowed_strategy, check_approved
from steward_cli.console import CommandError, Exit, Json, progress, record, shortened, show, table
from steward_cli.console import told as told_of
from steward_cli.release_preview import print_preview
from steward_cli.release_text import print_now, print_release
from steward_cli.sheet import Full
from steward_cli.state import StackState
from steward_cli.target import Target, choose

app = typer.Typer(help="Releases: steps, shares, verdicts.")

Project = Annotated[str, typer.Argument(help="Project name.")]
_ID_DIGITS = 8
"""Digits of the version in a release's id."""


@app.command("list")
def list_releases(context: typer.Context, project: Project, json_: Json = False) -> None:
    """List a project's releases, oldest first.

    Example: `steward release list diabetes`
    """
    state = StackState(choose(context.obj))
    state.project(project)
    releases = state.releases(project)

    def render(console: Console) -> None:
        rows = [
            (r["release_id"], r["version"], r["status"], r.get("strategy"), r.get("step_id"),
             r.get("started_at"), shortened(r.get("cause")))
            for r in releases
        ]  # fmt: skip
        columns = ("release", "version", "status", "strategy", "step", "started", "cause")
        console.print(table(columns, rows))

    show(releases, json_, render)


@app.command("show")
def show_release(
    context: typer.Context,
    project: Project,
    which: Annotated[
        str | None,
        typer.Argument(metavar="[VERSION|RELEASE]", help="A version's latest release, or an id as "
                       "`release list` shows it; without one the last."),
    ] = None,
    full: Full = False,
    json_: Json = False,
) -> None:  # fmt: skip
    """Show what answers now, and a release step by step: the last, a version's, or the one named.

    Example: `steward release show diabetes 2`
    """
    project, _, named = project.partition("/")  # `diabetes/00000002-1`, as experiments are called
    state = StackState(choose(context.obj))
    state.project(project)
    releases, route = state.releases(project), state.route(project)
    release = chosen(releases, project, which or named)

    def render(console: Console) -> None:
        print_now(console, route)
        if release and full:
            console.print(record(release))
        elif release:
            print_release(console, release)

    show({"route": route, "release": release}, json_, render)


def chosen(releases: Sequence[Item], project: str, which: str) -> Item | None:
    """Return the release that is meant, oldest first; without a name the last, if there is any.

    Raises:
        CommandError: There is no such release.
    """
    if not which:
        return releases[-1] if releases else None
    found = [
        release for release in releases
        if release["release_id"] == which
        or (which.isdecimal() and len(which) < _ID_DIGITS and release["version"] == int(which))
    ]  # fmt: skip
    if not found:
        known = ", ".join(str(release["release_id"]) for release in releases) or "none"
        what = f"release of version {which}" if which.isdecimal() else f"release {which!r}"
        raise CommandError(f"{project} has no {what}", Exit.NOT_FOUND, f"known: {known}")
    return found[-1]


@app.command("plan")
def plan_release(
    context: typer.Context,
    project: Project,
    version: Annotated[int, typer.Argument(help="Version number.")],
    json_: Json = False,
) -> None:
    """Show what releasing a version would do: steps, requests, what can be proved; or why not.

    Nothing is changed. Expected numbers are those of the last day's traffic. The exit code is 1
    where the release would be refused.

    Example: `steward release plan diabetes 3`
    """
    target = choose(context.obj)
    state = StackState(target)
    declared = parse_project(state.project(project)["config"])
    refused: list[dict[str, object]] = []
    try:
        known = version_of(state.store, project, version)
        check_approved(known)
        check_allowed_strategy(known, declared, state=state.store, now=SystemClock().now())
    except ReleaseNotAllowedError as error:
        refused.append(_refusal(error))
    told = None
    features = [column.name for column in declared.model_features]
    route, router = route_of(state.store, project), declared.serving.router
    first = route is None
    try:
        if route is not None:
            check_router(route.router, router)
        plan = plan_for(declared.release, router, features, first=first)
        told = preview(declared.release, plan, router, _recent_traffic(target, project))
    except ReleaseNotAllowedError as error:
        refused.append(_refusal(error))

    def render(console: Console) -> None:
        if told is not None:
            print_preview(console, version, told)
        for reason in refused:
            console.print(
                Text.assemble(("refused", "red"), f": {reason['message']}"), soft_wrap=True
            )
            console.print(f"  {told_of(reason)}", soft_wrap=True, markup=False)

    data = {"plan": told.model_dump(mode="json") if told else None, "refused": refused}
    show(data, json_, render)
    if refused:
        raise typer.Exit(int(Exit.FAILED))


def _refusal(error: ReleaseNotAllowedError) -> dict[str, object]:
    return {"field": "", "allowed": "", **error.as_dict()}


def _recent_traffic(target: Target, project: str) -> Traffic:
    """Return the traffic of the last day, which the release itself is tuned to as well."""
    now = SystemClock().now()
    client, state = target.client("cloudwatch"), StackState(target).store
    metrics = TrafficMetricsOfRoute(
        state,
        CloudWatchTrafficMetrics(client, target.environment_name),
        lambda: VariantTrafficMetrics(client, state, target.environment_name),
    )
    seen = metrics.counts(project, "stable", now - RECENT, now)
    whole = RECENT.total_seconds()
    return Traffic(
        requests_per_s=seen.requests / whole, units_per_s=(seen.units or seen.requests) / whole
    )


@app.command("start")
def start_release(
    context: typer.Context,
    project: Project,
    version: Annotated[int, typer.Argument(help="Approved version.")],
    reason: Annotated[str, typer.Option("--reason", "-m", help="Kept with the request.")] = "",
    json_: Json = False,
) -> None:
    """Release an approved version once more, for instance one that proved nothing before.

    Example: `steward release start diabetes 7 -m "with a full quarter of traffic"`
    """
    target = choose(context.obj)
    _check_it_may_start(StackState(target), project, version)
    with progress(f"asking for the release of {project} {version}"):
        asked = request_release(target, project, version, reason)
    show(asked, json_, lambda console: console.print(
        f"Asked for; watch it: steward release show {project}"))  # fmt: skip


def _check_it_may_start(state: StackState, project: str, version: int) -> None:
    """Say at once what ``start_release`` would refuse later, where nobody looks."""
    found = str(state.version(project, version)["state"])
    if found == VersionState.RELEASING:
        raise CommandError(
            f"{project} {version} is being released",
            Exit.CONFLICT,
            f"steward release show {project}",
        )
    if found != VersionState.APPROVED:
        raise CommandError(
            f"{project} {version} is {found}, not approved", Exit.CONFLICT,
            f"steward versions show {project} {version}",
        )  # fmt: skip


def request_release(target: Target, project: str, version: int, reason: str) -> dict[str, Any]:
    """Publish ``ReleaseRequested`` in the caller's name."""
    asked = _publish(target, project, ReleaseRequested(version=version, reason=reason))
    return {"event_id": asked, "project": project, "version": version}


def rollback(
    context: typer.Context,
    project: Project,
    reason: Annotated[str, typer.Option("--reason", "-m", help="Kept, and mailed to on-call.")],
    json_: Json = False,
) -> None:
    """Put all traffic back on the stable version, or on the previous one after a release.

    Example: `steward rollback diabetes -m "complaints from ward 3"`
    """
    target = choose(context.obj)
    _check_there_is_a_way_back(StackState(target), project)
    with progress(f"asking for a rollback of {project}"):
        asked = request_rollback(target, project, reason)
    show(asked, json_, lambda console: console.print(
        f"Asked for; watch it: steward release show {project}"))  # fmt: skip


def _check_there_is_a_way_back(state: StackState, project: str) -> None:
    """Say at once what ``start_rollback`` would refuse later, where nobody looks."""
    state.project(project)
    route = state.route(project)
    if route is None:
        raise CommandError(f"nothing of {project} is serving", Exit.NOT_FOUND)
    in_flight = any(release["status"] == "running" for release in state.releases(project))
    if not in_flight and route.get("previous") is None:
        raise CommandError(
            f"{project} has no release in flight, and no previous version is kept",
            Exit.CONFLICT, f"steward release list {project}",
        )  # fmt: skip


def request_rollback(target: Target, project: str, reason: str) -> dict[str, Any]:
    """Publish ``RollbackRequested`` in the caller's name."""
    return {
        "event_id": _publish(target, project, RollbackRequested(reason=reason)),
        "project": project,
    }


def _publish(target: Target, project: str, payload: Payload) -> str:
    cause = Cause(
        project=project, correlation_id=str(uuid.uuid4()), causation_id="cli",
        actor=identity_of(target.identity()),
    )  # fmt: skip
    request = event(payload, cause, SystemClock(), UuidIds())
    EventBridgeBus(target.client("events"), target.output("BusName")).publish([request])
    return request.event_id
