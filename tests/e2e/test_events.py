"""Consumers on the deployed stack: real events are taken, what is none is kept with its reason."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.laboratory_stack import Laboratory, eventually

pytestmark = pytest.mark.e2e

INCOMING = Path(__file__).parents[2] / "events" / "incoming"
CONSUMERS_AT_LEAST = 17
ANSWERERS_AT_LEAST = 20
NONSENSE = {"not": "an event"}


@dataclass(frozen=True)
class Consumer:
    """A function that EventBridge invokes asynchronously."""

    domain: str
    name: str
    physical: str

    def __str__(self) -> str:
        return f"{self.domain}/{self.name}"


@pytest.fixture(scope="module")
def consumers(lab: Laboratory) -> list[Consumer]:
    """Every function that a rule on any bus targets, or a schedule."""
    events = lab.target.client("events")
    targets: set[str] = set()
    for bus in events.list_event_buses()["EventBuses"]:
        for rule in events.list_rules(EventBusName=bus["Name"])["Rules"]:
            found = events.list_targets_by_rule(Rule=rule["Name"], EventBusName=bus["Name"])
            targets |= {
                target["Arn"].rsplit(":", 1)[-1]
                for target in found["Targets"]
                if ":lambda:" in target["Arn"]
            }
    return [
        Consumer(domain, name, physical)
        for domain in lab.domains()
        for name, physical in lab.resources(domain).items()
        if physical in targets or name in _OF_SCHEDULER
    ]


@pytest.fixture(scope="module")
def answerers(lab: Laboratory, consumers: list[Consumer]) -> list[Consumer]:
    """Every other function: tasks of machines, function URLs and the stream's reader."""
    asynchronous = {consumer.physical for consumer in consumers}
    return [
        Consumer(domain, name, physical)
        for domain in lab.domains()
        for name, physical in lab.resources(domain).items()
        if name.endswith("Function") and physical not in asynchronous
    ]


@pytest.fixture(scope="module", autouse=True)
def told_nonsense(lab: Laboratory, consumers: list[Consumer]) -> None:
    """Tell every consumer what is no event, before anything else: tasks' retries take a while."""
    for consumer in consumers:
        answer = lab.target.client("lambda").invoke(
            FunctionName=consumer.physical,
            InvocationType="Event",
            Payload=json.dumps(NONSENSE).encode(),
        )
        assert answer["StatusCode"] == 202, str(consumer)


def incoming(lab: Laboratory, trained: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a real event with names of what this stack has, and an id of its own."""
    text = (INCOMING / f"{name}.json").read_text(encoding="utf-8")
    for recorded, here in (
        ("steward-dev-train-candidate", f"{lab.target.stack}-train-candidate"),
        ("steward-dev", f"steward-{lab.target.environment_name}"),
        ("3f9a1c0b7d2e-1", trained["run_id"]),
        ("diabetes", trained["project"]),
    ):
        text = text.replace(recorded, str(here))
    event: dict[str, Any] = json.loads(text)
    event["id"] = str(uuid.uuid4())
    if name == "object_created":
        delivery = lab.state.deliveries(trained["project"])[0]
        event["detail"]["bucket"]["name"] = delivery["bucket"]
        event["detail"]["object"]["key"] = delivery["key"]
        del event["detail"]["object"]["version-id"]
    if name == "transform_job_state_change":  # no batch was scored here; `test_low_code` ends one
        event["detail"]["TransformJobStatus"] = "InProgress"
    if name == "approval_reminder_due":
        event["detail"]["version"] = int(trained["version"])
    return event


_OF_SCHEDULER = ("StartTickFunction", "RemindApproversFunction", "StartBatchFunction")
"""Targets of schedules, which come and go with what they are for."""

TAKERS = [
    ("schedule_tick", "Serving", "StartTickFunction"),
    ("scheduled_event", "Serving", "ScheduleTicksFunction"),
    ("alarm_state_change", "Serving", "StartRollbackFunction"),
    ("execution_status_change", "Training", "ConcludeRunFunction"),
    ("execution_status_change", "Governance", "RecordCostFunction"),
    ("model_package_state_change", "Registry", "ReconcileApprovalFunction"),
    ("object_created", "Training", "StartTrainingFunction"),
    ("processing_job_state_change", "Governance", "RecordCostFunction"),
    ("pipeline_action_change", "Training", "DrivePipelineFunction"),
    ("repository_state_change", "Training", "StartIntegrationFunction"),
    ("approval_reminder_due", "Registry", "RemindApproversFunction"),
    ("scheduled_event", "Registry", "ExpireApprovalsFunction"),
    ("endpoint_state_change", "Serving", "ReconcileEndpointsFunction"),
    ("scheduled_event", "Serving", "RetirePreviousFunction"),
    ("scheduled_event", "Serving", "ReconcileEndpointsFunction"),
    ("training_job_state_change", "Training", "ConcludeRunFunction"),
    ("training_job_state_change", "Governance", "RecordCostFunction"),
    ("transform_job_state_change", "Governance", "RecordCostFunction"),
    ("batch_scoring_due", "Serving", "StartBatchFunction"),
]


def test_every_real_event_has_a_function_that_takes_it() -> None:
    assert {name for name, _, _ in TAKERS} == {path.stem for path in INCOMING.glob("*.json")}


@pytest.mark.parametrize(("name", "domain", "function"), TAKERS)
def test_a_real_event_is_accepted(
    lab: Laboratory, trained: dict[str, Any], name: str, domain: str, function: str
) -> None:
    answer = lab.target.client("lambda").invoke(
        FunctionName=lab.function(domain, function),
        Payload=json.dumps(incoming(lab, trained, name)).encode(),
    )
    body = json.loads(answer["Payload"].read() or b"null")
    assert "FunctionError" not in answer, body
    assert not (isinstance(body, dict) and "refused" in body), body


def kept(lab: Laboratory, queue_url: str) -> list[dict[str, Any]]:
    """Take the failure records of this module's nonsense out of a queue and return them."""
    sqs = lab.target.client("sqs")
    received = sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10, VisibilityTimeout=1)
    ours = []
    for message in received.get("Messages", []):
        record = json.loads(message["Body"])
        if record["requestPayload"] == NONSENSE:
            sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
            ours.append(record)
    return ours


