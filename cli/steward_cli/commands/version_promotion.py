"""``steward versions promote``: an approved version to the next environment, by its digest."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated, Any

import typer
from rich.console import Console

from steward.ports import Item, Table
from steward_cli.console import CommandError, Exit, Json, progress, show
from steward_cli.function_urls import call
from steward_cli.state import StackState
from steward_cli.target import Target, choose

Project = Annotated[str, typer.Argument(help="Project name, the same in both environments.")]
ENVIRONMENTS = ("local", "dev", "staging", "prod")
_OFFER_TIMEOUT_S = 900.0
_SHOWN = (
    "project", "version", "environment", "account", "bus_arn", "attempt", "status", "became",
    "artifact", "export_digest", "offer_id",
)  # fmt: skip


def promote_version(
    context: typer.Context,
    project: Project,
    version: Annotated[int, typer.Argument(min=1, help="Version number.")],
    to: Annotated[str, typer.Option("--to", help="Environment: dev, staging or prod.")],
    within: Annotated[
        float, typer.Option("--within", min=0, help="Seconds to wait for the answer; 0: do not.")
    ] = 900.0,
    at: Annotated[
        str | None,
        typer.Option("--at", help="Account, region or stack: which one, where several are next."),
    ] = None,
    afresh: Annotated[
        bool,
        typer.Option("--afresh", help="Offer it although it was received: to a stack made anew."),
    ] = False,
    json_: Json = False,
) -> None:
    """Offer an approved version to the next environment: the same artifact, built once.

    That environment fetches it, judges it by its own policy and answers. There it is staged and
    waits for an approval. Asking again does no harm: what is lost on the way is sent again.

    Example: `steward versions promote diabetes 2 --to prod`
    """
    if to not in ENVIRONMENTS:
        raise CommandError(f"--to {to!r}", Exit.USAGE, f"allowed: {', '.join(ENVIRONMENTS)}")
    target = choose(context.obj)
    with progress(f"promote {project} {version} to {to}") as told:
        found = promote(
            target, project, version, to, at=at, afresh=afresh, within_s=within, told=told
        )

    def render(console: Console) -> None:
        where = f"{to} (account {found['account']})"
        if found["status"] == "offered":
            console.print(f"{project} {version} is offered to {where}; ask again for its answer")
            return
        console.print(
            f"{project} {version} is {found['became']} in {where}: the artifact "
            f"{found['artifact'][:12]}; it goes into staging there"
        )

    show(found, json_, render)


def promote(
    target: Target,
    project: str,
    version: int,
    to: str,
    *,
    at: str | None = None,
    afresh: bool = False,
    within_s: float = 900.0,
    told: Callable[[str], None] = lambda _text: None,
) -> dict[str, Any]:
    """Offer a version and wait for the answer of the next environment; return how it stands.

    Raises:
        CommandError: It cannot be offered, the next environment refused it, or it has not
            answered in time.
    """
    url = target.output("PromotionUrl")
    if not url.startswith("http"):
        raise CommandError(
            f"versions go nowhere from {target.stack}", Exit.USAGE,
            "deploy it with PromoteTo=arn:aws:events:REGION:ACCOUNT:event-bus/STACK-promotions",
        )  # fmt: skip
    told("laying the export ready")
    body: dict[str, Any] = {"project": project, "version": version, "environment": to}
    body |= ({"at": at} if at else {}) | ({"afresh": True} if afresh else {})
    offered = call(target, url, "POST", body, timeout_s=_OFFER_TIMEOUT_S).raise_for_status().body
    key = f"offer#{version:08d}#{offered['bus_arn']}#{to}"
    state, deadline = StackState(target), time.monotonic() + within_s
    found: Item = offered
    while found["status"] == "offered" and time.monotonic() < deadline:
        told(f"offered to account {offered['account']}; it fetches and judges")
        time.sleep(0.5)
        found = state.store.get(Table.VERSIONS, {"project": project, "item": key}) or found
    if found["status"] == "refused":
        raise CommandError(
            f"{to} refused: {found['error']}: {found['message']}", Exit.CONFLICT,
            f"field: {found['field']}" if found.get("field") else None,
            refusal={name: found.get(name) for name in ("error", "field", "message")},
        )  # fmt: skip
    if found["status"] == "offered" and within_s > 0:
        raise CommandError(
            f"{to} has not answered within {within_s:.0f} s",
            Exit.TIMED_OUT,
            "ask again: nothing is done twice; see the alarms of both stacks",
        )
    return {name: found[name] for name in _SHOWN if found.get(name) is not None}
