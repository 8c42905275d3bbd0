"""``steward governance``: policies, waivers, risk, and decisions computed again."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console

from steward.adapters.objects import S3ObjectStore
from steward.adapters.time import SystemClock
from steward.domain.errors import InvalidPolicyError
from steward.domain.policy.in_force import PinnedPolicy, policy_digest
from steward.domain.policy.requirements import Policy
from steward.domain.policy.risk import QUESTIONNAIRES, Assessment, assess
from steward.domain.policy.strictness import parse_policy
from steward.domain.project import parse_project
from steward.service.governance.replay import replay_version
from steward.service.policy_in_force import pin_policy, policy_in_force
from steward.service.registry.waiving import list_waivers
from steward_cli.console import CommandError, Exit, Json, rejected, show, table
from steward_cli.function_urls import call
from steward_cli.state import StackState, person
from steward_cli.target import choose

app = typer.Typer(help="Policies, waivers, risk, and decisions computed again.")
policy_app = typer.Typer(help="What each risk tier requires.")
app.add_typer(policy_app, name="policy")

Project = Annotated[str, typer.Argument(help="Project name.")]
Reason = Annotated[str, typer.Option("--reason", "-m", help="Why; kept for good, 10 characters.")]
PolicyFile = Annotated[Path, typer.Argument(help="A policy.yaml.", exists=True, dir_okay=False)]
_TIME = re.compile(r"^(\d+)([smhd])$")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@policy_app.command("show")
def show_policy(
    context: typer.Context,
    project: Annotated[str | None, typer.Argument(help="What holds for this project.")] = None,
    json_: Json = False,
) -> None:
    """Show the policy in force, or what it requires of one project, as YAML.

    Example: `steward governance policy show diabetes`
    """
    state = StackState(choose(context.obj))
    if project is None:
        found = policy_in_force(state.store)
        data: dict[str, Any] = _written(found.policy)
        head = f"# {found.source} policy, digest {policy_digest(found.policy)}"
    else:
        pinned = pin_policy(state.store, parse_project(state.project(project)["config"]))
        data = _requirements(pinned)
        head = f"# {project}: {pinned.source} policy {pinned.name}, digest {pinned.digest}"

    def render(console: Console) -> None:
        console.print(head, highlight=False, soft_wrap=True)
        text = yaml.safe_dump(data, sort_keys=False, width=96)
        console.print(text, end="", markup=False, soft_wrap=True)

    show(data, json_, render)


def _written(policy: Policy) -> dict[str, Any]:
    told: dict[str, Any] = _without_empty(policy.model_dump(mode="json", exclude_none=True))
    return told


def _requirements(pinned: PinnedPolicy) -> dict[str, Any]:
    told = _without_empty(pinned.requirements.model_dump(mode="json", exclude_none=True))
    return {"policy": pinned.name, "tier": pinned.tier, "requirements": told}


def _without_empty(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: _without_empty(part) for name, part in value.items() if part != {}}


@policy_app.command("check")
def check_policy(file: PolicyFile, json_: Json = False) -> None:
    """Check a policy file without touching AWS: keys, limits, contradictions.

    Example: `steward governance policy check policy.yaml`
    """
    policy = read_policy(file)
    digest = policy_digest(policy)
    show(
        {"policy": policy.policy, "digest": digest},
        json_,
        lambda console: console.print(f"{policy.policy} is valid: digest {digest[:12]}"),
    )


@policy_app.command("deploy")
def deploy_policy(
    context: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(help="A policy.yaml.", exists=True, dir_okay=False)
    ] = None,
    platform: Annotated[
        bool, typer.Option("--platform", help="Let the shipped policy hold again.")
    ] = False,
    json_: Json = False,
) -> None:
    """Make a policy the organisation's; runs that start from now on are judged by it.

    Example: `steward governance policy deploy policy.yaml`
    """
    if (file is None) != platform:
        raise CommandError("give a file, or --platform", Exit.USAGE)
    document = read_policy(file).model_dump(mode="json") if file is not None else None
    target = choose(context.obj)
    url = target.output("PolicyUrl")
    answer = call(target, url, "POST", {"document": document}).raise_for_status().body

    def render(console: Console) -> None:
        done = "is in force" if answer["changed"] else "was in force already"
        console.print(f"{answer['name']} {done}: digest {answer['digest'][:12]}")

    show(answer, json_, render)


def read_policy(file: Path) -> Policy:
    """Return the policy of a file.

    Raises:
        CommandError: It is no YAML, not valid or contradicts itself.
    """
    try:
        return parse_policy(yaml.safe_load(file.read_text(encoding="utf-8")))
    except yaml.YAMLError as error:
        raise CommandError(f"{file}: {error}", Exit.USAGE) from None
    except InvalidPolicyError as error:
        raise rejected(error, Exit.USAGE, str(file)) from None


@app.command("waive")
def waive(
    context: typer.Context,
    project: Project,
    rule: Annotated[str, typer.Argument(help="As a reason names it, such as slice.sex.")],
    reason: Reason,
    lasting: Annotated[str, typer.Option("--for", help="Such as 36h or 7d.")] = "7d",
    run: Annotated[str | None, typer.Option("--run", help="For this run alone.")] = None,
    version: Annotated[
        int | None, typer.Option("--version", min=1, help="For this version's release alone.")
    ] = None,
    json_: Json = False,
) -> None:
    """Let one rule of a project be broken for a while, under your own IAM identity.

    Example: `steward governance waive diabetes slice.sex --for 7d -m "no such patients here"`
    """
    target = choose(context.obj)
    body = {
        "action": "grant", "project": project, "rule": rule, "reason": reason,
        "lifetime_s": seconds_of(lasting), "run_id": run, "version": version,
    }  # fmt: skip
    answer = call(target, target.output("WaiverUrl"), "POST", body).raise_for_status().body
    show(
        answer,
        json_,
        lambda console: console.print(
            f"waiver {answer['waiver_id']}: {answer['rule']} of {project} until "
            f"{answer['expires_at']}, by {person(answer['granted_by'])}"
        ),
    )


def seconds_of(text: str) -> int:
    """Return the seconds of a time such as ``36h``.

    Raises:
        CommandError: It is none.
    """
    found = _TIME.match(text)
    if found is None:
        raise CommandError(f"{text!r} is no time", Exit.USAGE, "a number with s, m, h or d")
    return int(found[1]) * _SECONDS[found[2]]


@app.command("waivers")
def waivers(context: typer.Context, project: Project, json_: Json = False) -> None:
    """List a project's waivers: active, expired and revoked.

    Example: `steward governance waivers diabetes`
    """
    state = StackState(choose(context.obj))
    state.project(project)
    found = list_waivers(project, state=state.store, clock=SystemClock())

    def render(console: Console) -> None:
        rows = [
            (one["waiver_id"], one["status"], one["rule"], _scope(one),
             person(one["granted_by"]), one["expires_at"], one["reason"])
            for one in found
        ]  # fmt: skip
        columns = ("waiver", "status", "rule", "for", "by", "until", "reason")
        console.print(table(columns, rows))

    show(found, json_, render)


def _scope(waiver: dict[str, Any]) -> str:
    if waiver.get("version") is not None:
        return f"version {waiver['version']}"
    return str(waiver.get("run_id") or "the project")


@app.command("revoke")
def revoke(
    context: typer.Context,
    project: Project,
    waiver: Annotated[str, typer.Argument(help="Id of the waiver.")],
    reason: Reason,
    json_: Json = False,
) -> None:
    """End a waiver before its time.

    Example: `steward governance revoke diabetes 0a1b2c3d4e5f -m "there are such patients now"`
    """
    target = choose(context.obj)
    body = {"action": "revoke", "project": project, "waiver_id": waiver, "reason": reason}
    answer = call(target, target.output("WaiverUrl"), "POST", body).raise_for_status().body
    show(
        answer, json_,
        lambda console: console.print(f"waiver {waiver} of {project} is {answer['status']}"),
    )  # fmt: skip


@app.command("replay")
def replay(
    context: typer.Context,
    project: Project,
    version: Annotated[int, typer.Argument(min=1, help="Version number.")],
    json_: Json = False,
) -> None:
    """Compute every decision on a version again from its kept inputs; exit 1 where one differs.

    Example: `steward governance replay diabetes 2`
    """
    target = choose(context.obj)
    item = StackState(target).version(project, version)
    found = replay_version(item, S3ObjectStore(target.client("s3")))

    def render(console: Console) -> None:
        rows = [
            (one.decision, "agrees" if one.agrees else "DIFFERS", one.recorded, one.recomputed)
            for one in found
        ]
        console.print(table(("decision", "", "on record", "computed again"), rows))
        for one in found:
            for told in one.differences:
                console.print(f"{one.decision}: {told}", soft_wrap=True, markup=False)

    show([one.as_dict() for one in found], json_, render)
    if not all(one.agrees for one in found):
        raise typer.Exit(int(Exit.FAILED))


@app.command("risk")
def risk(context: typer.Context, project: Project, json_: Json = False) -> None:
    """Show a project's answers on potential harms, their score and the tier they give.

    Example: `steward governance risk diabetes`
    """
    declared = parse_project(StackState(choose(context.obj)).project(project)["config"])
    if declared.risk is None:
        questions = QUESTIONNAIRES[max(QUESTIONNAIRES)]
        raise CommandError(
            f"{project} answers no questionnaire", Exit.NOT_FOUND,
            "answer under risk in project.yaml, or in risk.yaml beside it: "
            + ", ".join(question.key for question in questions),
        )  # fmt: skip
    found = assess(declared.risk)
    data = {
        "questionnaire": found.questionnaire, "score": found.score, "tier": found.tier,
        "declared": declared.risk_tier, "why": found.why,
        "answers": [
            {"question": one.question.key, "text": one.question.text, "harm": one.answer.harm,
             "mitigation": one.answer.mitigation, "remaining": one.remaining}
            for one in found.answers
        ],
    }  # fmt: skip
    show(data, json_, lambda console: _print_risk(console, found, declared.risk_tier))


def _print_risk(console: Console, found: Assessment, declared: str) -> None:
    rows = [
        (one.question.text, one.answer.harm, one.remaining, one.answer.mitigation)
        for one in found.answers
    ]
    console.print(table(("question", "harm", "remains", "mitigation"), rows))
    console.print(f"score {found.score} of {3 * len(rows)}: tier {found.tier}, declared {declared}")
    console.print("; ".join(found.why), soft_wrap=True)
