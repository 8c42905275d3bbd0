"""Executions: names, limits, retries, timeouts, aborts, redrives and their events."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from support.embedded import Account, eventually, unique
from support.laboratory import BusTap, allow
from support.machines import TASK, Machines, jsonata

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def machines(account: Account) -> Machines:
    return Machines(account)


def refusal(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


WAITING = jsonata({"Wait": {"Type": "Wait", "Seconds": 6000, "End": True}})
PASSING = jsonata({"Pass": {"Type": "Pass", "End": True}})


def test_second_start_with_the_same_name_and_input_while_running_is_the_same_execution(
    machines: Machines,
) -> None:
    machine = machines.create(WAITING)
    name = unique("run")
    first = machines.start(machine, {"a": 1}, name=name)
    assert machines.start(machine, {"a": 1}, name=name) == first
    with pytest.raises(ClientError) as error:
        machines.start(machine, {"a": 2}, name=name)
    assert refusal(error) == "ExecutionAlreadyExists"
    machines.client.stop_execution(executionArn=first)
    with pytest.raises(ClientError) as error:
        machines.start(machine, {"a": 1}, name=name)
    assert refusal(error) == "ExecutionAlreadyExists"


def test_name_stays_taken_after_its_machine_was_deleted(machines: Machines) -> None:
    role = machines.role()
    request = {"name": unique("machine"), "definition": json.dumps(PASSING), "roleArn": role}
    machine = machines.client.create_state_machine(**request)["stateMachineArn"]
    machines.ended(machines.start(machine, name="once"))
    machines.client.delete_state_machine(stateMachineArn=machine)
    machines.client.create_state_machine(**request)
    with pytest.raises(ClientError) as error:
        machines.start(machine, name="once")
    assert refusal(error) == "ExecutionAlreadyExists"


@pytest.mark.parametrize("name", ["a b", "a/b", "x" * 81])
def test_impossible_name_is_refused(machines: Machines, name: str) -> None:
    with pytest.raises(ClientError) as error:
        machines.start(machines.create(PASSING), name=name)
    assert refusal(error) == "InvalidName"


def test_input_above_256_kb_is_refused(machines: Machines) -> None:
    with pytest.raises(ClientError) as error:
        machines.start(machines.create(PASSING), "x" * 262_143)
    assert refusal(error) == "ValidationException"


def test_payload_above_256_kb_is_not_caught_by_states_all(machines: Machines) -> None:
    big = {
        "Type": "Pass",
        "Output": "{% $pad('x', 300000, 'y') %}",
        "Next": "Done",
    }
    states = {"Big": big, "Done": {"Type": "Succeed"}}
    caught = {
        "Type": "Parallel",
        "Branches": [{"StartAt": "Big", "States": states}],
        "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Never"}],
        "End": True,
    }
    ended = machines.run(jsonata({"Both": caught, "Never": {"Type": "Succeed"}}))
    assert (ended["status"], ended["error"]) == ("FAILED", "States.DataLimitExceeded")


def test_execution_fails_at_25000_events(machines: Machines) -> None:
    states = {
        "A": {"Type": "Pass", "Next": "B"},
        "B": {
            "Type": "Choice",
            "Choices": [{"Condition": "{% false %}", "Next": "End"}],
            "Default": "A",
        },
        "End": {"Type": "Succeed"},
    }
    execution = machines.start(machines.create(jsonata(states)))
    ended = machines.ended(execution)
    assert (ended["status"], ended["error"]) == ("FAILED", "States.Runtime")
    assert "maximum number of history events (25000)" in ended["cause"]
    last = machines.client.get_execution_history(
        executionArn=execution, reverseOrder=True, maxResults=1
    )["events"][0]
    assert (last["id"], last["type"]) == (25_000, "ExecutionFailed")


def test_top_level_timeout_is_not_caught(machines: Machines) -> None:
    tap = BusTap(machines.account, {"source": ["aws.states"], "detail": {"status": ["TIMED_OUT"]}})
    states = {
        "Both": {
            "Type": "Parallel",
            "Branches": [
                {
                    "StartAt": "Wait",
                    "States": {"Wait": {"Type": "Wait", "Seconds": 6000, "End": True}},
                }
            ],
            "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Never"}],
            "End": True,
        },
        "Never": {"Type": "Succeed"},
    }
    execution = machines.start(machines.create(jsonata(states, TimeoutSeconds=1)))
    ended = machines.ended(execution)
    assert (ended["status"], ended["error"]) == ("TIMED_OUT", "States.Timeout")
    assert machines.history(execution)[-1]["type"] == "ExecutionTimedOut"
    detail = tap.until(1)[0]["detail"]
    assert (detail["executionArn"], detail["redriveStatus"]) == (execution, "REDRIVABLE")


def test_stopped_execution_tells_the_bus(machines: Machines) -> None:
    tap = BusTap(machines.account, {"detail-type": ["Step Functions Execution Status Change"]})
    execution = machines.start(machines.create(WAITING), {"project": "p"})
    machines.client.stop_execution(executionArn=execution, error="Operator", cause="enough")
    events = [e for e in tap.until(2) if e["detail"]["executionArn"] == execution]
    assert [event["detail"]["status"] for event in events] == ["RUNNING", "ABORTED"]
    detail = events[-1]["detail"]
    assert (detail["error"], detail["cause"]) == ("Operator", "enough")
    assert json.loads(detail["input"]) == {"project": "p"}
    assert detail["stopDate"] > detail["startDate"]


@pytest.fixture(scope="module")
def flaky(account: Account) -> str:
    source = """
    import boto3, os
    table = boto3.client("dynamodb")
    class ThrottledError(Exception): ...
    def handler(event, context):
        count = int(table.update_item(
            TableName=event["table"], Key={"pk": {"S": event["key"]}},
            UpdateExpression="ADD n :one", ExpressionAttributeValues={":one": {"N": "1"}},
            ReturnValues="ALL_NEW")["Attributes"]["n"]["N"])
        if count <= event["failures"]:
            raise ThrottledError(str(count))
        return count
    """
    return account.function(source, statements=[allow("dynamodb:UpdateItem")])


@pytest.fixture(scope="module")
def counts(account: Account) -> str:
    name = unique("counts")
    account.client("dynamodb").create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    return name


def calling(function: str, counts: str, failures: int, **fields: Any) -> dict[str, Any]:
    payload = {"table": counts, "key": unique("key"), "failures": failures}
    return {
        "Type": "Task",
        "Resource": f"{TASK}lambda:invoke",
        "Arguments": {"FunctionName": function, "Payload": payload},
        "Output": "{% $states.result.Payload %}",
        "End": True,
        **fields,
    }


RETRY = {
    "ErrorEquals": ["ThrottledError"],
    "IntervalSeconds": 1,
    "BackoffRate": 2,
    "MaxAttempts": 3,
    "MaxDelaySeconds": 3,
    "JitterStrategy": "FULL",
}


def test_transient_error_is_retried_until_it_succeeds(
    machines: Machines, flaky: str, counts: str
) -> None:
    state = calling(flaky, counts, 2, Retry=[RETRY])
    ended = machines.run(jsonata({"Call": state}), allow("lambda:InvokeFunction"))
    assert (ended["status"], ended.get("output")) == ("SUCCEEDED", "3")


def test_exhausted_retries_go_to_the_catch(machines: Machines, flaky: str, counts: str) -> None:
    catch = {
        "ErrorEquals": ["States.ALL"],
        "Next": "Record",
        "Assign": {"failure": "{% $states.errorOutput %}"},
    }
    state = calling(flaky, counts, 9, Retry=[{**RETRY, "MaxAttempts": 1}], Catch=[catch])
    record = {"Type": "Fail", "Error": "{% $failure.Error %}", "Cause": "given up"}
    execution = machines.start(
        machines.create(jsonata({"Call": state, "Record": record}), allow("lambda:InvokeFunction"))
    )
    ended = machines.ended(execution)
    assert (ended["error"], ended["cause"]) == ("ThrottledError", "given up")
    kinds = [event["type"] for event in machines.history(execution)]
    assert kinds.count("TaskScheduled") == 2


def test_redrive_runs_on_from_the_failed_state(machines: Machines, flaky: str, counts: str) -> None:
    first = {
        "Type": "Pass",
        "Assign": {"kept": "{% $states.input.n + 1 %}"},
        "Output": "{% $states.input %}",
        "Next": "Call",
    }
    output = "{% [$kept, $states.context.Execution.RedriveCount, $states.result.Payload] %}"
    state = calling(flaky, counts, 1, Output=output)
    machine = machines.create(
        jsonata({"Keep": first, "Call": state}), allow("lambda:InvokeFunction")
    )
    execution = machines.start(machine, {"n": 1})
    assert machines.ended(execution)["redriveStatus"] == "REDRIVABLE"
    machines.client.redrive_execution(executionArn=execution)
    ended = machines.ended(execution)
    assert ended["status"] == "SUCCEEDED", ended
    assert json.loads(ended["output"]) == [2, 1, 2]
    assert ended["redriveCount"] == 1
    kinds = [event["type"] for event in machines.history(execution)]
    assert kinds.count("PassStateEntered") == 1
    assert "ExecutionRedriven" in kinds
    with pytest.raises(ClientError) as error:
        machines.client.redrive_execution(executionArn=execution)
    assert refusal(error) == "ExecutionNotRedrivable"


def test_failed_branch_ends_the_others_at_once(machines: Machines) -> None:
    branches = [
        {
            "StartAt": "Wait",
            "States": {"Wait": {"Type": "Wait", "Seconds": 6000, "End": True}},
        },
        {"StartAt": "No", "States": {"No": {"Type": "Fail", "Error": "BranchError"}}},
    ]
    ended = machines.run(jsonata({"Both": {"Type": "Parallel", "Branches": branches, "End": True}}))
    assert ended["error"] == "BranchError"
    lasted = ended["stopDate"] - ended["startDate"]
    assert lasted.total_seconds() < 200, "the other branch would wait for 300 s"


def test_map_keeps_order_and_its_variables_inside(machines: Machines) -> None:
    processor = {
        "StartAt": "Own",
        "States": {
            "Own": {
                "Type": "Pass",
                "Assign": {"own": "{% $states.input.value * $factor %}"},
                "Next": "Out",
            },
            "Out": {"Type": "Pass", "Output": "{% $own %}", "End": True},
        },
    }
    states = {
        "Set": {"Type": "Pass", "Assign": {"factor": 10}, "Next": "Each"},
        "Each": {
            "Type": "Map",
            "Items": "{% $states.input.items %}",
            "ItemSelector": {"value": "{% $states.context.Map.Item.Value %}"},
            "MaxConcurrency": 2,
            "ItemProcessor": processor,
            "Output": {"results": "{% $states.result %}", "leaked": "{% $exists($own) %}"},
            "End": True,
        },
    }
    ended = machines.run(jsonata(states), data={"items": [1, 2, 3]})
    assert json.loads(ended["output"]) == {"results": [10, 20, 30], "leaked": False}


def test_assignments_of_one_state_see_the_values_from_before_it(machines: Machines) -> None:
    states = {
        "Set": {"Type": "Pass", "Assign": {"a": 1, "b": 2}, "Next": "Swap"},
        "Swap": {"Type": "Pass", "Assign": {"a": "{% $b %}", "b": "{% $a %}"}, "Next": "Out"},
        "Out": {"Type": "Pass", "Output": "{% [$a, $b] %}", "End": True},
    }
    assert json.loads(machines.run(jsonata(states))["output"]) == [2, 1]


def test_waits_pass_as_fast_as_the_engine_was_told(machines: Machines) -> None:
    ended = machines.run(jsonata({"Wait": {"Type": "Wait", "Seconds": 60, "End": True}}))
    assert ended["status"] == "SUCCEEDED"
    lasted = ended["stopDate"] - ended["startDate"]
    assert 60 / machines.account.engine.time_scale <= lasted.total_seconds() + 0.1 < 50


def test_scheduled_execution_list_shows_every_status(machines: Machines) -> None:
    machine = machines.create(PASSING)
    execution = machines.start(machine)
    machines.ended(execution)

    def listed() -> list[str]:
        page = machines.client.list_executions(stateMachineArn=machine, statusFilter="SUCCEEDED")
        return [item["executionArn"] for item in page["executions"]]

    assert eventually(listed) == [execution]
