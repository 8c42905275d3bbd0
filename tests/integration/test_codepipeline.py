"""CodePipeline on the embedded AWS: the projects' own template, played with its roles' rights."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.embedded import Account, eventually, unique

pytestmark = pytest.mark.integration
TEMPLATE = Path(__file__).resolve().parents[2] / "projects" / "pipeline.yaml"
# Answers every action at once, the first with a token before; tries to answer it twice.
ANSWERS = """
import json
import boto3

def handler(event, context):
    job, client = event["CodePipeline.job"], boto3.client("codepipeline")
    asked = json.loads(job["data"]["actionConfiguration"]["configuration"]["UserParameters"])
    token = job["data"].get("continuationToken")
    if asked["action"] == "integrate" and token is None:
        client.put_job_success_result(jobId=job["id"], continuationToken="began")
        try:
            client.put_job_success_result(jobId=job["id"])
        except client.exceptions.InvalidJobStateException:
            return
        raise AssertionError("a job was answered twice")
    told = {"Version": "2", "EvidenceDigest": "abc", "Token": token or "none",
            "Execution": asked["execution_id"], "Commit": asked.get("commit_id", "")}
    if asked["action"] == "verify_approval":
        details = {"type": "JobFailed", "message": "there is no record"}
        return client.put_job_failure_result(jobId=job["id"], failureDetails=details)
    known = {name: value for name, value in told.items() if value}
    client.put_job_success_result(jobId=job["id"], outputVariables=known)
"""
ANY = {"Effect": "Allow", "Action": "*", "Resource": "*"}


@dataclass
class Played:
    """A deployed pipeline and its source."""

    account: Account
    name: str
    bucket: str
    stack: str

    def __post_init__(self) -> None:
        self.client = self.account.client("codepipeline")

    def commit(self, *commands: str) -> str:
        """Put a source; return the id of the execution that the event starts."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            phases = {"build": {"commands": list(commands)}}
            archive.writestr("buildspec.yaml", yaml.safe_dump({"version": 0.2, "phases": phases}))
            archive.writestr("src/train.py", "print('trained')")
        known = set(self.statuses())
        self.account.client("s3").put_object(
            Bucket=self.bucket, Key="main.zip", Body=buffer.getvalue()
        )
        return str(eventually(lambda: set(self.statuses()) - known).pop())

    def statuses(self) -> dict[str, str]:
        found = self.client.list_pipeline_executions(pipelineName=self.name)
        return {
            one["pipelineExecutionId"]: one["status"] for one in found["pipelineExecutionSummaries"]
        }

    def action(self, execution: str, name: str, *statuses: str) -> dict[str, Any]:
        """Wait for an action of an execution."""

        def read() -> dict[str, Any] | None:
            found = self.client.list_action_executions(
                pipelineName=self.name, filter={"pipelineExecutionId": execution}
            )["actionExecutionDetails"]
            hits = [one for one in found if one["actionName"] == name]
            return hits[0] if hits and hits[0]["status"] in statuses else None

        return dict(eventually(read, what=f"{name} {statuses}"))

    def ended(self, execution: str) -> str:
        """Wait for the end of an execution."""

        def read() -> str | None:
            status = self.statuses()[execution]
            return None if status == "InProgress" else status

        return str(eventually(read, what="the end of the execution"))

    def token(self) -> str:
        """The token of the approval that waits."""
        state = self.client.get_pipeline_state(name=self.name)
        [stage] = [one for one in state["stageStates"] if one["stageName"] == "Approve"]
        return str(stage["actionStates"][0]["latestExecution"]["token"])

    def answer(self, token: str, status: str = "Approved") -> None:
        self.client.put_approval_result(
            pipelineName=self.name, stageName="Approve", actionName="Decide", token=token,
            result={"status": status, "summary": "clicked"},
        )  # fmt: skip


@pytest.fixture(scope="module")
def parts(account: Account) -> dict[str, str]:
    """What a Steward stack gives to its pipelines."""
    s3, iam = account.client("s3"), account.client("iam")
    artifacts = unique("artifacts")
    s3.create_bucket(Bucket=artifacts)
    function = account.function(ANSWERS, statements=[ANY])
    key = account.client("kms").create_key()["KeyMetadata"]["Arn"]
    use = {"Effect": "Allow", "Action": ["kms:Decrypt", "kms:GenerateDataKey"], "Resource": key}
    policy = iam.create_policy(
        PolicyName=unique("use-key"),
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [use]}),
    )["Policy"]["Arn"]
    topic = account.client("sns").create_topic(Name=unique("owner"))["TopicArn"]
    return {
        "ArtifactsBucket": artifacts, "KeyArn": key, "UseKeyPolicyArn": policy,
        "OwnerTopic": topic, "FailureQueueArn": account.queue()[1],
        "DrivePipelineFunctionArn": account.function_arn(function),
    }  # fmt: skip


