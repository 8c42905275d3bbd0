"""Starting, stopping, describing and redriving executions as AWS does."""

from __future__ import annotations

import contextvars
import json
import re
import threading
import time
from collections.abc import Callable
from typing import Any

from ministack.core.responses import error_response_json, json_response, now_iso
from ministack.services import stepfunctions as sf

from steward_local.stepfunctions_additions import history, interpreter, live, status_events

Response = tuple[int, dict[str, str], bytes]
Handler = Callable[[dict[str, Any]], Response]

NAME_DAYS = 90
_BAD_NAME = re.compile(r'[\s<>{}\[\]?*"#%\\^|~`$&,;:/\x00-\x1f\x7f-\x9f]')
_burnt: dict[str, float] = {}
_lock = threading.Lock()


def start(original: Handler) -> Handler:
    """StartExecution: limits, and names that stay taken for 90 days."""

    def start_execution(data: dict[str, Any]) -> Response:
        refused = _refused(data)
        if refused is not None:
            return refused
        given = data.get("input", "{}")
        machine = sf._resolve_state_machine_arn(data.get("stateMachineArn", "").split("#")[0])
        if machine is None or not data.get("name"):
            return original(data)
        arn = f"{machine.replace(':stateMachine:', ':execution:')}:{data['name']}"
        with _lock:
            known = sf._executions.get(arn)
            if known is not None:
                if known["status"] == "RUNNING" and known["input"] == given:
                    return _answer({"executionArn": arn, "startDate": known["startDate"]})
                return _taken(arn)
            if _burnt.get(arn, 0) > time.time():
                return _taken(arn)
            _burnt[arn] = time.time() + NAME_DAYS * 86_400
            return original(data)

    return start_execution


def _answer(body: dict[str, Any]) -> Response:
    response: Response = json_response(body)
    return response


def _error(code: str, message: str) -> Response:
    response: Response = error_response_json(code, message, 400)
    return response


def _taken(arn: str) -> Response:
    return _error("ExecutionAlreadyExists", f"Execution Already Exists: '{arn}'")


def _refused(data: dict[str, Any]) -> Response | None:
    name, given = data.get("name"), data.get("input", "{}")
    if name is not None and (not 1 <= len(name) <= 80 or _BAD_NAME.search(name)):
        return _error("InvalidName", f"Invalid Name: '{name}'")
    if len(given.encode()) > history.MAX_PAYLOAD_BYTES:
        return _error(
            "ValidationException",
            "1 validation error detected: Value at 'input' failed to satisfy constraint: Member "
            f"must have length less than or equal to {history.MAX_PAYLOAD_BYTES}",
        )
    try:
        json.loads(given)
    except json.JSONDecodeError as error:
        return _error("InvalidExecutionInput", f"Invalid State Machine Execution Input: '{error}'")
    return None


def stop(original: Handler) -> Handler:
    """StopExecution: also ends what the execution is doing, jobs included."""

    def stop_execution(data: dict[str, Any]) -> Response:
        response = original(data)
        arn = data.get("executionArn", "")
        if response[0] < 400:
            live.cancel(arn, "aborted")
        return response

    return stop_execution


def describe(original: Handler) -> Handler:
    """DescribeExecution with what AWS says of redrives."""

    def describe_execution(data: dict[str, Any]) -> Response:
        response = original(data)
        execution = sf._executions.get(data.get("executionArn"))
        if response[0] >= 400 or execution is None:
            return response
        body = json.loads(response[2])
        status, reason = status_events.redrive_status(execution)
        if execution["status"] != "SUCCEEDED":
            body.pop("output", None)
            body.pop("outputDetails", None)
        body |= {"redriveCount": execution.get("redriveCount", 0), "redriveStatus": status}
        if reason:
            body["redriveStatusReason"] = reason
        if execution.get("redriveDate"):
            body["redriveDate"] = execution["redriveDate"]
        return _answer({key: value for key, value in body.items() if value is not None})

    return describe_execution


def redrive(data: dict[str, Any]) -> Response:
    """RedriveExecution: run on from the top-level state that did not succeed."""
    arn = data.get("executionArn", "")
    execution = sf._executions.get(arn)
    if execution is None:
        return _error("ExecutionDoesNotExist", f"Execution Does Not Exist: '{arn}'")
    with _lock:
        status, _ = status_events.redrive_status(execution)
        if status != "REDRIVABLE" or "resumeAt" not in execution:
            return _error(
                "ExecutionNotRedrivable",
                f"Execution is not redrivable: '{arn}' is {execution['status']}",
            )
        moment = now_iso()
        execution["resumeFrom"] = execution.pop("resumeAt")
        execution["redriveCount"] = execution.get("redriveCount", 0) + 1
        execution["redriveDate"] = moment
        execution["stopDate"] = None
        execution["output"] = None
        execution.pop("error", None)
        execution.pop("cause", None)
        execution["status"] = "RUNNING"
    history.add(
        execution,
        "ExecutionRedriven",
        {"executionRedrivenEventDetails": {"redriveCount": execution["redriveCount"]}},
    )
    status_events.emit(execution)
    threading.Thread(
        target=contextvars.copy_context().run,
        args=(interpreter.run, arn),
        daemon=True,
        name="sfn-redrive",
    ).start()
    return _answer({"redriveDate": moment})


def forget() -> None:
    """End every execution's work and free all names; for a reset."""
    live.cancel_all("reset")
    _burnt.clear()
