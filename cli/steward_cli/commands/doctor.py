"""``steward doctor``: what is right, what is not, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator

import typer
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console

from steward.domain.errors import StewardError
from steward_cli.console import CommandError, Exit, Json, show, table
from steward_cli.doctor.account import account_findings
from steward_cli.doctor.findings import Finding, worst
from steward_cli.doctor.machine import machine_findings
from steward_cli.doctor.stack import stack_findings
from steward_cli.state import StackState
from steward_cli.target import Choice, Target, choose


def doctor(context: typer.Context, json_: Json = False) -> None:
    """Check this machine, the account and the deployed stack, and say what to do.

    Each line is ok, warn, fail or unknown; what AWS does not let the caller see is unknown.
    Exits with 1 where a line fails.

    Example: `steward doctor`
    """
    findings = list(examined(context.obj))
    state = worst(findings)

    def render(console: Console) -> None:
        rows = [(f.state, f.area, f.check, f.says, f.do) for f in findings]
        console.print(table(("", "area", "check", "says", "do"), rows))

    show({"state": state, "findings": [f.as_dict() for f in findings]}, json_, render)
    if state == "fail":
        raise typer.Exit(int(Exit.FAILED))


def examined(choice: Choice) -> Iterator[Finding]:
    """Yield all findings; where no target can be chosen, those of the machine and why."""
    yield from machine_findings()
    try:
        target = choose(choice)
    except (CommandError, BotoCoreError) as error:
        hint = error.hint if isinstance(error, CommandError) else None
        yield Finding("account", "target", "fail", str(error), hint or "is the profile right?")
        return
    yield from account_findings(target, needed_instances(target))
    yield from stack_findings(target)


def needed_instances(target: Target) -> list[tuple[str, str]]:
    """Return instance type and use of the configured projects; none where they cannot be read."""
    try:
        projects = StackState(target).projects()
    except (CommandError, StewardError, ClientError, BotoCoreError):
        return []
    needed = []
    for item in projects:
        training, serving = item["config"]["training"], item["config"]["serving"]
        for use in ("training job", "processing job"):
            needed.append((training["instance_type"], use))
        if serving.get("variants"):
            needed.append((serving["variants"]["instance_type"], "endpoint"))
    return needed
