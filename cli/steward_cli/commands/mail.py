"""``steward mail``: what people got, or whether they will get anything."""

from __future__ import annotations

from dataclasses import dataclass
from email import policy
from email.parser import BytesParser
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from steward_cli.console import CommandError, Exit, Json, show, table
from steward_cli.target import Target, choose

app = typer.Typer(help="Mail to approvers, on-call and owners.")


@dataclass(frozen=True)
class Letter:
    """One mail in the local mailbox."""

    number: int
    to: str
    subject: str
    date: str
    body: str

    def text(self) -> str:
        """Return the mail as its reader sees it."""
        head = f"To: {self.to}\nSubject: {self.subject}\nDate: {self.date}\n"
        return f"{head}\n{self.body}"


def letters(mailbox: Path) -> list[Letter]:
    """Return the mails of a mailbox directory, oldest first."""
    found = []
    for number, path in enumerate(sorted(mailbox.glob("*.eml")), start=1):
        message = BytesParser(policy=policy.default).parsebytes(path.read_bytes())
        part = message.get_body(("plain",))
        found.append(
            Letter(
                number,
                str(message["To"]),
                str(message["Subject"]),
                str(message["Date"]),
                part.get_content() if part else "",
            )
        )
    return found


@app.command("list")
def list_mail(context: typer.Context, json_: Json = False) -> None:
    """List mails of the embedded AWS; on AWS, the mail subscriptions and who has to confirm.

    Example: `steward mail list`
    """
    target = choose(context.obj)
    if target.engine is None:
        _subscriptions(target, json_)
        return
    found = letters(target.engine.mailbox)
    rows = [(letter.number, letter.to, letter.subject, letter.date) for letter in found]
    show(
        [letter.__dict__ for letter in found],
        json_,
        lambda console: console.print(table(("", "to", "subject", "date"), rows)),
    )


@app.command("show")
def show_mail(
    context: typer.Context,
    number: Annotated[int, typer.Argument(min=1, help="Number in `mail list`.")],
    json_: Json = False,
) -> None:
    """Show one mail of the embedded AWS, exactly as SNS would send it.

    Example: `steward mail show 3`
    """
    target = choose(context.obj)
    if target.engine is None:
        raise CommandError("mails on AWS are in their readers' mailboxes", Exit.USAGE)
    found = letters(target.engine.mailbox)
    if number > len(found):
        raise CommandError(f"there are {len(found)} mails", Exit.NOT_FOUND, "steward mail list")
    letter = found[number - 1]

    show(letter.__dict__, json_, lambda console: console.print(escape(letter.text())))


def _subscriptions(target: Target, json_: bool) -> None:
    rows = []
    for role, output in (
        ("approver", "ApproverTopic"), ("on-call", "OnCallTopic"), ("owner", "OwnerTopic"),
    ):  # fmt: skip
        pages = target.client("sns").get_paginator("list_subscriptions_by_topic")
        for page in pages.paginate(TopicArn=target.output(output)):
            for subscription in page["Subscriptions"]:
                pending = subscription["SubscriptionArn"] == "PendingConfirmation"
                state = "pending" if pending else "active"
                rows.append((role, subscription["Protocol"], subscription["Endpoint"], state))
    data = [dict(zip(("role", "protocol", "to", "state"), row, strict=True)) for row in rows]

    def render(console: Console) -> None:
        console.print(table(("role", "protocol", "to", "state"), rows))
        if any(row[3] == "pending" for row in rows):
            console.print("[yellow]pending: nothing is sent until the reader confirms[/yellow]")

    show(data, json_, render)
