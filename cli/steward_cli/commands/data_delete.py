"""``steward data delete``: rows go for good, and the record of them stays."""

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
    delivery: Annotated[str, typer.Argument(help="Delivery id or its beginning; or a batch id, "
                                            "for files that were put there to be scored.")],
    reason: Annotated[
        str, typer.Option("--reason", "-m", help="Why; it stays, so name nobody in it.")
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json_: Json = False,
) -> None:  # fmt: skip
    """Delete a delivery, or the files of a batch, for good, as when a person asks to be erased.

    Removes all stored versions of its bytes, its accepted copy, what is in quarantine, its
    reports, the feature files made of it, and what every batch that scored it holds: the files of
    the job, scores, refused results. Who, when and why stay, and `steward dataset rebuild` names
    them. Datasets, models and SageMaker's own records of features made of it stay too:
    `steward lineage down delivery:PROJECT/ID` lists them; deliver tombstones first.

    Needs the policy that the stack's output DataEraserPolicyArn names. Again, it goes on where it
    was interrupted.

    Example: `steward data delete diabetes 91bc --reason "erasure request 17"`
    """
    target = choose(context.obj)
    url = target.output("DeletionUrl")
    kind = "batch" if "-" in delivery else "delivery"
    query = urlencode({"project": project, kind: delivery})
    with progress("looking for what is kept"):
        found: dict[str, Any] = (
            call(target, f"{url}?{query}", "GET", timeout_s=_TIMEOUT_S).raise_for_status().body
        )
    if not yes:
        stderr().print(_kept(found), soft_wrap=True)
        typer.confirm("Delete all of this for good?", abort=True, err=True)
    named = f"{kind}_id"
    order = {"project": project, named: found[named], "reason": reason}
    with progress(f"deleting {_short(found)}"):
        gone: dict[str, Any] = (
            call(target, url, "POST", order, timeout_s=_TIMEOUT_S).raise_for_status().body
        )
    show(gone, json_, lambda console: _render(console, gone))


def _short(found: dict[str, Any]) -> str:
    return str(found.get("batch_id") or found["delivery_id"][:12])


def _kept(found: dict[str, Any]) -> str:
    kinds = ", ".join(
        f"{count} {kind.replace('_', ' ')}" for kind, count in found["objects"].items() if count
    )
    further = "".join(
        f"; {name}: {', '.join(found[name])}"
        for name in ("features", "batches", "files")
        if found.get(name)
    )
    about = f"batch {found['batch_id']} ({found['status']})" if "batch_id" in found else (
        f"{found['delivery_id'][:12]} {found['key']} ({found['table']}, {found['status']}, "
        f"{found.get('rows', '?')} rows)"
    )  # fmt: skip
    return f"{about}: stored versions: {kinds or 'none'}{further}"


def _render(console: Console, gone: dict[str, Any]) -> None:
    deletion, removed = gone["deletion"], sum(gone["objects"].values())
    what = "the input of batch " if "batch_id" in gone else ""
    console.print(
        f"{what}{_short(gone)} is deleted: {removed} stored versions removed. "
        f"Recorded: {deletion['reason']}; by {deletion['by']} at {deletion['at']}",
        soft_wrap=True,
    )
    if gone["batches"]:
        console.print(f"Batches that lost their scores: {', '.join(gone['batches'])}")
    if "batch_id" in gone:
        return
    console.print(
        "What was made of it stays: steward lineage down "
        f"delivery:{gone['project']}/{gone['delivery_id']}", soft_wrap=True,
    )  # fmt: skip
    if gone["features"]:
        console.print(
            f"SageMaker still holds the records of {', '.join(gone['features'])} until newer rows "
            "or tombstones replace them.", soft_wrap=True,
        )  # fmt: skip
