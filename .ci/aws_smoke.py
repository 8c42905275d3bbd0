"""What `make aws-smoke` does on a deployed stack: play the main job, and take everything down.

``python .ci/aws_smoke.py play PROJECT`` needs a stack with a job image and the project added. It
delivers data, waits for the staged version, approves it as a second person, asks for predictions
when it is live, and delivers a malformed file. ``teardown PROJECT`` deletes the stack and what it
retains by design. Both act on STEWARD_TARGET and STEWARD_STACK, as the `steward` command does.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError

from steward_cli.commands.data import deliver
from steward_cli.commands.project import project_stack_name
from steward_cli.commands.versions import decide
from steward_cli.console import CommandError
from steward_cli.demo import data
from steward_cli.demo.traffic import ask_all
from steward_cli.state import StackState
from steward_cli.target import DEFAULT_STATE_DIR, Choice, Target, choose

_PATIENCE_S = 3600
_RETAINED = (
    "AWS::S3::Bucket", "AWS::DynamoDB::Table", "AWS::KMS::Key", "AWS::ECR::Repository",
)  # fmt: skip


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _until(what: str, probe: Callable[[], Any], pause_s: float) -> Any:
    """Return the first true answer of ``probe``."""
    began = time.monotonic()
    while time.monotonic() - began < _PATIENCE_S:
        found = probe()
        if found:
            _say(f"{what}: after {time.monotonic() - began:.0f} s")
            return found
        time.sleep(pause_s)
    raise CommandError(f"{what}: not within {_PATIENCE_S} s")


@contextlib.contextmanager
def _approver(target: Target) -> Iterator[Target]:
    """Yield the target as a second person: an IAM user with the approver policy."""
    iam, name = target.client("iam"), f"{target.stack}-approver"
    iam.create_user(UserName=name)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    try:
        policy = target.output("ApproverPolicyArn")
        iam.attach_user_policy(UserName=name, PolicyArn=policy)
        session = boto3.Session(
            aws_access_key_id=key["AccessKeyId"],
            aws_secret_access_key=key["SecretAccessKey"],
            region_name=target.region,
        )
        yield replace(target, session=session, _clients={})
    finally:
        iam.detach_user_policy(UserName=name, PolicyArn=policy)
        iam.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
        iam.delete_user(UserName=name)


def play(target: Target, project: str) -> None:
    """Deliver, approve, ask, deliver nonsense.

    Raises:
        CommandError: Something that must happen did not.
    """
    state = StackState(target)
    pause_s = 0.5 if target.engine else 10
    with tempfile.TemporaryDirectory() as folder:
        deliver(target, project, data.write_deliveries(Path(folder))[0])

        def staged() -> bool:
            ended = [run for run in state.runs(project) if run["status"] in ("failed", "held")]
            if ended:
                raise CommandError(f"the run ended as {ended[0]['status']}: {ended[0]}")
            return any(version["state"] == "pending" for version in state.versions(project))

        _until("version 1 is trained and staged", staged, pause_s)
        with _approver(target) as approver:

            def approved() -> bool:
                # A new user and its key take a while to be known everywhere.
                try:
                    return bool(decide(approver, project, 1, "approve", "smoke test")["state"])
                except CommandError as refused:
                    _say(f"not yet: {refused.message}")
                    return False

            _until("version 1 is approved", approved, pause_s)
        _until("version 1 is in production", lambda: state.champion(project) == 1, pause_s)
        asked = ask_all(target, target.output("GatewayUrl"), project, data.traffic_rows()[:20])
        failed = [answer for answer in asked if answer.status != 200]
        if failed:
            raise CommandError(f"{len(failed)} of {len(asked)} requests failed: {failed[0].body}")
        _say(f"{len(asked)} predictions, all answered by version 1")
        deliver(target, project, data.write_malformed(Path(folder)))
        _until(
            "the malformed delivery is rejected",
            lambda: any(item["status"] == "rejected" for item in state.deliveries(project)),
            pause_s,
        )


def _resources(cloudformation: Any, stack: str) -> Iterator[tuple[str, str]]:
    """Yield (type, physical id) of a stack and the stacks nested in it."""
    pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack)
    for page in pages:
        for resource in page["StackResourceSummaries"]:
            kind, physical = resource["ResourceType"], resource.get("PhysicalResourceId")
            if not physical:
                continue
            yield kind, physical
            if kind == "AWS::CloudFormation::Stack":
                yield from _resources(cloudformation, physical)


def _delete_stack(target: Target, stack: str) -> None:
    cloudformation = target.client("cloudformation")
    cloudformation.delete_stack(StackName=stack)
    cloudformation.get_waiter("stack_delete_complete").wait(
        StackName=stack, WaiterConfig={"Delay": 1 if target.engine else 15, "MaxAttempts": 240}
    )
    _say(f"deleted stack {stack}")


def _delete_models(target: Target, project: str) -> None:
    sagemaker = target.client("sagemaker")
    for listing, key, delete, name in (
        ("list_endpoints", "Endpoints", sagemaker.delete_endpoint, "EndpointName"),
        ("list_endpoint_configs", "EndpointConfigs", sagemaker.delete_endpoint_config,
         "EndpointConfigName"),
        ("list_models", "Models", sagemaker.delete_model, "ModelName"),
    ):  # fmt: skip
        for page in sagemaker.get_paginator(listing).paginate(NameContains=f"{project}-v"):
            for found in page[key]:
                delete(**{name: found[name]})
    group = f"steward-{target.environment_name}-{project}"
    pages = sagemaker.get_paginator("list_model_packages").paginate(ModelPackageGroupName=group)
    for page in pages:
        for package in page["ModelPackageSummaryList"]:
            sagemaker.delete_model_package(ModelPackageName=package["ModelPackageArn"])


def _delete_retained(target: Target, kind: str, physical: str) -> None:
    if kind == "AWS::S3::Bucket":
        s3 = target.client("s3")
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=physical):
            for entry in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
                s3.delete_object(Bucket=physical, Key=entry["Key"], VersionId=entry["VersionId"])
        s3.delete_bucket(Bucket=physical)
    elif kind == "AWS::DynamoDB::Table":
        target.client("dynamodb").delete_table(TableName=physical)
    elif kind == "AWS::KMS::Key":
        target.client("kms").schedule_key_deletion(KeyId=physical, PendingWindowInDays=7)
    else:
        target.client("ecr").delete_repository(repositoryName=physical, force=True)


def teardown(target: Target, project: str) -> None:
    """Delete the stacks, then what they retain; go on after a failure and report it.

    Raises:
        CommandError: Something is left.
    """
    left: list[str] = []

    def attempt(what: str, act: Callable[[], None]) -> None:
        try:
            act()
        except ClientError as error:
            text = str(error)
            if not any(gone in text for gone in ("NotFound", "NoSuch", "does not exist")):
                left.append(f"{what}: {text}")

    kept = [
        r for r in _resources(target.client("cloudformation"), target.stack) if r[0] in _RETAINED
    ]
    attempt("models", lambda: _delete_models(target, project))
    attempt("project", lambda: _delete_stack(target, project_stack_name(target, project)))
    attempt("stack", lambda: _delete_stack(target, target.stack))
    for kind, physical in kept:
        attempt(physical, lambda k=kind, p=physical: _delete_retained(target, k, p))  # type: ignore[misc]
    if left:
        raise CommandError("left behind: " + "; ".join(left))
    _say(f"nothing of {target.stack} is left but a key that waits for its deletion")


def main(arguments: list[str]) -> int:
    """Play or tear down; return the exit code."""
    action, project = arguments
    choice = Choice(
        os.environ.get("STEWARD_TARGET", "aws"),
        stack=os.environ.get("STEWARD_STACK"),
        state_dir=Path(os.environ.get("STEWARD_STATE_DIR", DEFAULT_STATE_DIR)),
    )
    try:
        {"play": play, "teardown": teardown}[action](choose(choice), project)
    except CommandError as error:
        _say(f"smoke test: {error.message}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
