"""One call of a Task state: the role is asked first, then the service is called."""

from __future__ import annotations

import json
import threading
from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import stepfunctions as sf

from steward_local.stepfunctions_additions import athena_calls, nested, sagemaker_calls
from steward_local.stepfunctions_additions import role as roles
from steward_local.stepfunctions_additions.role import MachineRole
from steward_local.stepfunctions_additions.scope import Scope, Submitted

_OPTIMISED = "arn:aws:states:::"
_SDK = "arn:aws:states:::aws-sdk:"
_JOBS = {
    sagemaker_calls.PREFIX: sagemaker_calls.call,
    athena_calls.PREFIX: athena_calls.call,
}
_DYNAMODB = ("getItem", "putItem", "updateItem", "deleteItem")


def call(
    resource: str,
    data: Any,
    execution: dict[str, Any],
    role: MachineRole,
    scope: Scope,
    submitted: Submitted,
) -> Any:
    """The result of calling `resource` with `data` in the name of `role`."""
    plain = resource.removesuffix(".waitForTaskToken")
    if plain.startswith(_SDK):
        token = roles.act_as(role)
        try:
            return sf._invoke_aws_sdk_integration(plain, data)
        finally:
            roles.stop_acting(token)
    if plain.startswith(f"{_OPTIMISED}lambda:invoke") or ":function:" in plain:
        return _lambda(plain, data, role)
    for prefix, work in _JOBS.items():
        if plain.startswith(prefix):
            return work(plain, data, role, scope, submitted)
    if plain.startswith(nested.PREFIX):
        return nested.call(plain, data, execution, role, scope, submitted)
    if plain.startswith(f"{_OPTIMISED}events:putEvents"):
        return _put_events(data, execution, role)
    _judge_optimised(plain, data, role)
    return sf._invoke_resource(plain, data)


def _arn(service: str, rest: str) -> str:
    return f"arn:aws:{service}:{get_region()}:{get_account_id()}:{rest}"


def _lambda(resource: str, data: Any, role: MachineRole) -> Any:
    optimised = resource.startswith(_OPTIMISED)
    reference = data.get("FunctionName", "") if optimised else resource
    if optimised and not reference:
        raise sf._ExecutionError("States.Runtime", "lambda:invoke needs a FunctionName.")
    arn = reference if reference.startswith("arn:") else _arn("lambda", f"function:{reference}")
    qualifier = data.get("Qualifier") if optimised else None
    if qualifier:
        arn = f"{arn}:{qualifier}"
    role.require("lambda:InvokeFunction", arn, "Lambda.AWSLambdaException")
    if not optimised:
        return _invoke(sf._extract_lambda_ref(resource), data)
    function = sf._resolve_lambda_function_ref(arn, optimized=True)
    payload = data.get("Payload", {})
    if data.get("InvocationType") == "Event":
        threading.Thread(
            target=_quietly, args=(function, payload), daemon=True, name="sfn-lambda-event"
        ).start()
        return {"StatusCode": 202, "Payload": ""}
    result = _invoke(function, payload)
    return {"ExecutedVersion": qualifier or "$LATEST", "Payload": result, "StatusCode": 200}


def _invoke(function: str, payload: Any) -> Any:
    """Invoke synchronously; a throttled call has the name by which definitions retry it."""
    try:
        return sf._call_lambda(function, payload)
    except sf._ExecutionError as failed:
        if failed.error == "Lambda.Unknown" and '"TooManyRequestsException"' in failed.cause:
            message = json.loads(failed.cause)["message"]
            cause = f"{message} (Service: Lambda, Status Code: 429)"
            raise sf._ExecutionError("Lambda.TooManyRequestsException", cause) from None
        raise


def _quietly(function: str, payload: Any) -> None:
    try:
        sf._call_lambda(function, payload)
    except sf._ExecutionError:
        sf.logger.warning("The asynchronous invocation of %s failed", function)


def _put_events(data: dict[str, Any], execution: dict[str, Any], role: MachineRole) -> Any:
    for arn, context in roles.event_targets(data):
        role.require("events:PutEvents", arn, "EventBridge.AmazonEventBridgeException", context)
    origin = [execution["stateMachineArn"], execution["executionArn"]]
    entries = []
    for entry in data.get("Entries", []):
        detail = entry.get("Detail", {})
        text = detail if isinstance(detail, str) else json.dumps(detail)
        entries.append(
            {**entry, "Detail": text, "Resources": [*entry.get("Resources", []), *origin]}
        )
    result = sf._invoke_events_put_events("", {**data, "Entries": entries})
    if result.get("FailedEntryCount"):
        raise sf._ExecutionError("EventBridge.FailedEntry", json.dumps(result))
    return result


def _judge_optimised(resource: str, data: Any, role: MachineRole) -> None:
    service, _, action = resource.removeprefix(_OPTIMISED).partition(":")
    if service == "dynamodb" and action in _DYNAMODB:
        table = data.get("TableName", "")
        arn = table if table.startswith("arn:") else _arn("dynamodb", f"table/{table}")
        operation = action[0].upper() + action[1:]
        context = sf_dynamodb_context(data)
        role.require(f"dynamodb:{operation}", arn, "DynamoDB.AmazonDynamoDBException", context)
    elif service == "sqs" and action == "sendMessage":
        queue = data.get("QueueUrl", "").rstrip("/").rsplit("/", 1)[-1]
        role.require("sqs:SendMessage", _arn("sqs", queue), "SQS.AmazonSQSException")
    elif service == "sns" and action == "publish":
        topic = data.get("TopicArn") or data.get("TargetArn") or "*"
        role.require("sns:Publish", topic, "SNS.AmazonSNSException")
    elif ":activity:" not in resource:
        raise sf._ExecutionError("States.Runtime", f"{resource} is not a supported integration.")


def sf_dynamodb_context(data: dict[str, Any]) -> dict[str, Any]:
    """The condition keys (leading keys, attributes) of a DynamoDB call."""
    from ministack.core import iam_actions

    context: dict[str, Any] = iam_actions.dynamodb_service_context(json.dumps(data).encode())
    return context
