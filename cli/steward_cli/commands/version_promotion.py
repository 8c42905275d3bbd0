"""``steward versions promote``: an approved version to the next environment, by its digest."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Annotated, Any

import boto3
import typer
from botocore.exceptions import ClientError
from rich.console import Console

from steward.domain.approvals import Ballot
from steward.domain.version_archive import MANIFEST, read_archive
from steward_cli.commands.version_transfer import bring, exported, write_export
from steward_cli.console import CommandError, Exit, Json, progress, show
from steward_cli.function_urls import call
from steward_cli.state import StackState
from steward_cli.target import Target, choose

Project = Annotated[str, typer.Argument(help="Project name, the same in both environments.")]
ENVIRONMENTS = ("dev", "staging", "prod")
_IN_SESSION = re.compile(r"[^\w+=,.@-]")


def promote_version(
    context: typer.Context,
    project: Project,
    version: Annotated[int, typer.Argument(min=1, help="Version number.")],
    to: Annotated[str, typer.Option("--to", help="Environment: dev, staging or prod.")],
    role: Annotated[
        str | None,
        typer.Option("--role", help="PromotionRoleArn of the other account's stack."),
    ] = None,
    stack: Annotated[
        str | None, typer.Option("--to-stack", help="Stack there; default steward-ENVIRONMENT.")
    ] = None,
    json_: Json = False,
) -> None:
    """Bring an approved version to another environment: the same artifact, built once.

    It is staged there and waits for an approval there. Both ledgers keep who had approved.

    Example: `steward versions promote diabetes 2 --to prod`
    """
    if to not in ENVIRONMENTS:
        raise CommandError(f"--to {to!r}", Exit.USAGE, f"allowed: {', '.join(ENVIRONMENTS)}")
    target = choose(context.obj)
    goal = other_target(target, stack or f"steward-{to}", role)
    with progress(f"promote {project} {version} to {to}"):
        answer = promote(target, goal, project, version, to)

    def render(console: Console) -> None:
        console.print(
            f"{project} {version} is {answer['version']} in {to}: the artifact "
            f"{answer['artifact'][:12]}; it goes into staging there"
        )

    show(answer, json_, render)


def other_target(target: Target, stack: str, role: str | None) -> Target:
    """Return a stack of this account, or of another through its promotion role.

    Raises:
        CommandError: The role may not be taken: the other stack does not trust this account.
    """
    if role is None:
        return Target(target.kind, stack, target.region, target.session, target.engine)
    account, name = target.identity().split(":")[4], target.identity().rsplit("/", 1)[-1]
    session = _IN_SESSION.sub("-", f"{account}-{name}")[:64]
    try:
        taken = target.client("sts").assume_role(RoleArn=role, RoleSessionName=session)
    except ClientError as error:
        raise CommandError(
            f"cannot take {role}: {error.response['Error']['Message']}", Exit.DENIED,
            f"the other stack needs TrustedAccounts with {account}, and you sts:AssumeRole on it",
        ) from None  # fmt: skip
    own = taken["Credentials"]
    there = boto3.Session(
        aws_access_key_id=own["AccessKeyId"], aws_secret_access_key=own["SecretAccessKey"],
        aws_session_token=own["SessionToken"], region_name=target.region,
    )  # fmt: skip
    return Target(target.kind, stack, target.region, there, target.engine)


def promote(target: Target, goal: Target, project: str, version: int, to: str) -> dict[str, Any]:
    """Export here, import there and record it here.

    Returns:
        What the other environment answered, with the digests.

    Raises:
        CommandError: The version was never approved, or the stack is not the environment.
    """
    item = StackState(target).version(project, version)
    ballot = Ballot.model_validate(item)
    if not ballot.was_carried:
        raise CommandError(
            f"{ballot.name} is {ballot.state}: only an approved version is promoted",
            Exit.CONFLICT, "approve it here first",
        )  # fmt: skip
    if goal.environment_name != to:
        raise CommandError(
            f"{goal.stack} is {goal.environment_name}, not {to}", Exit.USAGE,
            "name its stack with --to-stack",
        )  # fmt: skip
    manifest, uris = exported(target, project, version)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        archive, files = folder / "version.tar", folder / "files"
        files.mkdir()
        write_export(target, manifest, uris, archive)
        read_archive(archive, files)
        (files / MANIFEST).write_bytes(manifest.content())
        named = {one: files / one for one in (MANIFEST, *(m.name for m in manifest.members))}
        told = {"approvers": ballot.approvers, "policy": item["policy"]}
        answer = bring(goal, project, named, promotion=json.loads(json.dumps(told, default=int)))
    body = {
        "action": "exported", "project": project, "version": version, "environment": to,
        "account": goal.identity().split(":")[4], "became": answer["version"],
        "export_digest": manifest.digest,
    }  # fmt: skip
    call(target, target.output("RegistryUrl"), "POST", body).raise_for_status()
    artifact = next(m.sha256 for m in manifest.members if m.name == "model.tar.gz")
    return {**answer, "export_digest": manifest.digest, "artifact": artifact}
