"""Every asynchronous consumer has two dead-letter queues, and every queue has an alarm."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from steward.service.serving.asking import CANDIDATE_TIMEOUT_S
from steward.service.serving.completion import CANDIDATE_READ_S
from steward.service.serving.shadow import MAX_AGE
from support.templates import CHILDREN, load, of_type, transformed

Consumer = tuple[str, str, dict[str, Any]]
CONSUMERS: list[Consumer] = [
    (path.stem, name, resource["Properties"])
    for path in CHILDREN
    for name, resource in of_type(load(path), "AWS::Serverless::Function").items()
    if any(
        event["Type"] in ("EventBridgeRule", "Schedule")
        for event in resource["Properties"].get("Events", {}).values()
    )
]


def _id(consumer: Consumer) -> str:
    return consumer[1]


def _template(domain: str) -> dict[str, Any]:
    return load(next(path for path in CHILDREN if path.stem == domain))


def _alarmed_queues(template: dict[str, Any]) -> set[str]:
    found = set()
    for alarm in of_type(template, "AWS::CloudWatch::Alarm").values():
        properties = alarm["Properties"]
        assert properties["AlarmActions"] == [{"Ref": "OnCallTopic"}]
        if properties.get("Namespace") == "AWS/SQS":
            [dimension] = properties["Dimensions"]
            found.add(dimension["Value"]["Fn::GetAtt"][0])
    return found


def test_there_are_consumers() -> None:
    assert len(CONSUMERS) >= 15


@pytest.mark.parametrize("consumer", CONSUMERS, ids=_id)
def test_what_cannot_be_delivered_goes_to_the_rules_queue(consumer: Consumer) -> None:
    _, name, properties = consumer
    queue = name.removesuffix("Function") + "DeliveryFailures"
    for event in properties["Events"].values():
        target = event["Properties"]
        assert target["DeadLetterConfig"]["Arn"] == {"Fn::GetAtt": [queue, "Arn"]}
        assert target["RetryPolicy"]["MaximumRetryAttempts"] > 0
        assert target["RetryPolicy"]["MaximumEventAgeInSeconds"] >= 60


@pytest.mark.parametrize("consumer", CONSUMERS, ids=_id)
def test_what_is_not_handled_goes_to_the_functions_queue(consumer: Consumer) -> None:
    _, name, properties = consumer
    queue = name.removesuffix("Function") + "HandlingFailures"
    config = properties["EventInvokeConfig"]
    assert config["MaximumRetryAttempts"] == 2
    destination = config["DestinationConfig"]["OnFailure"]
    assert destination == {"Type": "SQS", "Destination": {"Fn::GetAtt": [queue, "Arn"]}}
    assert properties["Environment"]["Variables"]["FAILURE_QUEUE_URL"] == {"Ref": queue}


@pytest.mark.parametrize("path", CHILDREN, ids=lambda path: path.stem)
def test_only_consumers_have_a_failure_queue(path: Any) -> None:
    consumers = {name for domain, name, _ in CONSUMERS if domain == path.stem}
    if path.stem == "foundation":
        consumers.add("PublishOutboxFunction")  # of the outbox's stream
    if path.stem == "serving":
        consumers.add("StartTickFunction")  # of EventBridge Scheduler
    if path.stem == "registry":
        consumers.add("RemindApproversFunction")  # of EventBridge Scheduler, too
    if path.stem == "audit":
        consumers.add("WatchLedgerFunction")  # of the ledger's stream
    for name, function in of_type(load(path), "AWS::Serverless::Function").items():
        variables = function["Properties"]["Environment"]["Variables"]
        assert ("FAILURE_QUEUE_URL" in variables) == (name in consumers), name


@pytest.mark.parametrize("path", CHILDREN, ids=lambda path: path.stem)
def test_every_queue_is_encrypted_kept_a_fortnight_and_alarmed(path: Any) -> None:
    template = load(path)
    queues = of_type(template, "AWS::SQS::Queue")
    assert set(queues) == _alarmed_queues(template)
    for name, queue in queues.items():
        if "RedrivePolicy" not in queue["Properties"]:  # work that waits is not kept so long
            assert queue["Properties"]["MessageRetentionPeriod"] == 1_209_600, name
        assert "KmsMasterKeyId" in queue["Properties"], name


@pytest.mark.parametrize("path", CHILDREN, ids=lambda path: path.stem)
def test_eventbridge_may_write_to_every_delivery_queue(path: Any) -> None:
    template = load(path)
    allowed = set()
    for policy in of_type(template, "AWS::SQS::QueuePolicy").values():
        [statement] = policy["Properties"]["PolicyDocument"]["Statement"]
        assert statement["Principal"] == {"Service": "events.amazonaws.com"}
        assert "aws:SourceArn" in statement["Condition"]["ArnLike"]
        allowed |= {queue["Ref"] for queue in policy["Properties"]["Queues"]}
    wanted = {q for q in of_type(template, "AWS::SQS::Queue") if q.endswith("DeliveryFailures")}
    wanted |= {"Calls", "Told"} if path.stem == "audit" else set()  # what rules leave there
    assert allowed == wanted


@pytest.mark.parametrize("path", CHILDREN, ids=lambda path: path.stem)
def test_every_rule_target_has_a_queue_and_a_retry_policy(path: Any) -> None:
    for name, rule in of_type(transformed(path), "AWS::Events::Rule").items():
        for target in rule["Properties"]["Targets"]:
            assert "DeadLetterConfig" in target, name
            assert "RetryPolicy" in target, name


def test_the_queue_of_copies_has_a_queue_of_its_own_and_reports_single_messages() -> None:
    serving = _template("serving")["Resources"]
    function = serving["MirrorRequestFunction"]["Properties"]
    [source] = function["Events"].values()
    assert source["Properties"]["Queue"] == {"Fn::GetAtt": ["MirroredRequests", "Arn"]}
    assert source["Properties"]["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    queue = serving["MirroredRequests"]["Properties"]
    dead = {"Fn::GetAtt": ["MirrorRequestHandlingFailures", "Arn"]}
    assert queue["RedrivePolicy"] == {"deadLetterTargetArn": dead, "maxReceiveCount": 3}
    assert queue["VisibilityTimeout"] >= 6 * function["Timeout"]
    asking = CANDIDATE_TIMEOUT_S + CANDIDATE_READ_S
    assert source["Properties"]["BatchSize"] * asking < function["Timeout"]
    assert queue["VisibilityTimeout"] < MAX_AGE.total_seconds() < queue["MessageRetentionPeriod"]


def test_the_outbox_stream_has_a_queue_and_reports_single_items() -> None:
    outbox = load(next(path for path in CHILDREN if path.stem == "foundation"))["Resources"][
        "PublishOutboxFunction"
    ]["Properties"]["Events"]["Outbox"]["Properties"]
    assert outbox["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    destination = outbox["DestinationConfig"]["OnFailure"]["Destination"]
    assert destination == {"Fn::GetAtt": ["PublishOutboxHandlingFailures", "Arn"]}


@pytest.mark.parametrize(
    ("domain", "scheduling", "target", "variables", "role_name", "group"),
    [
        ("serving", "ScheduleTicksFunction", "StartTick", "TICK", "ScheduleRole",
         "ExperimentSchedules"),
        ("registry", "ScheduleRemindersFunction", "RemindApprovers", "REMINDER", "ReminderRole",
         "ReminderSchedules"),
    ],
)  # fmt: skip
def test_scheduler_has_one_target_with_a_queue_and_its_function_one_of_its_own(
    domain: str, scheduling: str, target: str, variables: str, role_name: str, group: str
) -> None:
    resources = _template(domain)["Resources"]
    placed = resources[scheduling]["Properties"]["Environment"]["Variables"]
    arn = {"Fn::GetAtt": [f"{target}Function", "Arn"]}
    queue = {"Fn::GetAtt": [f"{target}DeliveryFailures", "Arn"]}
    assert placed[f"{variables}_FUNCTION_ARN"] == arn
    assert placed[f"{variables}_FAILURES_ARN"] == queue
    role = resources[role_name]["Properties"]
    [policy] = role["Policies"]
    allowed = {
        statement["Action"]: statement["Resource"]
        for statement in policy["PolicyDocument"]["Statement"]
    }
    assert allowed == {"lambda:InvokeFunction": arn, "sqs:SendMessage": queue}
    [trust] = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Condition"]["ArnEquals"] == {"aws:SourceArn": {"Fn::GetAtt": [group, "Arn"]}}
    config = resources[f"{target}Function"]["Properties"]["EventInvokeConfig"]
    assert config["DestinationConfig"]["OnFailure"]["Destination"] == {
        "Fn::GetAtt": [f"{target}HandlingFailures", "Arn"]
    }


def _handled(folder: Path) -> set[str] | None:
    """The detail-types that a doorway takes, None where it takes any of ours."""
    found: set[str] = set()
    for node in ast.walk(ast.parse((folder / "app.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "on_event":
            if any(isinstance(argument, ast.Starred) for argument in node.args):
                return None
            found |= {ast.literal_eval(argument) for argument in node.args}
    return found


def _sent(events: dict[str, Any]) -> set[str]:
    """The detail-types that a function's rules send it."""
    patterns = [
        about["Properties"]["Pattern"]
        for about in events.values()
        if about["Type"] == "EventBridgeRule"
    ]
    every = [part for pattern in patterns for part in pattern.get("$or", [pattern])]
    return {kind for pattern in every for kind in pattern.get("detail-type", [])}


def test_a_doorway_takes_every_event_that_its_rules_send() -> None:
    surprised = {}
    for path in CHILDREN:
        for name, resource in of_type(load(path), "AWS::Serverless::Function").items():
            properties = resource["Properties"]
            handled = _handled((path.parent / properties["CodeUri"]).resolve())
            sent = _sent(properties.get("Events", {}))
            if handled is not None and sent - handled:
                surprised[name] = sent - handled
    assert surprised == {}
