"""The ``steward`` command: options, sub-commands, errors to exit codes."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
from typer._click.exceptions import ClickException
from typer.core import TyperGroup

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
from steward_cli.console import EXIT_CODES, INTERRUPTED, CommandError, Exit, fail, rejected
from steward_cli.demo import command as demo
from steward_cli.target import DEFAULT_STATE_DIR, Choice

HELP = f"""The control plane of your models, from delivery to rollback.

The same commands act on the embedded AWS of this folder (`steward up`) and on an AWS
account; `--target` decides, and by default a running embedded AWS wins.

Exit codes: {", ".join(f"{code} {told}" for code, told in EXIT_CODES.items())}.

Each command has an example in its `--help` and `--json` for scripts; docs/cli.md tells the rest.
"""

_PANELS: dict[str, dict[str, Any]] = {
    "Begin": {"up": local.up, "down": local.down, "demo": demo.demo, "doctor": doctor.doctor},
    "Train": {
        "project": project.app, "data": data.app, "dataset": dataset.app,
        "features": features.app, "runs": runs.app, "commits": commits.app,
    },
    "Decide": {
        "versions": versions.app, "approve": versions.approve, "reject": versions.reject,
        "release": release.app, "rollback": release.rollback,
    },
    "Use the live model": {
        "ask": ask.ask_model, "explain": explain.explain, "batch": batch.app,
        "outcomes": outcomes.app,
    },
    "Look": {
        "experiment": experiment.app, "monitor": monitor.app, "serving": serving.app,
        "bias": bias.bias, "cost": cost.app, "lineage": lineage.app, "report": report.app,
    },
    "Govern": {
        "governance": governance.app, "card": card.app, "inventory": inventory.app,
        "audit": audit.app,
    },
    "Set up": {"mail": mail.app, "webhooks": webhooks.app, "image": image.app},
}  # fmt: skip


class _InOrder(TyperGroup):
    """Lists commands in the order of the panels; Typer would list all groups last."""

    def list_commands(self, _ctx: Any) -> list[str]:
        """Return the names of the commands."""
        return [name for commands in _PANELS.values() for name in commands]


app = typer.Typer(
    help=HELP, no_args_is_help=True, rich_markup_mode="markdown", pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]}, cls=_InOrder,
)  # fmt: skip
for _panel, _commands in _PANELS.items():
    for _name, _command in _commands.items():
        if isinstance(_command, typer.Typer):
            app.add_typer(_command, name=_name, rich_help_panel=_panel)
        else:
            app.command(_name, rich_help_panel=_panel)(_command)


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
        sys.exit(INTERRUPTED)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
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
