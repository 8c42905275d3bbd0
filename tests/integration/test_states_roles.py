"""The role of a state machine binds every call that the machine makes."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from support.embedded import Account, eventually, unique
from support.laboratory import BusTap, allow, trust
from support.machines import TASK, Machines, jsonata, passing, rules

pytestmark = pytest.mark.integration
ECHO = """
def handler(event, context):
    if event.get("fail"):
        raise ValueError(event["fail"])
    return {"echo": event}
"""


@pytest.fixture(scope="module")
def machines(account: Account) -> Machines:
    return Machines(account)


@pytest.fixture(scope="module")
def echo(account: Account) -> str:
    return account.function_arn(account.function(ECHO))


@pytest.fixture(scope="module")
def table(account: Account) -> str:
    name = unique("table")
    account.client("dynamodb").create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    return name


def one(api: str, arguments: Any) -> dict[str, Any]:
    """A machine of one task."""
    state = {"Type": "Task", "Resource": f"{TASK}{api}", "Arguments": arguments, "End": True}
    return jsonata({"Do": state})


def arn(service: str, rest: str) -> str:
    return f"arn:aws:{service}:us-east-1:000000000000:{rest}"


def test_function_is_invoked_only_with_permission(machines: Machines, echo: str) -> None:
    definition = one("lambda:invoke", {"FunctionName": echo, "Payload": {"x": 1}})
    ended = machines.run(definition, allow("lambda:InvokeFunction", resource=echo))
    assert json.loads(ended["output"])["Payload"] == {"echo": {"x": 1}}
    ended = machines.run(definition)
    assert ended["error"] == "Lambda.AWSLambdaException"
    assert (
        f"is not authorized to perform: lambda:InvokeFunction on resource: {echo}"
        in (ended["cause"])
    )
    assert ":assumed-role/" in ended["cause"]


def test_function_error_is_the_task_error(machines: Machines, echo: str) -> None:
    definition = one("lambda:invoke", {"FunctionName": echo, "Payload": {"fail": "bad row"}})
    ended = machines.run(definition, allow("lambda:InvokeFunction"))
    assert ended["error"] == "ValueError"
    assert json.loads(ended["cause"])["errorMessage"] == "bad row"


def test_table_is_written_only_with_permission(
    machines: Machines, account: Account, table: str
) -> None:
    item = {"pk": {"S": "k"}, "n": {"N": "1"}}
    definition = one("dynamodb:putItem", {"TableName": table, "Item": item})
    denied = machines.run(definition, allow("dynamodb:GetItem"))
    assert denied["error"] == "DynamoDB.AmazonDynamoDBException"
    assert "dynamodb:PutItem" in denied["cause"]
    allowed = machines.run(
        definition, allow("dynamodb:PutItem", resource=arn("dynamodb", f"table/{table}"))
    )
    assert allowed["status"] == "SUCCEEDED"
    stored = account.client("dynamodb").get_item(TableName=table, Key={"pk": {"S": "k"}})
    assert stored["Item"] == item


def test_failed_condition_keeps_its_name(machines: Machines, table: str) -> None:
    arguments = {
        "TableName": table,
        "Item": {"pk": {"S": "once"}},
        "ConditionExpression": "attribute_not_exists(pk)",
    }
    machine = machines.create(one("dynamodb:putItem", arguments), allow("dynamodb:PutItem"))
    assert machines.ended(machines.start(machine))["status"] == "SUCCEEDED"
    second = machines.ended(machines.start(machine))
    assert second["error"] == "DynamoDB.ConditionalCheckFailedException"


def test_sdk_integration_is_judged_like_a_request(machines: Machines, table: str) -> None:
    definition = one(
        "aws-sdk:dynamodb:transactWriteItems",
        {"TransactItems": [{"Put": {"TableName": table, "Item": {"pk": {"S": "t"}}}}]},
    )
    denied = machines.run(definition, allow("dynamodb:UpdateItem"))
    assert denied["error"] == "DynamoDb.DynamoDbException"
    assert "dynamodb:PutItem" in denied["cause"]
    assert machines.run(definition, allow("dynamodb:PutItem"))["status"] == "SUCCEEDED"


def test_sdk_integration_with_s3_needs_the_objects_permission(
    machines: Machines, account: Account
) -> None:
    bucket = unique("states-bucket")
    account.client("s3").create_bucket(Bucket=bucket)
    account.client("s3").put_object(Bucket=bucket, Key="a/b.txt", Body=b"text")
    definition = one("aws-sdk:s3:headObject", {"Bucket": bucket, "Key": "a/b.txt"})
    elsewhere = f"arn:aws:s3:::{bucket}/other/*"
    denied = machines.run(definition, allow("s3:GetObject", resource=elsewhere))
    assert denied["error"] == "S3.S3Exception"
    assert "s3:GetObject" in denied["cause"]
    here = f"arn:aws:s3:::{bucket}/a/*"
    assert machines.run(definition, allow("s3:GetObject", resource=here))["status"] == "SUCCEEDED"


def test_events_are_put_only_as_the_allowed_source(machines: Machines, account: Account) -> None:
    bus = unique("bus")
    account.client("events").create_event_bus(Name=bus)
    tap = BusTap(account, {"source": ["steward.training"]})

    def put(source: str, name: str) -> dict[str, Any]:
        entry = {
            "Source": source,
            "DetailType": "TrainingStarted",
            "Detail": {"meta": {"project": "p"}},
            "EventBusName": name,
        }
        return one("events:putEvents", {"Entries": [entry]})

    statement = {
        **allow("events:PutEvents", resource=arn("events", "event-bus/*")),
        "Condition": {"StringEquals": {"events:source": "steward.training"}},
    }
    assert machines.run(put("steward.training", "default"), statement)["status"] == "SUCCEEDED"
    event = tap.until(1)[0]
    assert event["detail"] == {"meta": {"project": "p"}}
    assert any(":execution:" in resource for resource in event["resources"])
    denied = machines.run(put("steward.serving", bus), statement)
    assert denied["error"] == "EventBridge.AmazonEventBridgeException"


def test_entry_that_the_bus_refuses_fails_the_task(machines: Machines) -> None:
    entry = {"Source": "aws.fake", "DetailType": "x", "Detail": {}}
    ended = machines.run(one("events:putEvents", {"Entries": [entry]}), allow("events:PutEvents"))
    assert ended["error"] == "EventBridge.FailedEntry"


def test_queue_and_topic_need_permission(machines: Machines, account: Account) -> None:
    url, queue = account.queue()
    send = one("sqs:sendMessage", {"QueueUrl": url, "MessageBody": {"a": 1}})
    assert machines.run(send)["error"] == "SQS.AmazonSQSException"
    sent = machines.run(send, allow("sqs:SendMessage", resource=queue))
    assert sent["status"] == "SUCCEEDED"
    assert [message["body"] for message in account.received(url)] == [{"a": 1}]
    topic = account.client("sns").create_topic(Name=unique("topic"))["TopicArn"]
    publish = one("sns:publish", {"TopicArn": topic, "Message": "hello"})
    assert machines.run(publish)["error"] == "SNS.AmazonSNSException"
    assert machines.run(publish, allow("sns:Publish", resource=topic))["status"] == "SUCCEEDED"


def nested(pattern: str, child: str) -> dict[str, Any]:
    return one(f"states:startExecution{pattern}", {"StateMachineArn": child, "Input": {"n": 2}})


def test_child_execution_is_waited_for_and_its_output_parsed(machines: Machines) -> None:
    child = machines.create(
        jsonata({"Double": {"Type": "Pass", "Output": "{% $states.input.n * 2 %}", "End": True}})
    )
    statements = [
        allow("states:StartExecution", "states:DescribeExecution", "states:StopExecution"),
        rules("StepFunctionsExecution"),
    ]
    ended = machines.run(nested(".sync:2", child), *statements)
    assert json.loads(ended["output"])["Output"] == 4
    text = json.loads(machines.run(nested(".sync", child), *statements)["output"])
    assert text["Output"] == "4"
    denied = machines.run(nested("", child))
    assert denied["error"] == "StepFunctions.AWSStepFunctionsException"


def test_stopped_parent_aborts_its_child(machines: Machines) -> None:
    child = machines.create(jsonata({"Wait": {"Type": "Wait", "Seconds": 6000, "End": True}}))
    parent = machines.create(
        nested(".sync:2", child), allow("states:*"), rules("StepFunctionsExecution")
    )
    execution = machines.start(parent)

    def children() -> list[Any]:
        found: list[Any] = machines.client.list_executions(stateMachineArn=child)["executions"]
        return found

    eventually(children)
    machines.client.stop_execution(executionArn=execution)
    aborted = machines.ended(children()[0]["executionArn"])
    assert (aborted["status"], aborted["error"]) == ("ABORTED", "States.ParentAborted")


def test_failed_child_fails_the_task(machines: Machines) -> None:
    child = machines.create(
        jsonata({"No": {"Type": "Fail", "Error": "GateError", "Cause": "too weak"}})
    )
    ended = machines.run(
        nested(".sync:2", child), allow("states:*"), rules("StepFunctionsExecution")
    )
    assert ended["error"] == "States.TaskFailed"
    cause = json.loads(ended["cause"])
    assert (cause["Status"], cause["Error"]) == ("FAILED", "GateError")


def test_machine_needs_a_role_that_trusts_step_functions(machines: Machines) -> None:
    _, role = machines.account.role([], trust("lambda"))
    with pytest.raises(ClientError) as error:
        machines.client.create_state_machine(
            name=unique("machine"),
            definition=json.dumps(jsonata({"A": {"Type": "Succeed"}})),
            roleArn=role,
        )
    answer = error.value.response["Error"]
    assert answer["Code"] == "AccessDeniedException"
    assert "authorized to assume the provided role" in answer["Message"]


def test_creator_of_a_machine_needs_to_pass_its_role(machines: Machines) -> None:
    role = machines.role()
    request = {
        "name": unique("machine"),
        "definition": json.dumps(jsonata({"A": {"Type": "Succeed"}})),
        "roleArn": role,
    }
    account = machines.account
    _, keys = account.user([allow("states:CreateStateMachine")])
    with pytest.raises(ClientError) as error:
        account.client("stepfunctions", keys).create_state_machine(**request)
    assert "iam:PassRole" in error.value.response["Error"]["Message"]
    _, keys = account.user(
        [allow("states:CreateStateMachine"), passing(role, "states.amazonaws.com")]
    )
    assert account.client("stepfunctions", keys).create_state_machine(**request)


def test_statement_taken_from_a_role_binds_the_next_execution(
    machines: Machines, echo: str
) -> None:
    account = machines.account
    name, role = account.role([allow("lambda:InvokeFunction")], trust("states"))
    machine = machines.client.create_state_machine(
        name=unique("machine"),
        definition=json.dumps(one("lambda:invoke", {"FunctionName": echo, "Payload": {}})),
        roleArn=role,
    )["stateMachineArn"]
    assert machines.ended(machines.start(machine))["status"] == "SUCCEEDED"
    account.client("iam").delete_role_policy(RoleName=name, PolicyName="own")
    assert machines.ended(machines.start(machine))["error"] == "Lambda.AWSLambdaException"


def test_token_is_waited_for_and_its_heartbeat_counted(
    machines: Machines, account: Account
) -> None:
    url, queue = account.queue()
    state = {
        "Type": "Task",
        "Resource": f"{TASK}sqs:sendMessage.waitForTaskToken",
        "Arguments": {
            "QueueUrl": url,
            "MessageBody": {"token": "{% $states.context.Task.Token %}"},
        },
        "HeartbeatSeconds": 1,
        "End": True,
    }
    machine = machines.create(jsonata({"Ask": state}), allow("sqs:SendMessage", resource=queue))
    execution = machines.start(machine)

    def token() -> str | None:
        return next((item["body"]["token"] for item in account.received(url)), None)

    machines.client.send_task_success(taskToken=eventually(token), output='{"ok": true}')
    assert json.loads(machines.ended(execution)["output"]) == {"ok": True}
    silent = machines.ended(machines.start(machine))
    assert silent["error"] == "States.HeartbeatTimeout"
