"""Scheduler on the embedded AWS: our port's contract, roles, groups and dead letters."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from contracts import test_schedules_contract as suite
from contracts.test_schedules_contract import Subject, on_scheduler
from steward.adapters.schedules import SchedulerSchedules
from steward.domain.errors import AccessDeniedError, RejectedError
from support.embedded import Account, eventually, unique
from support.suites import cases_of

globals().update(cases_of(suite))

_TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "scheduler.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}
_RECORDER = """
import json

def handler(event, context):
    print("FIRED", json.dumps(event))
"""


def _may(action: str, resource: str, **condition: str) -> dict[str, Any]:
    statement: dict[str, Any] = {"Effect": "Allow", "Action": action, "Resource": resource}
    if condition:
        statement["Condition"] = {"StringEquals": {"iam:PassedToService": condition["service"]}}
    return statement


@pytest.fixture
def group(account: Account) -> str:
    name = unique("group")
    account.client("scheduler").create_schedule_group(Name=name)
    return name


@pytest.fixture
def function(account: Account) -> str:
    """The name of a function that logs what it gets."""
    return account.function(_RECORDER)


def _role(account: Account, *statements: dict[str, Any]) -> str:
    _, arn = account.role(list(statements), _TRUST)
    return str(arn)


@pytest.fixture
def subject(account: Account, group: str, function: str) -> Subject:
    client = account.client("scheduler")
    target = account.function_arn(function)
    role = _role(account, _may("lambda:InvokeFunction", target))
    _, queue = account.queue()
    return on_scheduler(client, SchedulerSchedules(client, group, target, role, queue), group)


def test_it_fires_in_scaled_time_with_its_role_and_again_after_it_was_made_anew(
    account: Account, group: str, function: str
) -> None:
    target = account.function_arn(function)
    role = _role(account, _may("lambda:InvokeFunction", target))
    _, queue = account.queue()
    schedules = SchedulerSchedules(account.client("scheduler"), group, target, role, queue)
    log = f"/aws/lambda/{function}"
    payload = {"id": "<aws.scheduler.execution-id>", "n": 1}

    def fired() -> list[str]:
        return [line for line in account.log_lines(log) if "FIRED" in line]

    schedules.create("anew", every_s=60, payload=payload)
    [first, *_] = eventually(fired, what="the first firing")
    assert "<aws" not in first
    assert '"n": 1' in first
    eventually(lambda: len(fired()) >= 2, what="the second firing")
    schedules.delete("anew")
    time.sleep(2)  # one that is under way may still write its line
    before = len(fired())
    time.sleep(4)
    assert len(fired()) == before
    schedules.create("anew", every_s=60, payload=payload)
    eventually(lambda: len(fired()) > before, what="a firing of the one that was made anew")
    schedules.delete("anew")


def test_what_its_role_may_not_invoke_goes_to_the_queue_as_its_input(
    account: Account, group: str, function: str
) -> None:
    url, queue = account.queue()
    role = _role(account, _may("sqs:SendMessage", queue))
    target = account.function_arn(function)
    schedules = SchedulerSchedules(account.client("scheduler"), group, target, role, queue)
    schedules.create("denied", every_s=60, payload={"tick": 1})
    [message] = eventually(lambda: list(account.received(url)), what="the dead letter")
    schedules.delete("denied")
    assert message["body"] == {"tick": 1}
    assert message["attributes"]["ERROR_CODE"] == "NO_PERMISSIONS"
    assert message["attributes"]["SCHEDULE_ARN"].endswith(f":schedule/{group}/denied")


def test_creating_needs_the_group_and_the_right_to_pass_the_role(
    account: Account, group: str, function: str
) -> None:
    target = account.function_arn(function)
    role = _role(account, _may("lambda:InvokeFunction", target))
    _, queue = account.queue()
    of_group = f"arn:aws:scheduler:us-east-1:*:schedule/{group}/*"

    def created_by(*statements: dict[str, Any]) -> None:
        _, keys = account.user(list(statements))
        client = account.client("scheduler", keys)
        SchedulerSchedules(client, group, target, role, queue).create(
            unique("by"), every_s=60, payload={}
        )

    creating = _may("scheduler:CreateSchedule", of_group)
    created_by(creating, _may("iam:PassRole", role, service="scheduler.amazonaws.com"))
    with pytest.raises(AccessDeniedError, match="iam:PassRole"):
        created_by(creating)
    with pytest.raises(AccessDeniedError, match="iam:PassRole"):
        created_by(creating, _may("iam:PassRole", role, service="states.amazonaws.com"))
    elsewhere = _may("scheduler:CreateSchedule", of_group.replace(group, "other"))
    with pytest.raises(AccessDeniedError, match="scheduler:CreateSchedule"):
        created_by(elsewhere, _may("iam:PassRole", role, service="scheduler.amazonaws.com"))


def test_a_role_may_trust_the_schedules_of_one_group_alone(
    account: Account, group: str, function: str
) -> None:
    target = account.function_arn(function)
    trust = json.loads(json.dumps(_TRUST))
    arn = f"arn:aws:scheduler:us-east-1:{account.engine.account}:schedule-group/{group}"
    trust["Statement"][0]["Condition"] = {
        "StringEquals": {"aws:SourceAccount": account.engine.account},
        "ArnEquals": {"aws:SourceArn": arn},
    }
    _, role = account.role([_may("lambda:InvokeFunction", target)], trust)
    _, queue = account.queue()
    client = account.client("scheduler")
    schedules = SchedulerSchedules(client, group, target, role, queue)
    schedules.create("inside", every_s=60, payload={})
    eventually(
        lambda: [x for x in account.log_lines(f"/aws/lambda/{function}") if "FIRED" in x],
        what="a firing",
    )
    schedules.delete("inside")
    with pytest.raises(RejectedError, match="to assume the role"):
        SchedulerSchedules(client, "default", target, role, queue).create(
            "outside", every_s=60, payload={}
        )


def test_a_role_that_does_not_trust_scheduler_is_refused(account: Account, group: str) -> None:
    trust = json.loads(json.dumps(_TRUST).replace("scheduler.", "events."))
    _, role = account.role([], trust)
    with pytest.raises(ClientError, match="must allow AWS EventBridge Scheduler to assume"):
        account.client("scheduler").create_schedule(
            Name="distrusted", GroupName=group, ScheduleExpression="rate(1 minute)",
            FlexibleTimeWindow={"Mode": "OFF"},
            Target={"Arn": "arn:aws:lambda:us-east-1:000000000000:function:f", "RoleArn": role},
        )  # fmt: skip
