"""``steward data delete``: a delivery goes for good, and the record of it stays."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlencode

import typer
from rich.console import Console

from steward_cli.console import Json, progress, show, stderr
from steward_cli.function_urls import call
from steward_cli.target import choose

_TIMEOUT_S = 900.0


def delete(
    context: typer.Context,
    project: Annotated[str, typer.Argument(help="Project name.")],
    delivery: Annotated[str, typer.Argument(help="Delivery id or its beginning.")],
    reason: Annotated[
        str, typer.Option("--reason", "-m", help="Why; it stays, so name nobody in it.")
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json_: Json = False,
) -> None:
    """Delete a delivery for good, as when a person asks to be erased.

    Removes all stored versions of its bytes, its accepted copy, what is in quarantine, its
    reports and the feature files made of it. Who, when and why stay, and `steward dataset
    rebuild` names them. Datasets, models and SageMaker's own records of features made of it stay
    too: `steward lineage down delivery:PROJECT/ID` lists them; deliver tombstones first.

    Needs the policy that the stack's output DataEraserPolicyArn names. Again, it goes on where it
    was interrupted.

    Example: `steward data delete diabetes 91bc --reason "erasure request 17"`
    """
    target = choose(context.obj)
    url = target.output("DeletionUrl")
    query = urlencode({"project": project, "delivery": delivery})
    with progress("looking for what is kept"):
        found: dict[str, Any] = (
            call(target, f"{url}?{query}", "GET", timeout_s=_TIMEOUT_S).raise_for_status().body
        )
    if not yes:
        stderr().print(_kept(found), soft_wrap=True)
        typer.confirm("Delete all of this for good?", abort=True, err=True)
    order = {"project": project, "delivery_id": found["delivery_id"], "reason": reason}
    with progress(f"deleting {found['delivery_id'][:12]}"):
        gone: dict[str, Any] = (
            call(target, url, "POST", order, timeout_s=_TIMEOUT_S).raise_for_status().body
        )
    show(gone, json_, lambda console: _render(console, gone))


def _kept(found: dict[str, Any]) -> str:
    kinds = ", ".join(f"{count} {kind}" for kind, count in found["objects"].items() if count)
    features = f"; features: {', '.join(found['features'])}" if found["features"] else ""
    return (
        f"{found['delivery_id'][:12]} {found['key']} ({found['table']}, {found['status']}, "
        f"{found.get('rows', '?')} rows): stored versions: {kinds or 'none'}{features}"
    )


def _render(console: Console, gone: dict[str, Any]) -> None:
    deletion, removed = gone["deletion"], sum(gone["objects"].values())
    console.print(
        f"{gone['delivery_id'][:12]} is deleted: {removed} stored versions removed. "
        f"Recorded: {deletion['reason']}; by {deletion['by']} at {deletion['at']}",
        soft_wrap=True,
    )
    console.print(
        "What was made of it stays: steward lineage down "
        f"delivery:{gone['project']}/{gone['delivery_id']}", soft_wrap=True,
    )  # fmt: skip
    if gone["features"]:
        console.print(
            f"SageMaker still holds the records of {', '.join(gone['features'])} until newer rows "
            "or tombstones replace them.", soft_wrap=True,
        )  # fmt: skip
