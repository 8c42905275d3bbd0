"""What `make aws-smoke` does on a deployed stack: play the main job, and take everything down.

``python .ci/aws_smoke.py play PROJECT`` needs a stack with a job image and the project added. It
delivers data, waits for the staged version, approves it as a second person, asks for predictions
when it is live, and delivers a malformed file. ``commit PROJECT`` puts a source for a CodePipeline,
``pipeline PROJECT`` follows it and clicks on its approval, which must not count.
``teardown PROJECT`` deletes the stack and what it
retains by design. Both act on STEWARD_TARGET and STEWARD_STACK, as the `steward` command does.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError

from steward.domain.names import hosted_of
from steward.domain.pipelines import pipeline_name
from steward_cli.asking import ask_all
from steward_cli.commands.data import deliver
from steward_cli.commands.project import project_stack_name
from steward_cli.commands.versions import decide
from steward_cli.console import CommandError
from steward_cli.demo import data
from steward_cli.pipeline_stack import pipeline_stack_name
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


def _sources(target: Target) -> str:
    account = target.identity().split(":")[4]
    return f"{target.stack}-sources-{account}"


def pipeline(target: Target, project: str) -> None:
    """Commit to a pipeline and approve in its console: what only AWS can show.

    Raises:
        CommandError: An approval that is not Steward's led past its verification.
    """
    client, name = target.client("codepipeline"), pipeline_name(target.environment_name, project)
    pause_s = 0.5 if target.engine else 15

    def action(wanted: str) -> dict[str, Any]:
        details = client.list_action_executions(pipelineName=name)["actionExecutionDetails"]
        found = [one for one in details if one["actionName"] == wanted]
        return dict(found[0]) if found else {"status": "none"}

    def ended(wanted: str) -> str:
        found = action(wanted)
        if found["status"] == "Failed":
            raise CommandError(f"{wanted}: {found['output']['executionResult']}")
        return str(found["status"]) if found["status"] == "Succeeded" else ""

    def waits() -> bool:
        return bool(action("Decide")["status"] == "InProgress")

    for wanted in ("Test", "Integrate"):
        _until(f"action {wanted}", lambda w=wanted: ended(w), pause_s)  # type: ignore[misc]
    _until("the gate", lambda: action("Evidence")["status"] in ("Failed", "Succeeded"), pause_s)
    if action("Evidence")["status"] == "Failed":  # nothing is better than what serves already
        _say(f"the gate stopped the pipeline: {action('Evidence')['output']['executionResult']}")
        return
    _until("the staging tests", lambda: ended("Tests"), pause_s)
    _until("the approval action waits", waits, pause_s)
    [stage] = [
        one
        for one in client.get_pipeline_state(name=name)["stageStates"]
        if one["stageName"] == "Approve"
    ]
    client.put_approval_result(
        pipelineName=name, stageName="Approve", actionName="Decide",
        token=stage["actionStates"][0]["latestExecution"]["token"],
        result={"status": "Approved", "summary": "smoke test"},
    )  # fmt: skip
    _until("verified", lambda: action("Verify")["status"] in ("Failed", "Succeeded"), pause_s)
    told = action("Verify")
    if told["status"] != "Failed":
        raise CommandError("an approval in the console alone led on to the release")
    _say(f"the console's approval does not count: {told['output']['executionResult']}")


def commit(target: Target, project: str) -> None:
    """Put the project's folder as the source of its pipeline, in a bucket made for it."""
    s3, bucket = target.client("s3"), _sources(target)
    if target.region == "us-east-1":
        s3.create_bucket(Bucket=bucket)
    else:
        s3.create_bucket(
            Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": target.region}
        )
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    s3.put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={"EventBridgeConfiguration": {}}
    )
    buffer, folder = io.BytesIO(), Path("projects") / project
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                content = path.read_bytes()
                if path.name == "train.py":
                    content += b"\n# another code digest, so that it is trained\n"
                archive.writestr(path.relative_to(folder).as_posix(), content)
    s3.put_object(Bucket=bucket, Key="source.zip", Body=buffer.getvalue())
    sys.stdout.write(f"s3:{bucket}/source.zip\n")


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
    """Delete what the project hosts in this environment; an account may have others."""
    sagemaker, environment = target.client("sagemaker"), target.environment_name
    for listing, key, delete, name in (
        ("list_endpoints", "Endpoints", sagemaker.delete_endpoint, "EndpointName"),
        ("list_endpoint_configs", "EndpointConfigs", sagemaker.delete_endpoint_config,
         "EndpointConfigName"),
        ("list_models", "Models", sagemaker.delete_model, "ModelName"),
    ):  # fmt: skip
        start = f"{environment}-{project}-v"
        for page in sagemaker.get_paginator(listing).paginate(NameContains=start):
            for found in page[key]:
                if (hosted_of(environment, found[name]) or ("",))[0] == project:
                    delete(**{name: found[name]})
    group = f"steward-{environment}-{project}"
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
    attempt("pipeline", lambda: _delete_stack(target, pipeline_stack_name(target, project)))
    attempt("sources", lambda: _delete_retained(target, "AWS::S3::Bucket", _sources(target)))
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
        actions = {"play": play, "commit": commit, "pipeline": pipeline, "teardown": teardown}
        actions[action](choose(choice), project)
    except CommandError as error:
        _say(f"smoke test: {error.message}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
