"""A project's CodePipeline on the deployed stack: its actions, its approval, what stops it.

The integration's and the run's records are written by their contracts, as training a model is
shown elsewhere; building, staging, approving and releasing are done.
"""

from __future__ import annotations

import io
import uuid
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from steward.ports import Table
from support.laboratory_stack import Laboratory, eventually

pytestmark = pytest.mark.e2e
NAME = "piped"


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
def delivery(lab: Laboratory, trained: dict[str, Any]) -> Iterator[Delivery]:
    """The pipeline, deployed by the command, and a version for each of two commits.

    What it asks the integration for is kept from it: the tests write what it would leave.
    """
    physical = str(lab.resources("Training")["StartIntegrationFunctionOnCommitRule"])
    rule = {"Name": physical.rpartition("|")[2], "EventBusName": lab.target.output("BusName")}
    events = lab.target.client("events")
    events.disable_rule(**rule)
    try:
        lab.add_project(NAME)
        for _ in range(2):
            lab.version(NAME, lab.register(NAME, trained), "pending")
        made = Delivery(lab)
        source = f"s3:{made.bucket}/main.zip"
        said = lab.steward("project", "add", str(lab.folder / NAME), "--pipeline", source)
        assert said["pipeline_stack"].endswith(f"-pipeline-{NAME}")
        yield made
    finally:
        events.enable_rule(**rule)


def test_a_commit_whose_tests_fail_stops_before_it_is_integrated(delivery: Delivery) -> None:
    execution = delivery.commit(commands=["echo two tests failed", "exit 3"])
    failed = delivery.action(execution, "Test", "Failed")
    assert "two tests failed" in failed["output"]["executionResult"]["errorDetails"]["message"]
    assert delivery._record(f"pipeline#{execution}") is None


def test_a_console_approval_does_not_count_and_stewards_own_releases(delivery: Delivery) -> None:
    lab, client = delivery.lab, delivery.client
    clicked = delivery.commit(commands=["test -f project.yaml"])
    delivery.integrate(clicked, 1)
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
    assert lab.state.releases(NAME) == []

    decided = delivery.commit(commands=["test -f project.yaml"])
    delivery.integrate(decided, 2)
    delivery.action(decided, "Decide", "InProgress")
    lab.approve(NAME, 2)
    approved = delivery.action(decided, "Verify", "Succeeded")
    assert approved["output"]["outputVariables"]["Approvers"].endswith("/ana")
    released = delivery.action(decided, "Release", "Succeeded")
    assert released["output"]["outputVariables"]["ReleaseId"] == "00000002-1"
    assert [one["release_id"] for one in lab.state.releases(NAME)] == ["00000002-1"]
    bound = delivery.binding(decided)
    assert (bound["version"], bound["release_id"]) == (2, "00000002-1")
    told = eventually(
        lambda: delivery.action(decided, "Monitoring", "InProgress")["output"]["executionResult"][
            "externalExecutionSummary"
        ],
        "an answer of monitoring",
    )
    assert "version 2 was not looked at yet" in told


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
