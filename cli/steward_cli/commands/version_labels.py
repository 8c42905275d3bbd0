"""``steward versions alias``, ``tag``, ``describe`` and ``archive``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.console import Console

from steward.ports import Table
from steward_cli.console import CommandError, Exit, Json, progress, show, table
from steward_cli.function_urls import call
from steward_cli.state import StackState, person
from steward_cli.target import Target, choose

Project = Annotated[str, typer.Argument(help="Project name.")]
Version = Annotated[int, typer.Argument(min=1, help="Version number.")]


def change(target: Target, body: Mapping[str, Any]) -> dict[str, Any]:
    """Ask the registry's function URL for a change and return what is so afterwards.

    Raises:
        CommandError: It was refused, with the reason.
    """
    url = target.output("RegistryUrl")
    answer: dict[str, Any] = call(target, url, "POST", dict(body)).raise_for_status().body
    return answer


def alias(
    context: typer.Context,
    project: Project,
    name: Annotated[str, typer.Argument(help="Alias; champion and challenger are kept for you.")],
    version: Annotated[
        int | None, typer.Argument(min=1, help="Version that it names from now on.")
    ] = None,
    delete: Annotated[bool, typer.Option("--delete", help="Take the alias away.")] = False,
    expected: Annotated[
        int | None, typer.Option("--from", min=1, help="Only if it names this version now.")
    ] = None,
    reason: Annotated[str, typer.Option("--reason", "-m", help="Kept with the move.")] = "",
    json_: Json = False,
) -> None:
    """Put an alias onto a version, take it away, or show how it moved.

    Example: `steward versions alias diabetes baseline 2 -m "reference for the audit"`
    """
    target = choose(context.obj)
    if version is None and not delete:
        moves = StackState(target).store.query(
            Table.VERSIONS, project, prefix=f"aliased#{name}#", newest_first=True
        )
        if not moves:
            raise CommandError(f"{project} has had no alias {name!r}", Exit.NOT_FOUND)
        rows = [
            (move["at"], move["version"] or "deleted", move["previous"], person(move["by"]),
             move["reason"]) for move in moves
        ]  # fmt: skip
        columns = ("at", "version", "before", "by", "reason")
        show(moves, json_, lambda console: console.print(table(columns, rows)))
        return
    if version is not None and delete:
        raise CommandError("a version and --delete: name one of them", Exit.USAGE)
    with progress(f"alias {name} of {project}"):
        body = {
            "action": "alias", "project": project, "alias": name, "version": version,
            "expected": expected, "reason": reason,
        }  # fmt: skip
        answer = change(target, body)

    def render(console: Console) -> None:
        console.print(f"{name} of {project}: {answer['version'] or 'deleted'}")

    show(answer, json_, render)


def tag(
    context: typer.Context,
    project: Project,
    version: Version,
    tags: Annotated[list[str] | None, typer.Argument(help="KEY=VALUE, any number.")] = None,
    remove: Annotated[list[str] | None, typer.Option("--remove", help="Key to take away.")] = None,
    json_: Json = False,
) -> None:
    """Set and remove tags of a version.

    Example: `steward versions tag diabetes 2 cohort=2026-01 --remove draft`
    """
    added = {}
    for text in tags or []:
        key, equals, value = text.partition("=")
        if not equals:
            raise CommandError(f"{text!r} is no KEY=VALUE", Exit.USAGE)
        added[key] = value
    body = {"tags": added, "remove": remove or []}
    _label(context, project, version, body, json_)


def describe(
    context: typer.Context,
    project: Project,
    version: Version,
    text: Annotated[str, typer.Argument(help="What it is for, up to 1,000 characters.")],
    json_: Json = False,
) -> None:
    """Describe a version in words.

    Example: `steward versions describe diabetes 2 "With the labs of January"`
    """
    _label(context, project, version, {"description": text}, json_)


def archive(
    context: typer.Context,
    project: Project,
    version: Version,
    reason: Annotated[str, typer.Option("--reason", "-m", help="Why; kept for good.")],
    json_: Json = False,
) -> None:
    """Archive a version: it stays readable, and no release takes it any more.

    Example: `steward versions archive diabetes 1 -m "replaced in January"`
    """
    body = {"action": "archive", "project": project, "version": version, "reason": reason}
    with progress(f"archive {project} {version}"):
        answer = change(choose(context.obj), body)
    show(answer, json_, lambda console: console.print(f"{project} {version} is archived"))


def _label(
    context: typer.Context, project: str, version: int, body: Mapping[str, Any], json_: bool
) -> None:
    with progress(f"label {project} {version}"):
        request = {"action": "label", "project": project, "version": version, **body}
        answer = change(choose(context.obj), request)

    def render(console: Console) -> None:
        told = " ".join(f"{key}={value}" for key, value in (answer.get("tags") or {}).items())
        console.print(f"{project} {version}: {told}")
        if answer.get("description"):
            console.print(str(answer["description"]))

    show(answer, json_, render)
