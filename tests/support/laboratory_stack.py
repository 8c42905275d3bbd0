"""Handles on a deployed stack for fault tests: take something away, watch, put it back."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml
from typer.testing import CliRunner

from steward_cli.app import app
from steward_cli.commands.data import deliver
from steward_cli.commands.project import deploy_project_stack, push
from steward_cli.commands.versions import decide
from steward_cli.demo import data as diabetes
from steward_cli.demo.people import acting_as
from steward_cli.sources import read_source
from steward_cli.state import StackState
from steward_cli.target import Choice, Target
from steward_local.sagemaker import capacity

T = TypeVar("T")


PATIENCE_S = 240.0
"""How long a test waits; it ends a test that hangs, and says nothing about speed."""


def eventually(read: Callable[[], T | None], what: str, within: float = PATIENCE_S) -> T:
    """Return the first value that is neither None nor empty, or fail.

    The longer it takes, the longer is the pause before the next look, as a look may cost as much
    as what is waited for.
    """
    began = time.monotonic()
    while (waited := time.monotonic() - began) < within:
        value = read()
        if value:
            return value
        time.sleep(min(1.0, max(0.1, waited / 10)))
    raise AssertionError(f"{what} did not happen within {within} s")


def turning(good: str, bad: str, marker: Path) -> str:
    """Return serving code that staging finds good, and that is bad once the marker is there.

    What a version is made of is frozen with its evidence, so its artifact cannot be exchanged.
    """
    return (
        f"from pathlib import Path\n\n"
        f"exec({bad!r} if Path({str(marker)!r}).exists() else {good!r})\n"
    )


@dataclass
class Laboratory:
    """One deployed stack and what tests do to it."""

    target: Target
    choice: Choice
    projects: Path
    folder: Path
    _resources: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.state = StackState(self.target)
        self.theo = acting_as(self.choice, "theo")
        self.ana = acting_as(self.choice, "ana")
        self.ward = acting_as(self.choice, "ward-app")

    def add_project(self, name: str, files: dict[str, str] | None = None) -> None:
        """Add a project like the demo's without feature groups and bias, some files replaced.

        Without bias no rule is in doubt on its few rows, so that one person may approve.
        """
        home = self.folder / name
        if home.exists():
            shutil.rmtree(home)
        shutil.copytree(self.projects / "diabetes", home)
        declaration = home / "project.yaml"
        text = declaration.read_text(encoding="utf-8")
        for old, new in (
            ("project: diabetes", f"project: {name}"),
            ("features:\n  - group: labs\n", "features: []\n"),
        ):
            assert text.count(old) == 1
            text = text.replace(old, new)
        text, sections = re.subn(r"(?m)^bias:\n(?:[ ].*\n)+", "", text)
        assert sections == 1
        declaration.write_text(text, encoding="utf-8")
        shutil.rmtree(home / "features")
        for path, content in (files or {}).items():
            (home / path).write_text(content, encoding="utf-8")
        source = read_source(home)
        deploy_project_stack(self.target, source.project)
        push(self.theo, source)

    def add_declared(self, declared: dict[str, Any], *groups: dict[str, Any]) -> Path:
        """Add a project of a declaration whose training ends at once; return its folder."""
        home = self.folder / str(declared["project"])
        (home / "features").mkdir(parents=True, exist_ok=True)
        (home / "src").mkdir(exist_ok=True)
        (home / "src" / "train.py").write_text("raise SystemExit('enough')", encoding="utf-8")
        own = {name: value for name, value in declared.items() if name != "feature_groups"}
        (home / "project.yaml").write_text(yaml.safe_dump(own), encoding="utf-8")
        for group in groups:
            path = home / "features" / f"{group['feature_group']}.yaml"
            path.write_text(yaml.safe_dump(group), encoding="utf-8")
        source = read_source(home)
        deploy_project_stack(self.target, source.project)
        push(self.theo, source)
        return home

    def steward(
        self, *words: str, exit_code: int = 0, as_json: bool = True, person: str | None = None
    ) -> Any:
        """Run the command on this stack; return what it prints, parsed where it is JSON.

        Args:
            words: The command.
            exit_code: What it must end with.
            as_json: Whether to ask for JSON.
            person: Whose rights it has; the administrator's where nobody is named.
        """
        options = ["--target", "local", "--state-dir", str(self.choice.state_dir)]
        options += ["--profile", person] if person else []
        options += ["--stack", self.choice.stack] if self.choice.stack else []
        run = CliRunner().invoke(app, [*options, *words, *(["--json"] if as_json else [])])
        assert run.exit_code == exit_code, f"{run.output}{run.exception!r}"
        return json.loads(run.stdout) if as_json else run.output

    def steward_error(self, *words: str) -> str:
        """Run the command as a person does, where it must fail; return what it says, on a line."""
        command = [str(Path(sys.executable).with_name("steward")), "--target", "local"]
        run = subprocess.run(
            [*command, "--state-dir", str(self.choice.state_dir), *words],
            capture_output=True, text=True, timeout=240, check=False,
        )  # fmt: skip
        assert run.returncode != 0, run.stdout
        return " ".join(run.stderr.split())

    def put_delivery(self, project: str, path: str, content: bytes) -> str:
        """Deliver bytes; return the delivery's id."""
        self.target.client("s3").put_object(
            Bucket=self.target.output("DataBucketName"), Key=f"deliveries/{project}/{path}",
            Body=content,
        )  # fmt: skip
        return hashlib.sha256(content).hexdigest()

    def delivery(self, project: str, delivery_id: str, *statuses: str) -> dict[str, Any]:
        """Wait until a delivery has one of these statuses."""

        def read() -> dict[str, Any] | None:
            for item in self.state.deliveries(project):
                if item["delivery_id"] == delivery_id and item["status"] in statuses:
                    return item
            return None

        what = f"delivery {delivery_id[:12]} of {project} that is {statuses}"
        return eventually(read, what)

    def read(self, uri: str) -> bytes:
        """Return an object's bytes."""
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        body: bytes = self.target.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
        return body

    def configure(self, project: str, old: str, new: str) -> None:
        """Change one text of a project's declaration and push it."""
        declaration = self.folder / project / "project.yaml"
        text = declaration.read_text(encoding="utf-8")
        assert text.count(old) == 1
        declaration.write_text(text.replace(old, new), encoding="utf-8")
        push(self.theo, read_source(self.folder / project))

    def register(self, project: str, like: dict[str, Any], inference: str | None = None) -> int:
        """Register another version from the candidate that a trained project's version is.

        Args:
            project: Where it is registered, by the function that training ends with.
            like: The record of the trained version.
            inference: Serving code to put in the place of the trained version's.
        """
        run_id = f"{uuid.uuid4().hex[:12]}-1"
        dynamodb, runs = self.target.client("dynamodb"), self.target.output("RunsTable")
        key = {"project": {"S": like["project"]}, "run_id": {"S": like["run_id"]}}
        run = dynamodb.get_item(TableName=runs, Key=key)["Item"]
        run |= {"project": {"S": project}, "run_id": {"S": run_id}}
        dynamodb.put_item(TableName=runs, Item=run)
        copied = (
            "author", "config_digest", "code_digest", "artifact_uri", "job_image", "dataset_id",
            "manifest_uri", "evaluation_uri", "comparison_uri", "champion_version", "baseline",
            "explanation", "gate",
        )  # fmt: skip
        command = {name: like[name] for name in copied if name in like}
        command |= {"project": project, "run_id": run_id, "correlation_id": run_id}
        if inference is not None:
            artifact = f"models/{project}/{run_id}/model.tar.gz"
            command["artifact_uri"] = self.repack(like["artifact_uri"], artifact, inference)
        answer = self.target.client("lambda").invoke(
            FunctionName=self.function("Registry", "RegisterVersionFunction"),
            Payload=json.dumps(command, default=int).encode(),
        )
        body = json.loads(answer["Payload"].read())
        assert "FunctionError" not in answer, body
        return int(body["version"])

    def repack(self, uri: str, key: str, inference: str) -> str:
        """Store an artifact again with other serving code; return where."""
        s3 = self.target.client("s3")
        bucket, _, source = uri.removeprefix("s3://").partition("/")
        packed = io.BytesIO(s3.get_object(Bucket=bucket, Key=source)["Body"].read())
        out = io.BytesIO()
        with tarfile.open(fileobj=packed) as old, tarfile.open(fileobj=out, mode="w:gz") as new:
            for member in old.getmembers():
                data = old.extractfile(member)
                content = data.read() if data else b""
                if member.name.endswith("code/inference.py"):
                    content = inference.encode()
                    member.size = len(content)
                new.addfile(member, io.BytesIO(content) if data else None)
        s3.put_object(Bucket=bucket, Key=key, Body=out.getvalue())
        return f"s3://{bucket}/{key}"

    def endpoint(self, name: str) -> str | None:
        """Return an endpoint's status, None where there is none."""
        client = self.target.client("sagemaker")
        try:
            return str(client.describe_endpoint(EndpointName=name)["EndpointStatus"])
        except client.exceptions.ClientError:
            return None

    def alarm(self, project: str, signal: str) -> None:
        """Let a guardrail's alarm of a project go from OK to ALARM."""
        cloudwatch = self.target.client("cloudwatch")
        name = f"steward-{self.target.environment_name}-{project}-candidate-{signal}"
        for state in ("OK", "ALARM"):
            cloudwatch.set_alarm_state(AlarmName=name, StateValue=state, StateReason="a test")

    def deliver(self, project: str, number: int = 1) -> None:
        """Deliver one of the demo's files."""
        deliver(self.target, project, diabetes.write_deliveries(self.folder)[number - 1])

    def approve(self, project: str, version: int) -> dict[str, Any]:
        """Approve as ana."""
        return decide(self.ana, project, version, "approve", "ok")

    def run(self, project: str, *statuses: str, within: float = PATIENCE_S) -> dict[str, Any]:
        """Wait until the project's newest run has one of these statuses."""

        def read() -> dict[str, Any] | None:
            runs = self.state.runs(project)
            return runs[-1] if runs and runs[-1]["status"] in statuses else None

        return eventually(read, f"a run of {project} that is {statuses}", within)

    def version(
        self, project: str, number: int, *states: str, within: float = PATIENCE_S
    ) -> dict[str, Any]:
        """Wait until a version has one of these states."""

        def read() -> dict[str, Any] | None:
            found = [v for v in self.state.versions(project) if int(v["version"]) == number]
            return found[0] if found and found[0]["state"] in states else None

        return eventually(read, f"version {number} of {project} that is {states}", within)

    def lock(self, name: str) -> dict[str, Any] | None:
        """Return a lock that is held, or None."""
        found = self.target.client("dynamodb").get_item(
            TableName=self.target.output("LocksTable"), Key={"lock": {"S": name}},
            ConsistentRead=True,
        ).get("Item")  # fmt: skip
        if not found or not found.get("owner", {}).get("S"):
            return None
        expires = float(found.get("lease_expires_at", {}).get("N", "0"))
        return found if expires > time.time() else None

    def domains(self) -> list[str]:
        """Return the logical ids of the nested stacks."""
        cloudformation = self.target.client("cloudformation")
        root = cloudformation.describe_stack_resources(StackName=self.target.stack)
        return [
            resource["LogicalResourceId"]
            for resource in root["StackResources"]
            if resource["ResourceType"] == "AWS::CloudFormation::Stack"
        ]

    def resources(self, domain: str) -> dict[str, Any]:
        """Return physical ids by logical id of a domain's stack."""
        if domain not in self._resources:
            cloudformation = self.target.client("cloudformation")
            root = cloudformation.describe_stack_resources(StackName=self.target.stack)
            nested = next(
                r["PhysicalResourceId"]
                for r in root["StackResources"]
                if r["LogicalResourceId"] == domain
            )
            found = cloudformation.describe_stack_resources(StackName=nested)["StackResources"]
            self._resources[domain] = {
                r["LogicalResourceId"]: r["PhysicalResourceId"] for r in found
            }
        return self._resources[domain]

    def function(self, domain: str, name: str) -> str:
        """Return a function's physical name."""
        return str(self.resources(domain)[name])

    def role_of_function(self, domain: str, name: str) -> str:
        """Return the name of a function's role."""
        described = self.target.client("lambda").get_function_configuration(
            FunctionName=self.function(domain, name)
        )
        return str(described["Role"]).rsplit("/", 1)[-1]

    def role_of_machine(self, arn: str) -> str:
        """Return the name of a machine's role."""
        described = self.target.client("stepfunctions").describe_state_machine(stateMachineArn=arn)
        return str(described["roleArn"]).rsplit("/", 1)[-1]

    @contextlib.contextmanager
    def without_action(self, role: str, action: str) -> Iterator[None]:
        """Take every statement that allows an action out of a role's inline policies."""
        iam = self.target.client("iam")
        before: dict[str, str] = {}
        for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
            document = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
            statements = document["Statement"]
            kept = [s for s in statements if action not in _listed(s["Action"])]
            if len(kept) != len(statements):
                before[name] = json.dumps(document)
                if kept:
                    changed = json.dumps({**document, "Statement": kept})
                    iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=changed)
                else:
                    iam.delete_role_policy(RoleName=role, PolicyName=name)
        assert before, f"no inline statement of {role} allows {action}"
        try:
            yield
        finally:
            for name, document in before.items():
                iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=document)

    @contextlib.contextmanager
    def timeout_of(self, arn: str, seconds: int) -> Iterator[None]:
        """Give a machine another top-level timeout."""
        states = self.target.client("stepfunctions")
        before = states.describe_state_machine(stateMachineArn=arn)["definition"]
        changed = json.dumps({**json.loads(before), "TimeoutSeconds": seconds})
        states.update_state_machine(stateMachineArn=arn, definition=changed)
        try:
            yield
        finally:
            states.update_state_machine(stateMachineArn=arn, definition=before)

    @contextlib.contextmanager
    def redefined(self, arn: str, old: str, new: str) -> Iterator[None]:
        """Change one text of a machine's definition."""
        states = self.target.client("stepfunctions")
        before = states.describe_state_machine(stateMachineArn=arn)["definition"]
        assert before.count(old) == 1
        states.update_state_machine(stateMachineArn=arn, definition=before.replace(old, new))
        try:
            yield
        finally:
            states.update_state_machine(stateMachineArn=arn, definition=before)

    @contextlib.contextmanager
    def without_capacity(self, endpoint: str, lack: str) -> Iterator[None]:
        """Let SageMaker have no room for an endpoint; see ``steward_local.sagemaker.capacity``."""
        file = self.choice.state_dir / capacity.FILE
        file.write_text(json.dumps({endpoint: lack}), encoding="utf-8")
        try:
            yield
        finally:
            file.unlink()

    @contextlib.contextmanager
    def throttled(self, function: str) -> Iterator[None]:
        """Let a function run not even once at a time."""
        client = self.target.client("lambda")
        client.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=0)
        try:
            yield
        finally:
            client.delete_function_concurrency(FunctionName=function)

    def execution(self, machine_output: str, prefix: str, *, running: bool = False) -> Any:
        """Wait for an execution whose name starts so; return its description."""
        states = self.target.client("stepfunctions")

        def read() -> Any:
            listed = states.list_executions(stateMachineArn=self.target.output(machine_output))
            for found in listed["executions"]:
                if found["name"].startswith(prefix) and ((found["status"] == "RUNNING") is running):
                    return states.describe_execution(executionArn=found["executionArn"])
            return None

        return eventually(read, f"an execution {prefix}")

    def history(self, execution_arn: str) -> list[dict[str, Any]]:
        """Return an execution's events."""
        pages = self.target.client("stepfunctions").get_paginator("get_execution_history")
        return [
            event
            for page in pages.paginate(executionArn=execution_arn, maxResults=1000)
            for event in page["events"]
        ]

    def refused(self, execution_arn: str, error: str) -> None:
        """Wait until a task of an execution has failed with this error.

        The execution may be about to begin: a record names it before it is started.
        """
        states = self.target.client("stepfunctions")

        def read() -> bool:
            try:
                events = self.history(execution_arn)
            except states.exceptions.ExecutionDoesNotExist:
                return False
            details = [e.get("taskFailedEventDetails", {}) for e in events]
            return any(detail.get("error") == error for detail in details)

        eventually(read, f"a task of {execution_arn} that fails with {error}")


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
