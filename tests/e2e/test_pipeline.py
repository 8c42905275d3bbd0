"""A project's CodePipeline on the deployed stack: its actions, its approval, what stops it.

One commit goes all the way, from a source zip to its release, by the machines themselves. Where
another one only shows who may approve, the integration's record is written by its contract.
"""

from __future__ import annotations

import io
import uuid
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from steward.ports import Table
from steward_cli.asking import ask
from steward_cli.commands.versions import decide
from steward_cli.demo import data as diabetes
from steward_cli.demo.people import acting_as
from support.laboratory_stack import Laboratory, eventually

pytestmark = pytest.mark.e2e
NAME = "piped"
CAUTIOUS = """

_answer = predict_fn


def predict_fn(rows, model):
    if any(row["bmi"] > 70 for row in rows):
        raise ValueError("nobody in training was like that")
    return _answer(rows, model)
"""


class Delivery:
    """One project's pipeline with a source in S3."""

    def __init__(self, lab: Laboratory) -> None:
        self.lab, self.name = lab, f"steward-local-{NAME}"
        self.client, self.bucket = lab.target.client("codepipeline"), f"sources-{uuid.uuid4().hex}"
        s3 = lab.target.client("s3")
        s3.create_bucket(Bucket=self.bucket)
        s3.put_bucket_versioning(Bucket=self.bucket, VersioningConfiguration={"Status": "Enabled"})
        s3.put_bucket_notification_configuration(
            Bucket=self.bucket, NotificationConfiguration={"EventBridgeConfiguration": {}}
        )

    def commit(self, *, commands: list[str]) -> str:
        """Put a source whose build runs these commands; return the execution that it starts."""
        folder, buffer = self.lab.folder / NAME, io.BytesIO()
        spec = {"version": 0.2, "phases": {"build": {"commands": commands}}}
        with zipfile.ZipFile(buffer, "w") as archive:
            for path in sorted(folder.rglob("*")):
                if path.is_file() and path.name != "buildspec.yaml":
                    archive.write(path, path.relative_to(folder).as_posix())
            archive.writestr("buildspec.yaml", yaml.safe_dump(spec))
        before = set(self.executions())
        self.lab.target.client("s3").put_object(
            Bucket=self.bucket, Key="main.zip", Body=buffer.getvalue()
        )
        started = eventually(lambda: set(self.executions()) - before, "an execution")
        return str(started.pop())

    def executions(self) -> dict[str, str]:
        try:
            found = self.client.list_pipeline_executions(pipelineName=self.name)
        except self.client.exceptions.PipelineNotFoundException:
            return {}
        summaries = found["pipelineExecutionSummaries"]
        return {one["pipelineExecutionId"]: one["status"] for one in summaries}

    def action(self, execution: str, name: str, *statuses: str) -> dict[str, Any]:
        """Wait for an action of an execution to be in a status; return what is told of it."""

        def read() -> dict[str, Any] | None:
            details = self.client.list_action_executions(
                pipelineName=self.name, filter={"pipelineExecutionId": execution}
            )["actionExecutionDetails"]
            for one in details:
                if one["actionName"] == name and one["status"] in statuses:
                    return dict(one)
            failed = [one for one in details if one["status"] == "Failed"]
            assert not failed, failed
            return None

        return eventually(read, f"{name} {statuses}")

    def binding(self, execution: str) -> dict[str, Any]:
        key = f"pipeline#{execution}"
        return eventually(lambda: self._record(key), "the binding")

    def _record(self, key: str) -> dict[str, Any] | None:
        return self.lab.state._store.get(Table.RUNS, {"project": NAME, "run_id": key})

    def integrate(self, execution: str, version: int) -> None:
        """Write what the integration and the run of the commit leave."""
        commit, run = self.binding(execution)["commit_id"], self.lab.state.version(NAME, version)
        items = [
            {"run_id": f"commit#{commit}#1", "status": "succeeded", "attempt": 1,
             "commit_id": commit, "training_run_id": run["run_id"]},
        ]  # fmt: skip
        table = self.lab.target.output("RunsTable")
        dynamodb = self.lab.target.client("dynamodb")
        for item in items:
            kept = {k: {"N": str(v)} if isinstance(v, int) else {"S": v} for k, v in item.items()}
            dynamodb.put_item(TableName=table, Item={"project": {"S": NAME}, **kept})
        dynamodb.update_item(
            TableName=table, Key={"project": {"S": NAME}, "run_id": {"S": run["run_id"]}},
            UpdateExpression="SET #s = :s, version = :v",
            ExpressionAttributeNames={"#s": "status"},
            ExpressionAttributeValues={":s": {"S": "succeeded"}, ":v": {"N": str(version)}},
        )  # fmt: skip


