"""`states:startExecution`, with `.sync` and `.sync:2` over real child executions."""

from __future__ import annotations

import json
import threading
from typing import Any

from ministack.services import stepfunctions as sf

from steward_local.stepfunctions_additions import live
from steward_local.stepfunctions_additions.role import MachineRole
from steward_local.stepfunctions_additions.scope import Scope, Submitted

PREFIX = "arn:aws:states:::states:startExecution"
RULE = "StepFunctionsGetEventsForStepFunctionsExecutionRule"
FAULT = "StepFunctions.AWSStepFunctionsException"


def call(
    resource: str,
    data: dict[str, Any],
    execution: dict[str, Any],
    role: MachineRole,
    scope: Scope,
    submitted: Submitted,
) -> Any:
    """Start a child execution in the name of `role`; `.sync` waits and aborts it on cancel."""
    pattern = resource.removeprefix(PREFIX)
    if pattern not in {"", ".sync", ".sync:2"}:
        raise sf._ExecutionError("States.Runtime", f"{resource} is not a supported integration.")
    request = sf._nested_start_execution_request(data)
    role.require("states:StartExecution", request["stateMachineArn"], FAULT)
    status, _, body = sf._start_execution(request)
    started = json.loads(body)
    if status >= 400:
        name = started.get("__type", "AWSStepFunctionsException").rsplit("#", 1)[-1]
        exception = name if name.endswith("Exception") else f"{name}Exception"
        raise sf._ExecutionError(f"StepFunctions.{exception}", started.get("message", ""))
    arn: str = started["executionArn"]
    if not pattern:
        return {"ExecutionArn": arn, "StartDate": started["startDate"]}
    role.require("states:DescribeExecution", arn, FAULT)
    submitted({"ExecutionArn": arn, "StartDate": started["startDate"]})
    wake = threading.Event()
    live.when_ended(arn, wake.set)
    scope.on_cancel(wake.set)
    wake.wait()
    if scope.is_cancelled and not live.has_ended(arn):
        if role.principal().denial("states:StopExecution", arn) is None:
            sf._stop_execution(
                {
                    "executionArn": arn,
                    "error": "States.ParentAborted",
                    "cause": f"The execution {execution['executionArn']} ended.",
                }
            )
        scope.check()
    return _outcome(arn, parsed=pattern == ".sync:2")


def _outcome(arn: str, *, parsed: bool) -> Any:
    child = sf._executions[arn]
    output = child.get("output")
    if child["status"] == "SUCCEEDED" and parsed and output is not None:
        output = json.loads(output)
    described = {
        "ExecutionArn": arn,
        "Input": json.loads(child["input"]) if parsed else child["input"],
        "InputDetails": {"Included": True},
        "Name": child["name"],
        "Output": output if child["status"] == "SUCCEEDED" else None,
        "OutputDetails": {"Included": True},
        "StartDate": child["startDate"],
        "StateMachineArn": child["stateMachineArn"],
        "Status": child["status"],
        "StopDate": child["stopDate"],
        **{
            name: child[key]
            for name, key in (("Error", "error"), ("Cause", "cause"))
            if child.get(key)
        },
    }
    present = {name: value for name, value in described.items() if value is not None}
    if child["status"] != "SUCCEEDED":
        raise sf._ExecutionError("States.TaskFailed", json.dumps(present))
    return present
