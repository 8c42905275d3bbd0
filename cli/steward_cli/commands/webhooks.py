"""``steward webhooks``: other systems are told of events, signed."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console

from steward.domain.webhooks import ALL_PROJECTS, KINDS
from steward.service.registry.webhooks import deliveries_of, webhooks_of
from steward_cli.console import Json, progress, show, table
from steward_cli.function_urls import call
from steward_cli.state import StackState, person
from steward_cli.target import Target, choose

app = typer.Typer(help="Webhooks: other systems are told of events, signed.")

Project = Annotated[str, typer.Argument(help="Project name, or '*' for all.")]
WebhookId = Annotated[str, typer.Argument(help="Id from `steward webhooks list`.")]


def change(target: Target, body: dict[str, Any]) -> dict[str, Any]:
    """Ask the webhooks' function URL for a change and return its answer.

    Raises:
        CommandError: It was refused, with the reason.
    """
    url = target.output("WebhooksUrl")
    answer: dict[str, Any] = call(target, url, "POST", body).raise_for_status().body
    return answer


@app.command("add")
def add(
    context: typer.Context,
    project: Project,
    url: Annotated[str, typer.Argument(help="https URL that messages are posted to.")],
    events: Annotated[
        list[str] | None, typer.Option("--event", help="Event type; none means all that exist.")
    ] = None,
    json_: Json = False,
) -> None:
    """Subscribe a URL to a project's events; the secret is shown this once.

    Example: `steward webhooks add diabetes https://ci.example.com/steward --event VersionApproved`
    """
    with progress(f"subscribe {url}"):
        body = {"action": "add", "project": project, "url": url, "kinds": events or []}
        answer = change(choose(context.obj), body)

    def render(console: Console) -> None:
        console.print(f"webhook {answer['webhook_id']}")
        console.print(f"secret  {answer['secret']}  (kept in Secrets Manager, not shown again)")

    show(answer, json_, render)


@app.command("list")
def list_webhooks(
    context: typer.Context,
    project: Annotated[str, typer.Argument(help="Project name, or '*'.")] = ALL_PROJECTS,
    deliveries: Annotated[
        bool, typer.Option("--deliveries", help="Show how the messages of 30 days fared.")
    ] = False,
    json_: Json = False,
) -> None:
    """List subscriptions of a project and of all, or their deliveries.

    Example: `steward webhooks list diabetes --deliveries`
    """
    state = StackState(choose(context.obj)).store
    found = [*webhooks_of(state, project)]
    found += webhooks_of(state, ALL_PROJECTS) if project != ALL_PROJECTS else []
    if deliveries:
        sent = [
            {"webhook_id": one.webhook_id, **item}
            for one in found
            for item in deliveries_of(state, one.project, one.webhook_id)
        ]
        sent.sort(key=lambda item: str(item["at"]))
        rows: list[tuple[Any, ...]] = [
            (item["at"], item["webhook_id"], item["kind"], item["status"], item["attempts"],
             item["said"]) for item in sent
        ]  # fmt: skip
        columns = ("at", "webhook", "event", "status", "attempts", "said")
        show(sent, json_, lambda console: console.print(table(columns, rows)))
        return
    listed = [
        (one.webhook_id, one.project, one.url, ", ".join(one.kinds) or f"all {len(KINDS)}",
         person(one.created_by), one.disabled_because or "active") for one in found
    ]  # fmt: skip
    heads = ("webhook", "project", "url", "events", "by", "state")
    told = [one.model_dump() for one in found]
    show(told, json_, lambda console: console.print(table(heads, listed)))


@app.command("remove")
def remove(
    context: typer.Context, project: Project, webhook_id: WebhookId, json_: Json = False
) -> None:
    """Unsubscribe a URL and delete its secret.

    Example: `steward webhooks remove diabetes 3f9a1c0b-7d2e-4a1b-9c3d-5e6f7a8b9c0d`
    """
    body = {"action": "remove", "project": project, "webhook_id": webhook_id}
    answer = change(choose(context.obj), body)
    show(answer, json_, lambda console: console.print(f"removed {webhook_id}"))


@app.command("test")
def send_test(
    context: typer.Context, project: Project, webhook_id: WebhookId, json_: Json = False
) -> None:
    """Send a WebhookTest message the way that every other goes.

    Example: `steward webhooks test diabetes 3f9a1c0b-7d2e-4a1b-9c3d-5e6f7a8b9c0d`
    """
    body = {"action": "test", "project": project, "webhook_id": webhook_id}
    answer = change(choose(context.obj), body)
    show(
        answer, json_,
        lambda console: console.print(
            f"queued {answer['message_id']}; see `steward webhooks list {project} --deliveries`"
        ),
    )  # fmt: skip
