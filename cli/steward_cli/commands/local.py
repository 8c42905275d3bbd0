"""``steward up`` and ``steward down``: the embedded AWS with the stack deployed."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from steward_cli.console import CommandError, Exit, Json, progress, show
from steward_cli.demo.people import PEOPLE, hire
from steward_cli.target import Choice, local_target
from steward_local import engine as engines
from steward_local.deploy import deploy
from steward_local.errors import EngineAlreadyRunningError, EngineError, EngineNotRunningError
from steward_local.sagemaker.image import local_image_uri


def up(
    context: typer.Context,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Default: a free one.")] = None,
    time_scale: Annotated[
        float, typer.Option(help="Waits, alarm periods and buffers last 1/N of their time.")
    ] = 1.0,
    exports: Annotated[
        bool,
        typer.Option("--exports", help="Print the export lines alone, also of one that runs."),
    ] = False,
    json_: Json = False,
) -> None:
    """Start the embedded AWS, deploy the stack and leave it running.

    Example: `eval "$(steward up --exports)"` then `aws s3 ls`
    """
    started = time.monotonic()
    choice: Choice = context.obj
    if exports and (running := _running(choice.state_dir)):
        engine, outputs = running, local_target(running, choice).outputs
    else:
        engine, outputs = start_and_deploy(choice, port, time_scale)
        hire(local_target(engine, choice), choice.state_dir)
    environment = engine.environment()
    lines = [f"export {name}={shlex.quote(value)}" for name, value in environment.items()]

    def render(console: Console) -> None:
        if exports:
            console.print("\n".join(lines), soft_wrap=True)
            return
        console.print(
            f"The embedded AWS answers at [bold]{engine.endpoint}[/bold] (pid {engine.pid}), "
            f"stack deployed in {time.monotonic() - started:.0f} s."
        )
        console.print(f"Gateway: {outputs.get('GatewayUrl')}\nMail:    {engine.mailbox}")
        console.print(f"People:  {', '.join(PEOPLE)}; act as one with --profile NAME\n")
        console.print("For aws, boto3 and sam in this shell:")
        console.print("\n".join(lines), soft_wrap=True)
        console.print("\nStop it with: steward down")

    show({"endpoint": engine.endpoint, "pid": engine.pid, "environment": environment,
          "outputs": outputs}, json_, render)  # fmt: skip


def _running(state_dir: Path) -> engines.Engine | None:
    try:
        return engines.attach(state_dir)
    except EngineNotRunningError:
        return None


def start_and_deploy(
    choice: Choice,
    port: int | None,
    time_scale: float,
    parameters: Mapping[str, str] | None = None,
) -> tuple[engines.Engine, dict[str, str]]:
    """Start an engine and deploy the stack; on failure or Ctrl-C nothing is left running.

    Args:
        choice: Where the engine keeps its state.
        port: Of the engine; a free one by default.
        time_scale: Factor by which waits are shortened.
        parameters: Of the template, beside those in samconfig.toml.

    Raises:
        CommandError: An engine runs already, the port is taken, or the deployment failed.
    """
    with progress("starting the embedded AWS") as say:
        try:
            engine = engines.start(
                choice.state_dir, port=port, time_scale=time_scale, on_message=say
            )
        except EngineAlreadyRunningError as error:
            raise CommandError(
                str(error), Exit.CONFLICT, "use it, or stop it: steward down"
            ) from None
        except EngineError as error:
            raise CommandError(str(error)) from None
        try:
            say("building and deploying the stack")
            outputs = deploy_stack(engine, say, parameters)
        except BaseException as error:
            engines.stop(choice.state_dir)
            if isinstance(error, EngineError):
                raise CommandError(str(error)) from None
            raise
    return engine, outputs


def deploy_stack(
    engine: engines.Engine, say: Callable[[str], None],
    parameters: Mapping[str, str] | None = None, environment: str = "local",
) -> dict[str, str]:  # fmt: skip
    """Deploy the stack into the account that the engine is seen by; return its outputs."""
    outputs = deploy(
        engine, on_line=lambda line: say(line.strip()[:100]), parameters=parameters,
        environment=environment,
    )  # fmt: skip
    publish_image(engine, outputs["JobImageParameterName"])
    return outputs


def publish_image(engine: engines.Engine, parameter: str) -> None:
    """Record the digest of the local job entry points where an ECR digest is on AWS."""
    import boto3

    boto3.client(
        "ssm", endpoint_url=engine.endpoint, region_name=engine.region,
        aws_access_key_id=engine.access_key, aws_secret_access_key=engine.secret_key,
    ).put_parameter(
        Name=parameter, Value=local_image_uri(), Type="String", Overwrite=True
    )  # fmt: skip


def down(context: typer.Context, json_: Json = False) -> None:
    """Stop the embedded AWS of this folder and everything it started, and nothing else.

    Example: `steward down`
    """
    choice: Choice = context.obj
    with progress("stopping the embedded AWS"):
        try:
            engines.stop(choice.state_dir)
        except EngineNotRunningError as error:
            raise CommandError(str(error), Exit.NOT_FOUND) from None
        except EngineError as error:
            raise CommandError(str(error)) from None
    show({"stopped": True}, json_, lambda console: console.print("Stopped."))


def repository_root() -> Path:
    """Return the folder of this checkout, which holds the templates.

    Raises:
        CommandError: The command is not run from a checkout of Steward.
    """
    root = Path(__file__).resolve().parents[3]
    if not (root / "template.yaml").is_file():
        raise CommandError(
            f"{root} holds no template.yaml", Exit.NOT_FOUND, "install Steward from its checkout"
        )
    return root
