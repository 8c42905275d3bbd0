"""Who may do what, as IAM answers on the deployed stack: every persona, every action."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError

from steward_cli.access import ACTIONS, PERSONAS, Persona
from steward_cli.commands.versions import decide
from steward_cli.console import CommandError, Exit
from steward_cli.demo.people import acting_as
from steward_cli.function_urls import call
from steward_cli.target import Target, credentials_file, write_profile
from support.laboratory_stack import Laboratory

PROJECT = "matrix"
_DENIED = {
    "AccessDenied",
    "AccessDeniedException",
    "AuthorizationError",
    "AuthorizationErrorException",
}
_HOUSE = {"project": {"S": PROJECT}}


@dataclass
class Site:
    """What the actions are tried on."""

    lab: Laboratory
    version: int
    record: dict[str, Any]
    execution: str

    def output(self, name: str) -> str:
        return self.lab.target.output(name)


Try = Callable[[Site, Target], object]


def _url(person: Target, url: str, body: dict[str, Any]) -> None:
    reply = call(person, url, "POST", body)
    if reply.status == 403 and "error" not in (reply.body or {}):  # by Lambda, not by Steward
        raise CommandError("forbidden", Exit.DENIED)


def _read(person: Target, bucket: str, key: str) -> object:
    return person.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()


def _publish(
    person: Target, site: Site, detail_type: str, source: str, data: dict[str, Any]
) -> None:
    entry = {
        "EventBusName": site.output("BusName"), "Source": source, "DetailType": detail_type,
        "Detail": json.dumps({"meta": {}, "data": data}),
    }  # fmt: skip
    person.client("events").put_events(Entries=[entry])


def _subscribe(site: Site, person: Target) -> None:
    made = person.client("sns").subscribe(
        TopicArn=site.output("OwnerTopic"), Protocol="email", Endpoint="guest@example.com",
        ReturnSubscriptionArn=True,
    )  # fmt: skip
    site.lab.target.client("sns").unsubscribe(SubscriptionArn=made["SubscriptionArn"])


def _ledger(site: Site, person: Target, **asked: str) -> object:
    return person.client("dynamodb").query(
        TableName=site.output("LedgerTable"), KeyConditionExpression="#p = :p",
        ExpressionAttributeNames={"#p": "project"},
        ExpressionAttributeValues={":p": _HOUSE["project"]}, **asked,
    )  # fmt: skip


def _queue(site: Site) -> str:
    return str(site.lab.resources("Training")["StartTrainingHandlingFailures"])


def _key(uri: str) -> str:
    return uri.removeprefix("s3://").partition("/")[2]


TRIES: dict[str, Try] = {
    "read_records": lambda site, person: person.client("dynamodb").query(
        TableName=site.output("VersionsTable"), KeyConditionExpression="#p = :p",
        ExpressionAttributeNames={"#p": "project"},
        ExpressionAttributeValues={":p": _HOUSE["project"]},
    ),
    "read_evidence": lambda site, person: _read(
        person, site.output("ArtifactsBucketName"), _key(site.record["evidence_uri"])
    ),
    "read_code": lambda site, person: _read(
        person, site.output("ArtifactsBucketName"),
        f"code/nursery/{site.record['code_digest']}.tar.gz",
    ),
    "read_dataset": lambda site, person: _read(
        person, site.output("DataBucketName"), _key(site.record["manifest_uri"])
    ),
    "read_capture": lambda site, person: _read(
        person, site.output("CaptureBucketName"), "captured/none.jsonl"
    ),
    "push_code": lambda site, person: _url(person, site.output("SourceUrl"), {"config": {}}),
    "change_run": lambda site, person: _url(person, site.output("RunUrl"), {}),
    "deliver_data": lambda site, person: person.client("s3").put_object(
        Bucket=site.output("DataBucketName"), Key="deliveries/unknown-project/rows.csv", Body=b"a"
    ),
    "decide": lambda site, person: decide(person, PROJECT, site.version, "reject", "a test"),
    "print_card": lambda site, person: _url(person, site.output("CardPdfUrl"), {}),
    "ask_predictions": lambda site, person: _url(
        person, f"{site.output('GatewayUrl')}{PROJECT}", {"instances": []}
    ),
    "erase_data": lambda site, person: _url(person, site.output("DeletionUrl"), {}),
    "roll_back": lambda site, person: _publish(
        person, site, "RollbackRequested", "steward.serving", {"reason": "a test"}
    ),
    "score_batch": lambda site, person: _publish(
        person, site, "BatchScoringRequested", "steward.serving", {"request_id": "matrix"}
    ),
    "reap": lambda site, person: _publish(
        person, site, "ReapingRequested", "steward.serving", {"endpoints": []}
    ),
    "approve_by_event": lambda site, person: _publish(
        person, site, "VersionApproved", "steward.registry", {"version": site.version}
    ),
    "read_execution": lambda site, person: person.client("stepfunctions").get_execution_history(
        executionArn=site.execution
    ),
    "redrive": lambda site, person: person.client("stepfunctions").redrive_execution(
        executionArn=site.execution
    ),
    "start_release": lambda site, person: person.client("stepfunctions").start_execution(
        stateMachineArn=site.output("ReleaseMachineArn"), input="{}"
    ),
    "read_dead_letters": lambda site, person: person.client("sqs").receive_message(
        QueueUrl=_queue(site)
    ),
    "send_dead_letters": lambda site, person: person.client("sqs").send_message(
        QueueUrl=_queue(site), MessageBody="{}"
    ),
    "read_logs": lambda site, person: person.client("logs").filter_log_events(
        logGroupName=site.lab.resources("Training")["StartTrainingLogGroup"], limit=1
    ),
    "describe_endpoint": lambda site, person: person.client("sagemaker").describe_endpoint(
        EndpointName=f"{site.lab.target.environment_name}-{PROJECT}-v9-prod"
    ),
    "delete_endpoint": lambda site, person: person.client("sagemaker").delete_endpoint(
        EndpointName=f"{site.lab.target.environment_name}-{PROJECT}-v9-prod"
    ),
    "read_package": lambda site, person: person.client("sagemaker").describe_model_package(
        ModelPackageName=site.record["model_package_arn"]
    ),
    "approve_package": lambda site, person: person.client("sagemaker").update_model_package(
        ModelPackageArn=site.record["model_package_arn"], ModelApprovalStatus="Approved"
    ),
    "write_record": lambda site, person: person.client("dynamodb").update_item(
        TableName=site.output("VersionsTable"),
        Key={**_HOUSE, "item": {"S": "version#99999999"}},
        UpdateExpression="SET note = :n", ExpressionAttributeValues={":n": {"S": "mine"}},
    ),
    "write_evidence": lambda site, person: person.client("s3").put_object(
        Bucket=site.output("ArtifactsBucketName"), Key=f"evidence/{PROJECT}/0/e.json", Body=b"{}"
    ),
    "invoke_function": lambda site, person: person.client("lambda").invoke(
        FunctionName=site.lab.function("Registry", "DecideVersionFunction"), Payload=b"{}"
    ),
    "change_function": lambda site, person: person.client("lambda").update_function_code(
        FunctionName=site.lab.function("Registry", "DecideVersionFunction"), ZipFile=b"PK"
    ),
    "add_project": lambda site, person: person.client("cloudformation").create_stack(
        StackName=f"{site.lab.target.stack}-project-matrix-{person.client('sts').meta.region_name}",
        TemplateBody=json.dumps(
            {"Resources": {"Wait": {"Type": "AWS::CloudFormation::WaitConditionHandle"}}}
        ),
    ),
    "remove_project": lambda site, person: _url(
        person, site.output("RemovalUrl"), {"project": "unknown"}
    ),
    "delete_stack": lambda site, person: person.client("cloudformation").delete_stack(
        StackName=f"{site.lab.target.stack}-project-unknown"
    ),
    "delete_record": lambda site, person: person.client("dynamodb").delete_item(
        TableName=site.output("ProjectsTable"), Key={"project": {"S": "unknown"}}
    ),
    "count_ledger": lambda site, person: _ledger(site, person, Select="COUNT"),
    "read_ledger": _ledger,
    "subscribe_mail": _subscribe,
    "change_policy": lambda site, person: person.client("iam").create_policy_version(
        PolicyArn=site.output("ScientistPolicyArn"), SetAsDefault=True,
        PolicyDocument=json.dumps(
            {"Version": "2012-10-17",
             "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]}
        ),
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def site(lab: Laboratory, trained: dict[str, Any]) -> Site:
    lab.add_project(PROJECT)
    version = lab.register(PROJECT, trained)
    record = lab.version(PROJECT, version, "pending")
    machine = lab.target.output("StagingMachineArn")
    states = lab.target.client("stepfunctions")
    newest = states.list_executions(stateMachineArn=machine, maxResults=1)["executions"][0]
    return Site(lab, version, record, newest["executionArn"])


@pytest.fixture(scope="module")
def people(lab: Laboratory) -> dict[Persona, Target]:
    """A user of each persona, with its one policy and nothing else."""
    iam = lab.target.client("iam")
    found: dict[Persona, Target] = {}
    for persona in PERSONAS:
        name = f"a-{persona}"
        iam.create_user(UserName=name)
        policy = lab.target.output(f"{persona.title()}PolicyArn")
        iam.attach_user_policy(UserName=name, PolicyArn=policy)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        write_profile(
            credentials_file(lab.choice.state_dir), name, key["AccessKeyId"],
            key["SecretAccessKey"],
        )  # fmt: skip
        found[persona] = acting_as(lab.choice, name)
    return found


def is_denied(attempt: Try, site: Site, person: Target) -> bool:
    """Whether IAM, not the service behind it, refuses the attempt."""
    try:
        attempt(site, person)
    except ClientError as error:
        return error.response["Error"]["Code"] in _DENIED
    except CommandError as error:
        return error.code == Exit.DENIED
    return False


def test_every_action_of_the_matrix_is_tried() -> None:
    assert set(TRIES) == {action.key for action in ACTIONS}


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.key)
def test_iam_answers_as_the_matrix_says(
    action: Any, site: Site, people: dict[Persona, Target]
) -> None:
    attempt = TRIES[action.key]
    refused = {persona for persona in PERSONAS if is_denied(attempt, site, people[persona])}
    assert set(PERSONAS) - refused == action.allowed


@pytest.mark.parametrize("persona", ["scientist", "operator", "auditor", "administrator"])
def test_who_has_another_persona_beside_the_approvers_decides_nothing(
    persona: Persona, lab: Laboratory, site: Site, people: dict[Persona, Target]
) -> None:
    iam, name = lab.target.client("iam"), f"a-{persona}"
    policy = lab.target.output("ApproverPolicyArn")
    iam.attach_user_policy(UserName=name, PolicyArn=policy)
    try:
        assert is_denied(TRIES["decide"], site, people[persona])
    finally:
        with contextlib.suppress(ClientError):
            iam.detach_user_policy(UserName=name, PolicyArn=policy)
