"""The ``steward`` command: options, sub-commands, errors to exit codes."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
from typer._click.exceptions import ClickException

from steward.domain.errors import (
    AccessDeniedError,
    ConflictError,
    FeatureGroupNotFoundError,
    ProjectNotFoundError,
    RejectedError,
    StewardError,
    VersionNotFoundError,
)
from steward_cli.commands import (
    ask,
    audit,
    batch,
    bias,
    card,
    commits,
    cost,
    data,
    dataset,
    doctor,
    experiment,
    explain,
    features,
    governance,
    image,
    inventory,
    lineage,
    local,
    mail,
    monitor,
    outcomes,
    project,
    release,
    report,
    runs,
    serving,
    versions,
    webhooks,
)
from steward_cli.console import CommandError, Exit, fail, rejected
from steward_cli.demo import command as demo
from steward_cli.target import DEFAULT_STATE_DIR, Choice

HELP = """The control plane of your models, from delivery to rollback.

The same commands act on the embedded AWS of this folder (`steward up`) and on an AWS
account; `--target` decides, and by default a running embedded AWS wins.

Exit codes: 0 done, 1 failed or refused, 2 wrong usage, 3 not found, 4 conflict, 5 denied,
6 not reachable, 7 timed out.
"""

app = typer.Typer(
    help=HELP, no_args_is_help=True, rich_markup_mode="markdown", pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip
app.command("up")(local.up)
app.command("down")(local.down)
app.command("demo")(demo.demo)
app.command("doctor")(doctor.doctor)
app.command("approve")(versions.approve)
app.command("reject")(versions.reject)
app.command("rollback")(release.rollback)
app.command("ask")(ask.ask_model)
app.command("explain")(explain.explain)
app.command("bias")(bias.bias)
app.add_typer(project.app, name="project")
app.add_typer(data.app, name="data")
app.add_typer(dataset.app, name="dataset")
app.add_typer(features.app, name="features")
app.add_typer(runs.app, name="runs")
app.add_typer(cost.app, name="cost")
app.add_typer(commits.app, name="commits")
app.add_typer(versions.app, name="versions")
app.add_typer(release.app, name="release")
app.add_typer(outcomes.app, name="outcomes")
app.add_typer(batch.app, name="batch")
app.add_typer(experiment.app, name="experiment")
app.add_typer(monitor.app, name="monitor")
app.add_typer(serving.app, name="serving")
app.add_typer(mail.app, name="mail")
app.add_typer(image.app, name="image")
app.add_typer(report.app, name="report")
app.add_typer(lineage.app, name="lineage")
app.add_typer(webhooks.app, name="webhooks")
app.add_typer(audit.app, name="audit")
app.add_typer(governance.app, name="governance")
app.add_typer(card.app, name="card")
app.add_typer(inventory.app, name="inventory")


@app.callback()
def options(
    context: typer.Context,
    target: Annotated[
        str, typer.Option(envvar="STEWARD_TARGET", help="auto, local (embedded AWS) or aws.")
    ] = "auto",
    stack: Annotated[
        str | None,
        typer.Option(envvar="STEWARD_STACK", help="Root stack; default steward-local or -dev."),
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option(help="Whose credentials: a profile of AWS, or of the embedded AWS's people."),
    ] = None,
    region: Annotated[str | None, typer.Option(help="AWS region.")] = None,
    state_dir: Annotated[
        Path, typer.Option(envvar="STEWARD_STATE_DIR", help="Folder of the embedded AWS.")
    ] = DEFAULT_STATE_DIR,
) -> None:
    """Take the options that all commands share."""
    if target not in ("auto", "local", "aws"):
        raise typer.BadParameter(f"{target!r}; allowed: auto, local, aws", param_hint="--target")
    context.obj = Choice(target, stack, profile, region, state_dir.absolute())


_CODES: tuple[tuple[type[StewardError], Exit], ...] = (
    (ProjectNotFoundError, Exit.NOT_FOUND),
    (VersionNotFoundError, Exit.NOT_FOUND),
    (FeatureGroupNotFoundError, Exit.NOT_FOUND),
    (ConflictError, Exit.CONFLICT),
    (AccessDeniedError, Exit.DENIED),
    (RejectedError, Exit.FAILED),
)


def translate(error: Exception) -> CommandError | None:
    """Return the one-line form of an error that is no fault of the program, else None."""
    if isinstance(error, CommandError):
        return error
    if isinstance(error, StewardError):
        code = next((code for kind, code in _CODES if isinstance(error, kind)), Exit.FAILED)
        return (
            rejected(error, code)
            if isinstance(error, RejectedError)
            else CommandError(str(error), code)
        )
    if isinstance(error, ClientError):
        denied = "AccessDenied" in error.response["Error"]["Code"]
        return CommandError(str(error), Exit.DENIED if denied else Exit.FAILED)
    if isinstance(error, NoCredentialsError):
        return CommandError(
            "no AWS credentials", Exit.DENIED, "aws configure, AWS_PROFILE, or `steward up`"
        )
    if isinstance(error, BotoCoreError):
        return CommandError(str(error), Exit.UNREACHABLE)
    return None


def main() -> None:
    """Run the command; every known error leaves as one line and a code."""
    os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")
    try:
        code = app(standalone_mode=False)
    except typer.Exit as leaving:
        sys.exit(leaving.exit_code)
    except typer.Abort:
        sys.exit(130)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        # Typer carries its own copy of click: only its kinds are raised, not those of click.
        if isinstance(error, ClickException):
            error.show()
            sys.exit(int(Exit.USAGE))
        known = translate(error)
        if known is None:
            raise
        try:
            fail(known, as_json="--json" in sys.argv)
        except typer.Exit as leaving:
            sys.exit(leaving.exit_code)
    sys.exit(code if isinstance(code, int) else 0)
