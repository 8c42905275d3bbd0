"""``steward commits``: how commits become a project's, and the forge that they come from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from steward.ports import Item
from steward_cli.commit_text import print_commit
from steward_cli.console import CommandError, Exit, Json, progress, record, show, table
from steward_cli.function_urls import call
from steward_cli.sheet import Full
from steward_cli.state import StackState, person
from steward_cli.target import Target, choose

app = typer.Typer(help="Commits: tested, rehearsed and integrated, and the forge they come from.")

Project = Annotated[str, typer.Argument(help="Project name.")]
Commit = Annotated[str, typer.Argument(help="Commit id, or its first digits.")]


@app.command("list")
def list_commits(context: typer.Context, project: Project, json_: Json = False) -> None:
    """List the integrations of a project's commits, and those that started nothing.

    Example: `steward commits list diabetes`
    """
    state = StackState(choose(context.obj))
    state.project(project)
    found = state.integrations(project)
    suppressed = [item for item in state.suppressed(project) if "commit_id" in item]

    def render(console: Console) -> None:
        rows = [
            (
                item["commit_id"][:12], item["attempt"], item["branch"], item["status"],
                item["step"], person(item["author"]), item["started_at"],
                item.get("training_run_id"), item.get("error"),
            )
            for item in found
        ]  # fmt: skip
        heads = ("commit", "try", "branch", "status", "step", "by", "started", "run", "error")
        console.print(table(heads, rows))
        for item in suppressed:
            console.print(
                f"[yellow]suppressed[/yellow] {item['commit_id'][:12]} at {item['at']}: "
                f"{item['reason']}"
            )

    show({"commits": found, "suppressed": suppressed}, json_, render)


@app.command("show")
def show_commit(
    context: typer.Context, project: Project, commit: Commit, full: Full = False,
    json_: Json = False,
) -> None:  # fmt: skip
    """Show the latest integration of a commit: step, findings of its jobs, training run.

    Example: `steward commits show diabetes 1f0c9a7b2d3e`
    """
    target = choose(context.obj)
    item = _latest(StackState(target).integrations(project), project, commit)

    def render(console: Console) -> None:
        if full:
            console.print(record({name: item[name] for name in item if name != "run_id"}))
            return
        arn = item.get("integration_arn")
        link = target.console_url(f"states/home#/v2/executions/details/{arn}") if arn else None
        print_commit(console, item, link)

    show(item, json_, render)


def _latest(items: list[Item], project: str, commit: str) -> Item:
    found = [item for item in items if item["commit_id"].startswith(commit)]
    ids = {item["commit_id"] for item in found}
    if not found:
        raise CommandError(f"{project} has no commit {commit!r}", Exit.NOT_FOUND)
    if len(ids) > 1:
        raise CommandError(
            f"{len(ids)} commits begin with {commit!r}", Exit.USAGE, ", ".join(sorted(ids))
        )
    return found[-1]


def ask(target: Target, method: str, body: dict[str, Any], query: str = "") -> dict[str, Any]:
    """Ask the source function URL and return its answer.

    Raises:
        CommandError: It was refused, with the reason.
    """
    url = target.output("SourceUrl") + query
    answer: dict[str, Any] = call(target, url, method, body or None).raise_for_status().body
    return answer


@app.command("integrate")
def integrate(
    context: typer.Context,
    project: Project,
    commit: Annotated[str, typer.Argument(help="Commit id; all digits where it is new.")],
    branch: Annotated[
        str | None, typer.Option("--branch", help="Default: integration.branch.")
    ] = None,
    json_: Json = False,
) -> None:
    """Integrate a commit, or try one again that failed.

    Example: `steward commits integrate diabetes 1f0c9a7b2d3e1f0c9a7b2d3e1f0c9a7b2d3e1f0c`
    """
    target = choose(context.obj)
    known = [i for i in StackState(target).integrations(project)
             if i["commit_id"].startswith(commit)]  # fmt: skip
    full = _latest(known, project, commit)["commit_id"] if known else commit
    body = {"project": project, "commit_id": full, **({"branch": branch} if branch else {})}
    with progress(f"ask for {full[:12]}"):
        answer = ask(target, "PUT", body)
    show(
        answer, json_,
        lambda console: console.print(
            f"asked, author {person(answer['author'])}; see `steward commits list {project}`"
        ),
    )  # fmt: skip


@app.command("connect")
def connect(
    context: typer.Context,
    project: Project,
    repository: Annotated[str, typer.Argument(help="As the forge names it, such as acme/credit.")],
    api: Annotated[
        str, typer.Option(help="GitHub's API; another one for GitHub Enterprise.")
    ] = "https://api.github.com",
    archive: Annotated[
        str | None, typer.Option(help="Of any other forge: where a commit's archive is.")
    ] = None,
    forge: Annotated[str | None, typer.Option(help="Prefix of authors, such as gitlab.")] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(help="File with a token that reads archives and writes statuses.",
                     exists=True, dir_okay=False),
    ] = None,
    json_: Json = False,
) -> None:  # fmt: skip
    """Take a repository's pushes as a project's commits; the webhook's secret is shown this once.

    GitHub needs no more than the repository. Any other forge signs as Standard Webhooks does,
    and `--archive https://HOST/...{commit}.tar.gz` says where a commit's files are.

    Example: `steward commits connect diabetes acme/diabetes --token-file token.txt`
    """
    target = choose(context.obj)
    token = token_file.read_text(encoding="utf-8").strip() if token_file else None
    body = {
        "project": project, "repository": repository, "api": api,
        "kind": "generic" if archive else "github",
        "archive": archive, "forge": forge, "token": token,
    }  # fmt: skip
    with progress(f"connect {repository}"):
        answer = ask(target, "PUT", {n: v for n, v in body.items() if v is not None})
    answer["webhook_url"] = f"{target.output('ForgeUrl').rstrip('/')}/{project}"

    def render(console: Console) -> None:
        console.print(f"payload URL   {answer['webhook_url']}")
        console.print("content type  application/json")
        console.print(f"secret        {answer['secret']}  (kept in Secrets Manager)")

    show(answer, json_, render)


@app.command("disconnect")
def disconnect(context: typer.Context, project: Project, json_: Json = False) -> None:
    """Take no pushes of the forge any more, and delete its secrets.

    Example: `steward commits disconnect diabetes`
    """
    answer = ask(choose(context.obj), "DELETE", {}, f"?project={project}&forge=1")
    was = answer["disconnected"] or "nothing"
    show(answer, json_, lambda console: console.print(f"disconnected {was}"))
