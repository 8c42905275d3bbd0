"""``steward versions``, ``approve`` and ``reject``."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.console import Console

from steward.adapters.objects import S3ObjectStore
from steward.domain.errors import StewardError
from steward.ports import Item
from steward_cli.console import Json, progress, record, show, table
from steward_cli.function_urls import call
from steward_cli.state import StackState, person, shares_of
from steward_cli.target import Target, choose

app = typer.Typer(help="Registered versions: state, evidence, approvals.")

Project = Annotated[str, typer.Argument(help="Project name.")]
Version = Annotated[int, typer.Argument(min=1, help="Version number.")]
Comment = Annotated[str, typer.Option("--comment", "-m", help="Kept with the decision.")]


@app.command("list")
def list_versions(context: typer.Context, project: Project, json_: Json = False) -> None:
    """List a project's versions with state, share of traffic and who approved.

    Example: `steward versions list diabetes`
    """
    state = StackState(choose(context.obj))
    state.project(project)
    versions, shares = state.versions(project), shares_of(state.route(project))

    def render(console: Console) -> None:
        rows = [
            (
                version["version"],
                version["state"],
                f"{shares[version['version']]:g} %" if version["version"] in shares else "",
                ", ".join(person(a["identity"]) for a in version.get("approvals") or []),
                person(version.get("author")),
                version.get("created_at"),
            )
            for version in versions
        ]
        columns = ("version", "state", "traffic", "approved by", "author", "created")
        console.print(table(columns, rows))

    show(versions, json_, render)


@app.command("show")
def show_version(
    context: typer.Context, project: Project, version: Version, json_: Json = False
) -> None:
    """Show one version with every digest that its approval covers.

    Example: `steward versions show diabetes 2`
    """
    target = choose(context.obj)
    item = StackState(target).version(project, version)

    def render(console: Console) -> None:
        console.print(record(item))
        if why := moved_by(target, item):
            console.print(table(("answers move with", "share", "mean |phi|", "95 % interval"), why))

    show(item, json_, render)


def moved_by(target: Target, item: Item) -> list[tuple[str, str, str, str]]:
    """Return the features that move a version's answers most; nothing where that is unknown."""
    named = item.get("explanation")
    if not named:
        return []
    try:
        document = json.loads(S3ObjectStore(target.client("s3")).read(named["uri"]))
    except (StewardError, ValueError):
        return []
    return [
        (one["name"], f"{one['share']:.0%}", f"{one['mean_abs']:.3g}",
         f"{one['lower']:.3g} to {one['upper']:.3g}")
        for one in document["features"][:5]
    ]  # fmt: skip


def approve(
    context: typer.Context,
    project: Project,
    version: Version,
    comment: Comment = "",
    digest: Annotated[
        str | None,
        typer.Option(help="The evidence digest that you mean; default: the frozen one."),
    ] = None,
    json_: Json = False,
) -> None:
    """Approve a version under your own IAM identity; its release starts by itself.

    Your approval names the digest of the evidence: if the evidence changes, it is void.

    Example: `steward --profile ana approve diabetes 1 -m "calibration is fine"`
    """
    _decide(choose(context.obj), project, version, "approve", comment, digest, json_)


def reject(
    context: typer.Context,
    project: Project,
    version: Version,
    comment: Annotated[str, typer.Option("--comment", "-m", help="Why; kept for good.")],
    json_: Json = False,
) -> None:
    """Reject a version; say why.

    Example: `steward reject diabetes 2 -m "slice sex=2 looks thin"`
    """
    _decide(choose(context.obj), project, version, "reject", comment, None, json_)


def decide(
    target: Target,
    project: str,
    version: int,
    decision: str,
    comment: str = "",
    digest: str | None = None,
) -> dict[str, Any]:
    """Send a decision to the approval function URL and return its answer.

    Raises:
        CommandError: The decision was refused, with the reason.
    """
    url = target.output("ApprovalUrl")
    if digest is None:
        query = f"{url}?project={project}&version={version}"
        digest = call(target, query, "GET").raise_for_status().body.get("evidence_digest")
    body = {
        "project": project,
        "version": version,
        "evidence_digest": digest,
        "decision": decision,
        "comment": comment,
    }
    answer: dict[str, Any] = call(target, url, "POST", body).raise_for_status().body
    return answer


def _decide(
    target: Target, project: str, version: int, decision: str, comment: str,
    digest: str | None, json_: bool,
) -> None:  # fmt: skip
    with progress(f"{decision} {project} {version}"):
        answer = decide(target, project, version, decision, comment, digest)

    def render(console: Console) -> None:
        console.print(
            f"{project} {version} is [bold]{answer.get('state')}[/bold]; "
            f"{len(answer.get('approvals') or [])} of {answer.get('quorum')} approvals"
        )

    show(answer, json_, render)
