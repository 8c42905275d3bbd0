"""``steward bias``: what is known of a version's bias, as a table or a page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from botocore.exceptions import ClientError
from rich.console import Console

from steward.adapters.objects import S3ObjectStore
from steward.adapters.time import SystemClock
from steward_cli.console import CommandError, Exit, Json, show
from steward_cli.state import StackState
from steward_cli.target import Choice, choose

if TYPE_CHECKING:
    from steward.domain.bias.evidence import BiasEvidence


def bias(
    context: typer.Context,
    project: Annotated[str, typer.Argument(help="Project name.")],
    version: Annotated[
        int | None, typer.Argument(min=1, help="Version number; default: the newest.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", help="Also write a page that needs no network.")
    ] = None,
    json_: Json = False,
) -> None:
    """Show the bias of a version on held-out rows: each facet and group, with intervals.

    Example: `steward bias diabetes 2 --html bias.html`
    """
    number, evidence = read_bias(context.obj, project, version)
    if html is not None:
        from steward_cli.bias_page import page

        html.parent.mkdir(parents=True, exist_ok=True)
        html.write_text(page(number, evidence, SystemClock().now()), encoding="utf-8")
    told = {"version": number, **evidence.model_dump(mode="json")}
    if html is not None:
        told["file"] = str(html)

    def render(console: Console) -> None:
        from steward_cli.bias_text import draw

        draw(number, evidence, console)
        if html is not None:
            console.print(f"\n{html}", markup=False, soft_wrap=True)

    show(told, json_, render)


def read_bias(choice: Choice, project: str, version: int | None) -> tuple[int, BiasEvidence]:
    """Return a version's number and its ``bias.json``, checked against its digest.

    Raises:
        CommandError: There is none, or it is not the one that was registered.
    """
    import hashlib

    from pydantic import ValidationError

    from steward.domain.bias.evidence import BiasEvidence

    target = choose(choice)
    state = StackState(target)
    state.project(project)
    if version is None:
        versions = state.versions(project)
        if not versions:
            raise CommandError(f"{project} has no version yet", Exit.NOT_FOUND)
        item = versions[-1]
    else:
        item = state.version(project, version)
    number, named = int(item["version"]), item.get("bias")
    if not named:
        raise CommandError(
            f"version {number} of {project} has no bias.json", Exit.NOT_FOUND,
            "`bias` in project.yaml declares who is compared; the next version has it",
        )  # fmt: skip
    try:
        content = S3ObjectStore(target.client("s3")).read(named["uri"])
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("NoSuchKey", "404"):
            raise
        raise CommandError(f"there is no {named['uri']}", Exit.NOT_FOUND) from None
    if hashlib.sha256(content).hexdigest() != named["digest"]:
        raise CommandError(f"{named['uri']} changed after the version was registered", Exit.FAILED)
    try:
        return number, BiasEvidence.model_validate_json(content)
    except ValidationError:
        raise CommandError(f"{named['uri']} has not the agreed shape", Exit.FAILED) from None
