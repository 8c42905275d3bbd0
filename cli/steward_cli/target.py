"""Where a command acts: the embedded AWS of this folder, or an AWS account."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from steward.adapters.clients import Clients
from steward_cli.console import CommandError, Exit
from steward_local.engine import Engine, attach
from steward_local.errors import EngineNotRunningError

DEFAULT_STATE_DIR = Path(".steward")


@dataclass(frozen=True)
class Choice:
    """The options that every command shares."""

    target: str = "auto"
    stack: str | None = None
    profile: str | None = None
    region: str | None = None
    state_dir: Path = DEFAULT_STATE_DIR


@dataclass
class Target:
    """A chosen target with its clients and the outputs of the root stack."""

    kind: str
    stack: str
    region: str
    session: Any
    engine: Engine | None = None
    _clients: dict[str, Any] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        """Return a cached boto3 client."""
        if service not in self._clients:
            config = Config(retries={"mode": "standard", "max_attempts": 4}, connect_timeout=5)
            self._clients[service] = self.session.client(
                service,
                region_name=self.region,
                endpoint_url=self.engine.endpoint if self.engine else None,
                config=config,
            )
        return self._clients[service]

    @cached_property
    def outputs(self) -> dict[str, str]:
        """The outputs of the root stack by name.

        Raises:
            CommandError: There is no such stack, or the caller may not look.
        """
        try:
            stacks = self.client("cloudformation").describe_stacks(StackName=self.stack)["Stacks"]
        except ClientError as error:
            text = error.response["Error"].get("Message", str(error))
            missing = "does not exist" in text
            raise CommandError(
                f"stack {self.stack!r} in {self.region} ({self.kind}): {text}",
                Exit.NOT_FOUND if missing else Exit.DENIED,
                "deploy it first: `steward up` (laptop) or `sam build && sam deploy --guided` (AWS)"
                if missing
                else None,
            ) from None
        except BotoCoreError as error:
            raise CommandError(
                f"cannot reach AWS: {error}", Exit.UNREACHABLE, "is the region right? credentials?"
            ) from None
        return {o["OutputKey"]: o["OutputValue"] for o in stacks[0].get("Outputs", [])}

    def output(self, name: str) -> str:
        """Return one output that the stack must have."""
        try:
            return self.outputs[name]
        except KeyError:
            raise CommandError(
                f"stack {self.stack!r} has no output {name}", Exit.NOT_FOUND,
                "is it a stack of this version of Steward?",
            ) from None  # fmt: skip

    @property
    def environment_name(self) -> str:
        """The deployment environment that the stack was made for."""
        return self.output("Environment")

    def identity(self) -> str:
        """Return the ARN of the caller."""
        return str(self.client("sts").get_caller_identity()["Arn"])

    def console_url(self, path: str) -> str | None:
        """Return a deep link into the AWS console, or None on the embedded AWS."""
        if self.engine is not None:
            return None
        return f"https://{self.region}.console.aws.amazon.com/{path}"


class TargetClients(Clients):
    """Clients of a command's target, with its credentials."""

    def __init__(self, target: Target) -> None:
        super().__init__(target.region)
        self._target = target

    def get(self, service: str, *, read_timeout_s: float = 30, attempts: int = 4) -> Any:
        """Return a client of a service."""
        key = (service, read_timeout_s, attempts)
        if key not in self._clients:
            target = self._target
            config = Config(
                retries={"mode": "standard", "total_max_attempts": attempts},
                connect_timeout=5, read_timeout=read_timeout_s,
            )  # fmt: skip
            self._clients[key] = target.session.client(
                service, region_name=target.region, config=config,
                endpoint_url=target.engine.endpoint if target.engine else None,
            )  # fmt: skip
        return self._clients[key]


def choose(choice: Choice) -> Target:
    """Return the target that the options and the folder name.

    ``auto`` takes the embedded AWS where one runs in the state directory, else AWS.

    Raises:
        CommandError: ``local`` was asked for and nothing runs.
    """
    engine = None
    if choice.target in ("auto", "local"):
        try:
            engine = attach(choice.state_dir)
        except EngineNotRunningError as error:
            if choice.target == "local":
                raise CommandError(str(error), Exit.UNREACHABLE) from None
    if engine is not None:
        return local_target(engine, choice)
    session = boto3.Session(profile_name=choice.profile, region_name=choice.region)
    region = choice.region or os.environ.get("AWS_REGION") or session.region_name
    if not region:
        raise CommandError(
            "no AWS region is set, and no embedded AWS runs here", Exit.USAGE,
            "start one with `steward up`, or set AWS_REGION or --region",
        )  # fmt: skip
    stack = choice.stack or os.environ.get("STEWARD_STACK") or "steward-dev"
    return Target("aws", stack, region, session)


def local_target(engine: Engine, choice: Choice) -> Target:
    """Return the target of a running embedded AWS, as one of its people or as its admin."""
    people = credentials_file(choice.state_dir)
    if choice.profile:
        known = read_profiles(people)
        if choice.profile not in known:
            raise CommandError(
                f"no profile {choice.profile!r} on the embedded AWS", Exit.USAGE,
                f"known: {', '.join(sorted(known)) or 'none'} (in {people})",
            )  # fmt: skip
        access_key, secret_key = known[choice.profile]
    else:
        access_key, secret_key = engine.access_key, engine.secret_key
    session = boto3.Session(
        aws_access_key_id=access_key, aws_secret_access_key=secret_key, region_name=engine.region
    )
    stack = choice.stack or os.environ.get("STEWARD_STACK") or "steward-local"
    return Target("local", stack, engine.region, session, engine)


def cost_tags(target: Target, project: str | None = None) -> list[dict[str, str]]:
    """Return the tags of a stack, which CloudFormation gives to all that is in it."""
    tags = {"steward:stack": target.stack, "steward:environment": target.environment_name}
    if project is not None:
        tags["steward:project"] = project
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def credentials_file(state_dir: Path) -> Path:
    """Return the AWS credentials file of the embedded AWS's people."""
    return state_dir / "aws" / "credentials"


def read_profiles(path: Path) -> dict[str, tuple[str, str]]:
    """Return access key and secret by profile from an AWS credentials file."""
    import configparser

    parser = configparser.ConfigParser()
    parser.read(path)
    return {
        name: (parser[name]["aws_access_key_id"], parser[name]["aws_secret_access_key"])
        for name in parser.sections()
    }


def write_profile(path: Path, name: str, access_key: str, secret_key: str) -> None:
    """Add a profile to an AWS credentials file, readable by its owner alone."""
    import configparser

    parser = configparser.ConfigParser()
    parser.read(path)
    parser[name] = {"aws_access_key_id": access_key, "aws_secret_access_key": secret_key}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600, exist_ok=True)
    with path.open("w") as stream:
        parser.write(stream)