@pytest.fixture(scope="module")
def delivery(lab: Laboratory) -> Delivery:
    """The pipeline, deployed by the command, of a project whose code cannot train yet."""
    lab.add_project(NAME, {"src/train.py": "raise SystemExit('not written yet')\n"})
    lab.deliver(NAME)
    lab.run(NAME, "failed")
    made = Delivery(lab)
    source = f"s3:{made.bucket}/main.zip"
    said = lab.steward("project", "add", str(lab.folder / NAME), "--pipeline", source)
    assert said["pipeline_stack"].endswith(f"-pipeline-{NAME}")
    return made


@pytest.fixture
def kept_from_integration(delivery: Delivery) -> Iterator[None]:
    """Keep commits from the integration: the test writes what it would leave."""
    lab = delivery.lab
    physical = str(lab.resources("Training")["StartIntegrationFunctionOnCommitRule"])
    rule = {"Name": physical.rpartition("|")[2], "EventBusName": lab.target.output("BusName")}
    events = lab.target.client("events")
    events.disable_rule(**rule)
    yield
    events.enable_rule(**rule)


def test_a_commit_whose_tests_fail_stops_before_it_is_integrated(delivery: Delivery) -> None:
    execution = delivery.commit(commands=["echo two tests failed", "exit 3"])
    failed = delivery.action(execution, "Test", "Failed")
    assert "two tests failed" in failed["output"]["executionResult"]["errorDetails"]["message"]
    assert delivery._record(f"pipeline#{execution}") is None


@pytest.mark.timeout(600)
def test_a_commit_goes_by_itself_from_its_source_to_its_release_but_for_one_approval(
    delivery: Delivery, projects: Path
) -> None:
    lab = delivery.lab
    code = projects / "diabetes" / "src" / "train.py"
    (lab.folder / NAME / "src" / "train.py").write_bytes(code.read_bytes())

    execution = delivery.commit(commands=["test -f project.yaml"])

    said = delivery.action(execution, "Integrate", "Succeeded")["output"]["outputVariables"]
    bound = delivery.binding(execution)
    [record] = lab.state.integrations(NAME)
    assert record["commit_id"] == bound["commit_id"]
    assert record["status"] == "succeeded", record
    assert "passed" in record["tests"]["summary"]
    assert "kept the contract" in record["rehearsal"]["summary"]
    assert record["training_run_id"] == bound["training_run_id"] == said["RunId"]
    assert lab.state.project(NAME)["code_digest"] == record["code_digest"]
    delivery.action(execution, "Evidence", "Succeeded")
    run = lab.state.runs(NAME)[-1]
    assert (run["run_id"], run["status"]) == (record["training_run_id"], "succeeded")
    assert (run["trigger"]["kind"], run["trigger"]["cause"]) == (
        "commit", record["trigger"]["cause"],
    )  # fmt: skip
    delivery.action(execution, "Decide", "InProgress")
    for person in ("ana", "bo"):  # CodePipeline vouches for no author, so that it takes two
        decide(acting_as(lab.choice, person), NAME, 1, "approve", "ok")
    approved = delivery.action(execution, "Verify", "Succeeded")["output"]["outputVariables"]
    assert {one.rpartition("/")[2] for one in approved["Approvers"].split(",")} == {"ana", "bo"}
    released = delivery.action(execution, "Release", "Succeeded")
    assert released["output"]["outputVariables"]["ReleaseId"] == "00000001-1"
    assert [one["release_id"] for one in lab.state.releases(NAME)] == ["00000001-1"]
    bound = delivery.binding(execution)
    assert (bound["version"], bound["release_id"]) == (1, "00000001-1")
    told = eventually(
        lambda: delivery.action(execution, "Monitoring", "InProgress")["output"]["executionResult"][
            "externalExecutionSummary"
        ],
        "an answer of monitoring",
    )
    assert "version 1 was not looked at yet" in told