def refusals(lab: Laboratory, function: str) -> list[dict[str, Any]]:
    """Return what a function's log says that it refused."""
    described = lab.target.client("lambda").get_function_configuration(FunctionName=function)
    group = described.get("LoggingConfig", {}).get("LogGroup", f"/aws/lambda/{function}")
    logs = lab.target.client("logs")
    found = []
    for page in logs.get_paginator("filter_log_events").paginate(logGroupName=group):
        for event in page["events"]:
            for line in event["message"].splitlines():
                if '"refusal"' in line and line.startswith("{"):
                    found.append(json.loads(line)["refusal"])
    return found


def test_what_is_no_event_ends_in_each_consumers_own_queue_with_a_logged_reason(
    lab: Laboratory, consumers: list[Consumer]
) -> None:
    assert len(consumers) >= CONSUMERS_AT_LEAST
    for consumer in consumers:
        queue = consumer.name.removesuffix("Function") + "HandlingFailures"
        url = str(lab.resources(consumer.domain)[queue])
        (record, *others) = eventually(
            lambda at=url: kept(lab, at),  # type: ignore[misc]
            f"the failure record of {consumer}",
        )
        assert not others, str(consumer)
        reason = record["responsePayload"]
        assert reason.get("error", reason.get("errorType")) == "MalformedEventError", str(consumer)
        told = reason.get("message", reason.get("errorMessage"))
        logged = eventually(
            lambda name=consumer.physical: refusals(lab, name),  # type: ignore[misc]
            f"the logged refusal of {consumer}",
        )
        assert told in [refusal.get("message") for refusal in logged], str(consumer)


def test_who_asks_with_nonsense_is_told_so_and_it_is_logged(
    lab: Laboratory, answerers: list[Consumer]
) -> None:
    assert len(answerers) >= ANSWERERS_AT_LEAST
    for function in answerers:
        answer = lab.target.client("lambda").invoke(
            FunctionName=function.physical, Payload=json.dumps(NONSENSE).encode()
        )
        body = json.loads(answer["Payload"].read())
        if "FunctionError" in answer:
            told = body["errorType"], body["errorMessage"]
            logged = eventually(
                lambda name=function.physical: refusals(lab, name),  # type: ignore[misc]
                f"the logged refusal of {function}",
            )
            assert told[0] == "MalformedEventError", str(function)
            assert told[1] in [refusal.get("message") for refusal in logged], str(function)
        else:
            assert 400 <= body["statusCode"] < 500, str(function)
