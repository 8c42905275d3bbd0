"""``steward demo``: start, deploy, play the story, show what it proved."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from steward_cli.commands.local import repository_root, start_and_deploy
from steward_cli.console import CommandError, Json, show, stderr
from steward_cli.demo.audited import audit
from steward_cli.demo.people import hire
from steward_cli.demo.report import write_report
from steward_cli.demo.story import PROJECT, Story
from steward_cli.demo.summary import audited, print_summary
from steward_cli.target import Choice, local_target
from steward_local import engine as engines

_TIME_SCALE = 10.0

_PATIENT = (
    '{"patient_id": "p900", "age": 50, "sex": 1, "bmi": 27.5, "bp": 90, "s1": 220, "s2": 101, '
    '"s3": 37, "s4": 4, "s5": 5.1, "s6": 100}'
)
"""Laboratory values stand in the request: those of the store have expired by then."""


def demo(
    context: typer.Context,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the embedded AWS running.")] = False,
    time_scale: Annotated[
        float, typer.Option(help="Waits, alarm periods and buffers last 1/N of their time.")
    ] = _TIME_SCALE,
    report: Annotated[
        Path | None, typer.Option(help="Where the HTML report goes; default .steward/demo.html.")
    ] = None,
    json_: Json = False,
) -> None:
    """Play one model's whole life on the embedded AWS: no account, no Docker, real training.

    Deliver, train, evaluate, stage, approve, release, canary, roll back, reject, suppress, watch.

    Example: `steward demo --keep` then `steward versions list diabetes`
    """
    console = stderr()
    choice: Choice = context.obj
    started = time.monotonic()
    console.print("[bold]Starting the embedded AWS and deploying the stack with SAM[/bold]")
    engine, outputs = start_and_deploy(choice, None, time_scale)
    deploy_s = time.monotonic() - started
    console.print(
        f"   [green]✓[/green] {engine.endpoint}, {len(outputs)} outputs, {deploy_s:.0f} s"
    )
    try:
        target = local_target(engine, Choice("local", state_dir=choice.state_dir))
        hire(target, choice.state_dir)
        story = Story(
            target,
            choice,
            repository_root() / "projects",
            lambda text: console.print(text, soft_wrap=True),
        )
        try:
            facts = story.play()
            console.print("[bold]The ledger is signed and verified[/bold]")
            facts.audit = audit(target, PROJECT)
            console.print(f"   [green]✓[/green] {audited(facts.audit)}", soft_wrap=True)
        except CommandError:
            console.print(f"The engine's log: {engine.log}")
            raise
    finally:
        if not keep:
            engines.stop(choice.state_dir)
    facts.deploy_s = deploy_s
    path = write_report(facts, report or choice.state_dir / "demo.html")
    total = time.monotonic() - started

    def render(out: Console) -> None:
        print_summary(facts, out)
        out.print(f"\nTook {total:.0f} s, of which {deploy_s:.0f} s to deploy.")
        if keep:
            out.print("The embedded AWS is still up: steward versions list diabetes; steward down")
            out.print(f"Ask the live model: steward ask diabetes '{_PATIENT}' --explain",
                      markup=False, soft_wrap=True)  # fmt: skip
        out.print(f"Report: [bold]{path}[/bold]", soft_wrap=True)

    show(
        {
            "seconds": round(total, 1), "deploy_s": round(deploy_s, 1), "report": str(path),
            "requests": len(facts.requests), "lost": facts.lost, "exposures": facts.exposures,
            "fault_to_alarm_s": facts.fault_to_alarm_s, "alarm_to_zero_s": facts.alarm_to_zero_s,
            "monitoring": {hour.name: hour.look.alarms for hour in facts.monitored},
            "retraining": facts.retraining, "audit": facts.audit,
            "cards": [asdict(card) for card in facts.cards],
            "versions": facts.versions, "executions": facts.executions,
        },
        json_, render,
    )  # fmt: skip
