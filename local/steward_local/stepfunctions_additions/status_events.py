"""`Step Functions Execution Status Change` on the default bus, and what a redrive says of itself.

Source of the shape: "Automating Step Functions event delivery with EventBridge" (developer guide).
"""

from __future__ import annotations

import json
import time
from typing import Any

from ministack.services import cloudwatch, eventbridge
from ministack.services import stepfunctions as sf

from steward_local.stepfunctions_additions.history import MAX_EVENTS

_PAYLOAD_CAP = 248 * 1024
REDRIVABLE_S = 14 * 86_400
"""An execution can be redriven this long after it ended."""
_METRICS = {
    "RUNNING": "ExecutionsStarted",
    "SUCCEEDED": "ExecutionsSucceeded",
    "FAILED": "ExecutionsFailed",
    "TIMED_OUT": "ExecutionsTimedOut",
    "ABORTED": "ExecutionsAborted",
}


def redrive_status(execution: dict[str, Any]) -> tuple[str, str | None]:
    """`redriveStatus` and, if it cannot be redriven, the reason."""
    status = execution["status"]
    if status in {"FAILED", "TIMED_OUT", "ABORTED"}:
        stopped_ms = sf._iso_to_epoch_ms(execution.get("stopDate"))
        if stopped_ms is not None and time.time() - stopped_ms / 1000 > REDRIVABLE_S:
            return "NOT_REDRIVABLE", "The redrivable period of 14 days has passed"
        if len(execution["events"]) >= MAX_EVENTS - 1:
            return "NOT_REDRIVABLE", f"The history has the maximum of {MAX_EVENTS} events"
        return "REDRIVABLE", None
    return "NOT_REDRIVABLE", f"Execution is {status} and cannot be redriven"


def emit(execution: dict[str, Any]) -> None:
    """Put the event of the execution's status on the bus, and count it in ``AWS/States``.

    Express executions send no event.
    """
    if execution.get("sync"):
        return
    status = execution["status"]
    if status in _METRICS:
        machine = {"StateMachineArn": execution["stateMachineArn"]}
        cloudwatch.record_metric("AWS/States", _METRICS[status], 1, "Count", machine)
    redrive, reason = redrive_status(execution)
    detail: dict[str, Any] = {
        "executionArn": execution["executionArn"],
        "stateMachineArn": execution["stateMachineArn"],
        "name": execution["name"],
        "status": status,
        "startDate": sf._iso_to_epoch_ms(execution.get("startDate")),
        "stopDate": sf._iso_to_epoch_ms(execution.get("stopDate")),
        "input": execution.get("input"),
        "output": execution.get("output") if status == "SUCCEEDED" else None,
        "inputDetails": {"included": True},
        "outputDetails": {"included": True} if status == "SUCCEEDED" else None,
        "error": execution.get("error"),
        "cause": execution.get("cause"),
        "stateMachineVersionArn": None,
        "stateMachineAliasArn": None,
        "redriveCount": execution.get("redriveCount", 0),
        "redriveDate": sf._iso_to_epoch_ms(execution.get("redriveDate")),
        "redriveStatus": redrive,
        "redriveStatusReason": reason,
    }
    for member in ("input", "output"):
        value = detail[member]
        if value is not None and len(value.encode()) > _PAYLOAD_CAP:
            detail[member] = None
            detail[f"{member}Details"] = {"included": False}
    eventbridge._put_events(
        {
            "Entries": [
                {
                    "Source": "aws.states",
                    "DetailType": "Step Functions Execution Status Change",
                    "Detail": json.dumps(detail),
                    "Resources": [execution["executionArn"]],
                }
            ]
        },
        allow_aws_source=True,
    )
