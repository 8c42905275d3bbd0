"""Asynchronous invocation: retries, then the function's own destinations.

Source: https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
"""

import contextvars
import json
import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from ministack.core.responses import new_uuid, request_scope
from ministack.services import lambda_svc

from steward_local import authority, delivery, lifecycle

JsonObject = dict[str, Any]
Invoke = Callable[[JsonObject, Any], None]
_log = logging.getLogger(__name__)
_DEFAULT_RETRIES = 2
_DEFAULT_AGE_SECONDS = 6 * 3600


def _destination_record(
    config: JsonObject, event: Any, result: JsonObject, attempts: int, condition: str
) -> JsonObject:
    failed = bool(result.get("error"))
    response: JsonObject = {
        "statusCode": 200,
        "executedVersion": config.get("Version", "$LATEST"),
    }
    if failed:
        response["functionError"] = result.get("function_error") or "Unhandled"
    arn = config.get("FunctionArn", "")
    return {
        "version": "1.0",
        "timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z",
        "requestContext": {
            "requestId": new_uuid(),
            "functionArn": arn if arn.count(":") > 6 else f"{arn}:$LATEST",
            "condition": condition,
            "approximateInvokeCount": attempts,
        },
        "requestPayload": event,
        "responseContext": response,
        "responsePayload": result.get("body"),
    }


def _send(config: JsonObject, arn: str, record: JsonObject) -> None:
    """Deliver a record with the permissions of the function's role.

    Raises:
        DeliveryError: The role may not, or the destination is gone.
    """
    try:
        session = authority.assume_for_service(
            config.get("Role", ""), "lambda.amazonaws.com", config.get("FunctionName", "lambda")
        )
    except authority.AssumeRoleError as problem:
        raise delivery.DeliveryError("ACCESS_DENIED", str(problem)) from problem
    sender = authority.principal_of(session)
    condition = record["requestContext"]["condition"]
    error = "Success" if condition == "Success" else "Failure"
    delivery.deliver_as(
        sender,
        arn,
        delivery.Parcel(
            body=record,
            source="lambda",
            detail_type=f"Lambda Function Invocation Result - {error}",
            resource=record["requestContext"]["functionArn"],
        ),
    )


def _send_to_dead_letters(config: JsonObject, arn: str, event: Any, result: JsonObject) -> None:
    body = result.get("body") or {}
    attributes = {
        "RequestID": new_uuid(),
        "ErrorCode": "200",
        "ErrorMessage": str(body.get("errorMessage", ""))[:1024],
    }
    session = authority.assume_for_service(
        config.get("Role", ""), "lambda.amazonaws.com", config.get("FunctionName", "lambda")
    )
    parcel = delivery.Parcel(body=event, source="lambda", attributes=attributes)
    delivery.deliver_as(authority.principal_of(session), arn, parcel)


def _attempt(func: JsonObject, event: Any, settings: JsonObject) -> tuple[JsonObject, int, str]:
    """Invoke until it succeeds or may not be tried again: result, attempts, condition."""
    retries = settings.get("MaximumRetryAttempts")
    retries = _DEFAULT_RETRIES if retries is None else int(retries)
    oldest = float(settings.get("MaximumEventAgeInSeconds") or _DEFAULT_AGE_SECONDS)
    started = time.monotonic()
    attempts = 0
    while True:
        result: JsonObject = lambda_svc._execute_function(func, event)
        throttled = bool(result.get("throttle"))
        attempts += 0 if throttled else 1
        if not result.get("error"):
            return result, attempts, "Success"
        if attempts > retries:
            return result, attempts, "RetriesExhausted"
        base = lambda_svc._LAMBDA_ASYNC_RETRY_BASE_SECONDS
        pause = min(base * 2 ** max(0, attempts - 1), lambda_svc._LAMBDA_ASYNC_RETRY_MAX_SECONDS)
        if time.monotonic() - started + pause > oldest or lifecycle.stopping.wait(pause):
            return result, attempts, "EventAgeExceeded"


def _run(func: JsonObject, event: Any) -> None:
    config = func.get("config") or func
    settings = (
        func.get("event_invoke_config")
        or (func.get("event_invoke_configs") or {}).get("$LATEST")
        or {}
    )
    account, region = lambda_svc._account_region_from_function_config(config)
    with request_scope(account, region):
        result, attempts, condition = _attempt(func, event, settings)
        destinations = settings.get("DestinationConfig") or {}
        kind = "OnSuccess" if condition == "Success" else "OnFailure"
        destination = (destinations.get(kind) or {}).get("Destination")
        dead_letters = (config.get("DeadLetterConfig") or {}).get("TargetArn")
        try:
            if destination:
                record = _destination_record(config, event, result, attempts, condition)
                _send(config, destination, record)
            if dead_letters and condition != "Success":
                _send_to_dead_letters(config, dead_letters, event, result)
        except (delivery.DeliveryError, authority.AssumeRoleError) as problem:
            name = config.get("FunctionName")
            _log.warning("%s: destination failed: %s; event %s", name, problem, json.dumps(event))


def invoke(_original: Invoke) -> Invoke:
    """Invoke in the background with Lambda's retries, destinations and dead letters."""

    def invoke_async(func: JsonObject, event: Any) -> None:
        context = contextvars.copy_context()
        threading.Thread(
            target=context.run, args=(_run, func, event), daemon=True, name="lambda-async"
        ).start()

    return invoke_async