def deploy(account: Account, parts: dict[str, str], project: str, mode: str) -> Played:
    """Deploy the template with a source in S3."""
    s3, bucket, stack = account.client("s3"), unique("sources"), unique("pipeline")
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    s3.put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={"EventBridgeConfiguration": {}}
    )
    given = parts | {
        "Project": project, "Environment": "local", "SourceKind": "s3", "Repository": bucket,
        "SourceBucket": bucket, "SourceKey": "main.zip", "ExecutionMode": mode,
    }  # fmt: skip
    cloudformation = account.client("cloudformation")
    cloudformation.create_stack(
        StackName=stack, TemplateBody=TEMPLATE.read_text(), Capabilities=["CAPABILITY_IAM"],
        Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in given.items()],
    )  # fmt: skip
    cloudformation.get_waiter("stack_create_complete").wait(
        StackName=stack, WaiterConfig={"Delay": 1, "MaxAttempts": 120}
    )
    played = Played(account, f"steward-local-{project}", bucket, stack)
    # A new pipeline begins at once. Where it still fetches when the first source comes, it takes
    # that, and is the one that waits for an approval.
    [execution] = played.statuses()
    played.ended(execution)
    return played


@pytest.fixture(scope="module")
def queued(account: Account, parts: dict[str, str]) -> Played:
    return deploy(account, parts, "queued", "QUEUED")


def test_a_new_pipeline_begins_at_once_and_says_that_there_is_no_source(queued: Played) -> None:
    *_, execution = queued.statuses()  # newest first
    failed = queued.action(execution, "Fetch", "Failed")
    assert "NoSuchKey" in failed["output"]["executionResult"]["errorDetails"]["message"]
    assert queued.ended(execution) == "Failed"


def test_tests_that_fail_stop_the_pipeline_with_the_end_of_their_output(queued: Played) -> None:
    execution = queued.commit("echo 2 failed, 7 passed", "exit 1")
    failed = queued.action(execution, "Test", "Failed")
    assert "2 failed, 7 passed" in failed["output"]["executionResult"]["errorDetails"]["message"]
    assert queued.ended(execution) == "Failed"


def test_actions_are_invoked_with_tokens_and_variables_up_to_an_approval(queued: Played) -> None:
    execution = queued.commit('test -f src/train.py && test -n "$AWS_SESSION_TOKEN"')
    integrated = queued.action(execution, "Integrate", "Succeeded")["output"]["outputVariables"]
    assert (integrated["Token"], integrated["Execution"]) == ("began", execution)
    fetched = queued.action(execution, "Fetch", "Succeeded")["output"]["outputVariables"]
    assert integrated["Commit"] == fetched["VersionId"]
    decide = queued.action(execution, "Decide", "InProgress")
    assert "Version 2 of queued" in decide["input"]["resolvedConfiguration"]["CustomData"]
    assert queued.action(execution, "Evidence", "Succeeded")

    token = queued.token()
    queued.answer(token)
    with pytest.raises(queued.client.exceptions.ApprovalAlreadyCompletedException):
        queued.answer(token)
    with pytest.raises(queued.client.exceptions.InvalidApprovalTokenException):
        queued.answer(execution)
    failed = queued.action(execution, "Verify", "Failed")
    assert failed["output"]["executionResult"]["errorDetails"]["message"] == "there is no record"
    assert queued.ended(execution) == "Failed"


def test_where_executions_supersede_the_newest_takes_the_place_of_who_waits(
    account: Account, parts: dict[str, str]
) -> None:
    played = deploy(account, parts, "superseding", "SUPERSEDED")
    first = played.commit("true")
    played.action(first, "Decide", "InProgress")
    second = played.commit("true")
    played.action(second, "Tests", "Succeeded")
    third = played.commit("true")
    assert played.ended(second) == "Superseded"
    played.answer(played.token(), "Rejected")
    assert played.ended(first) == "Failed"
    played.action(third, "Decide", "InProgress")
    played.client.stop_pipeline_execution(pipelineName=played.name, pipelineExecutionId=third)
    played.action(third, "Decide", "Failed")


def test_a_role_that_may_not_invoke_fails_the_action_as_denied(
    account: Account, queued: Played
) -> None:
    resource = account.client("cloudformation").describe_stack_resource(
        StackName=queued.stack, LogicalResourceId="InvokeRole"
    )
    role = resource["StackResourceDetail"]["PhysicalResourceId"]
    account.client("iam").delete_role_policy(RoleName=role, PolicyName="AskSteward")
    execution = queued.commit("true")
    failed = queued.action(execution, "Integrate", "Failed")
    details = failed["output"]["executionResult"]["errorDetails"]
    assert (details["code"], "lambda:InvokeFunction" in details["message"]) == (
        "PermissionError", True,
    )  # fmt: skip


def test_what_codepipeline_refuses_is_refused(queued: Played) -> None:
    declared = queued.client.get_pipeline(name=queued.name)["pipeline"]
    declared["stages"][2]["actions"][0]["inputArtifacts"] = [{"name": "Unmade"}]
    with pytest.raises(queued.client.exceptions.InvalidActionDeclarationException):
        queued.client.update_pipeline(pipeline=declared)
    with pytest.raises(queued.client.exceptions.PipelineNotFoundException):
        queued.client.get_pipeline_state(name="nobody")
    with pytest.raises(queued.client.exceptions.JobNotFoundException):
        queued.client.put_job_success_result(jobId="00000000-0000-4000-8000-000000000001")