def test_what_production_was_asked_stops_a_commit_that_cannot_answer_it(
    delivery: Delivery,
) -> None:
    """Version 1 is live from the test before, and answers a patient whom no delivery knows."""
    lab, home = delivery.lab, delivery.lab.folder / NAME
    before = lab.state.project(NAME)
    [heavy, *others] = diabetes.traffic_rows()[:5]
    heavy = {**heavy, "features": {**heavy["features"], "bmi": 75.0}}  # type: ignore[dict-item]
    url = lab.ward.output("GatewayUrl")
    asked = [ask(lab.ward, url, NAME, row) for row in (heavy, *others)]
    assert [one.status for one in asked] == [200] * 5, asked[0].body
    s3, bucket = lab.target.client("s3"), lab.target.output("CaptureBucketName")

    def captured() -> bool:
        found = s3.list_objects_v2(Bucket=bucket, Prefix="exposures/").get("Contents", [])
        bodies = [lab.read(f"s3://{bucket}/{one['Key']}") for one in found]
        return sum(body.count(f'"project":"{NAME}"'.encode()) for body in bodies) >= 5

    eventually(captured, "the capture of five requests")
    declaration, code = home / "project.yaml", home / "src" / "inference.py"
    kept = {path: path.read_text() for path in (declaration, code)}
    assert kept[declaration].count("recorded_requests: 0\n") == 1
    declaration.write_text(kept[declaration].replace("requests: 0\n", "requests: 8\n"))
    code.write_text(kept[code] + CAUTIOUS)

    execution = delivery.commit(commands=["true"])

    failed = delivery.action(execution, "Integrate", "Failed")
    for path, text in kept.items():
        path.write_text(text)
    told = failed["output"]["executionResult"]["errorDetails"]["message"]
    assert "RehearsalFailedError" in told
    assert "recorded v1-" in told
    commit = delivery.binding(execution)["commit_id"]
    [record] = [one for one in lab.state.integrations(NAME) if one["commit_id"] == commit]
    recorded = record["rehearsal"]["recorded"]
    assert (recorded["origin"], recorded["versions"], recorded["asked"]) == ("captured", [1], 5)
    [fault] = record["rehearsal"]["failed"]
    assert "status 500 instead of 200" in fault
    assert lab.state.project(NAME) == before


@pytest.mark.usefixtures("kept_from_integration")
def test_an_approval_in_the_console_does_not_count(
    delivery: Delivery, trained: dict[str, Any]
) -> None:
    lab, client = delivery.lab, delivery.client
    version, releases = lab.register(NAME, trained), lab.state.releases(NAME)
    lab.version(NAME, version, "pending")
    clicked = delivery.commit(commands=["test -f project.yaml"])
    delivery.integrate(clicked, version)
    delivery.action(clicked, "Decide", "InProgress")
    state = client.get_pipeline_state(name=delivery.name)
    [stage] = [one for one in state["stageStates"] if one["stageName"] == "Approve"]
    client.put_approval_result(
        pipelineName=delivery.name, stageName="Approve", actionName="Decide",
        token=stage["actionStates"][0]["latestExecution"]["token"],
        result={"status": "Approved", "summary": "looks good"},
    )  # fmt: skip
    failed = delivery.action(clicked, "Verify", "Failed")
    assert "alone does not count" in failed["output"]["executionResult"]["errorDetails"]["message"]
    assert len(lab.state.releases(NAME)) == len(releases)


@pytest.mark.usefixtures("kept_from_integration")
def test_a_pipeline_that_may_not_invoke_steward_fails_with_the_reason(delivery: Delivery) -> None:
    lab, stack = delivery.lab, f"{delivery.lab.target.stack}-pipeline-{NAME}"
    found = lab.target.client("cloudformation").describe_stack_resource(
        StackName=stack, LogicalResourceId="InvokeRole"
    )["StackResourceDetail"]["PhysicalResourceId"]
    with lab.without_action(found, "lambda:InvokeFunction"):
        execution = delivery.commit(commands=["true"])
        failed = delivery.action(execution, "Integrate", "Failed")
    details = failed["output"]["executionResult"]["errorDetails"]
    assert details["code"] == "PermissionError"
    assert "lambda:InvokeFunction" in details["message"]
