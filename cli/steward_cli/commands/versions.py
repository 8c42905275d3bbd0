"""``steward versions``, ``approve`` and ``reject``."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.console import Console

from steward.adapters.objects import S3ObjectStore
from steward.domain.errors import StewardError
from steward.domain.version_filter import (
    Sought,
    metric_of,
    parse_bound,
    parse_since,
    parse_state,
    parse_tag,
)
from steward.ports import Item
from steward_cli.commands import (
    version_compare,
    version_labels,
    version_promotion,
    version_transfer,
)
from steward_cli.console import Json, progress, record, show, table
from steward_cli.function_urls import call
from steward_cli.sheet import Full
from steward_cli.state import StackState, person, shares_of
from steward_cli.target import Target, choose
from steward_cli.version_text import print_version

app = typer.Typer(help="Registered versions: state, evidence, approvals.")

app.command("alias")(version_labels.alias)
app.command("tag")(version_labels.tag)
app.command("describe")(version_labels.describe)
app.command("archive")(version_labels.archive)
app.command("compare")(version_compare.compare)
app.command("export")(version_transfer.export_version)
app.command("import")(version_transfer.import_version)
app.command("promote")(version_promotion.promote_version)

Project = Annotated[str, typer.Argument(help="Project name.")]
Version = Annotated[int, typer.Argument(min=1, help="Version number.")]
Comment = Annotated[str, typer.Option("--comment", "-m", help="Kept with the decision.")]


@app.command("list")
def list_versions(  # noqa: PLR0917
    context: typer.Context,
    project: Project,
    states: Annotated[list[str] | None, typer.Option("--state", help="Any of these.")] = None,
    tags: Annotated[list[str] | None, typer.Option("--tag", help="KEY or KEY=VALUE.")] = None,
    aliases: Annotated[list[str] | None, typer.Option("--alias", help="Any of these.")] = None,
    metrics: Annotated[
        list[str] | None, typer.Option("--metric", help='A bound, such as "roc_auc>=0.8".')
    ] = None,
    since: Annotated[str | None, typer.Option(help="Registered then or later, ISO 8601.")] = None,
    search: Annotated[str, typer.Option(help="Text in description, tags, reasons, digests.")] = "",
    json_: Json = False,
) -> None:
    """List a project's versions with state, aliases, share of traffic and who approved.

    What is asked for must hold together: states or aliases any of them, all else each.

    Example: `steward versions list diabetes --state production --metric "roc_auc>=0.8"`
    """
    sought = Sought(
        states=tuple(parse_state(text) for text in states or []),
        tags=tuple(parse_tag(text) for text in tags or []),
        aliases=tuple(aliases or []),
        bounds=tuple(parse_bound(text) for text in metrics or []),
        since=parse_since(since) if since else None,
        text=search,
    )
    state = StackState(choose(context.obj))
    state.project(project)
    named = state.aliases(project)
    found = [
        {**item, "aliases": own}
        for item in state.versions(project)
        if sought.matches(item, tuple(own := _names(named, int(item["version"]))))
    ]
    shares = shares_of(state.route(project))
    asked = sorted({bound.metric for bound in sought.bounds})

    def render(console: Console) -> None:
        rows = [
            (
                version["version"],
                version["state"],
                ", ".join(version["aliases"]),
                f"{shares[version['version']]:g} %" if version["version"] in shares else "",
                *(metric_of(version, name) for name in asked),
                ", ".join(person(a["identity"]) for a in version.get("approvals") or []),
                person(version.get("author")),
                version.get("created_at"),
            )
            for version in found
        ]
        columns = (
            "version", "state", "aliases", "traffic", *asked, "approved by", "author", "created",
        )  # fmt: skip
        console.print(table(columns, rows))

    show(found, json_, render)


def _names(named: dict[str, int], version: int) -> list[str]:
    return sorted(alias for alias, number in named.items() if number == version)


@app.command("show")
def show_version(
    context: typer.Context, project: Project, version: Version, full: Full = False,
    json_: Json = False,
) -> None:  # fmt: skip
    """Show one version: how it is, what was decided and why, its metrics, what it is made of.

    With --full every field of the record, and every digest that its approval covers.

    Example: `steward versions show diabetes 2`
    """
    target = choose(context.obj)
    state = StackState(target)
    item = state.version(project, version)

    def render(console: Console) -> None:
        if full:
            console.print(record(item))
            return
        names = _names(state.aliases(project), version)
        share = shares_of(state.route(project)).get(version)
        print_version(console, item, names, share, moved_by(target, item))

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
