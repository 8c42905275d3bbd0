"""Distributed Map: a manifest in S3 is read, and each item is an execution of its own.

MiniStack's own takes JSONPath fields alone and lets children read the outer variables. Here the
manifest is read in the machine's role, children start with their own context and no variables,
the fields are JSONata, and what children return is bound by the payload limit.
https://docs.aws.amazon.com/step-functions/latest/dg/state-map-distributed.html
"""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextvars import copy_context
from typing import Any

from ministack.core.responses import new_uuid, now_iso
from ministack.services import stepfunctions as sf

from steward_local.stepfunctions_additions import history
from steward_local.stepfunctions_additions.role import MachineRole
from steward_local.stepfunctions_additions.scope import Cancelled, Scope, enter

READER = "arn:aws:states:::s3:getObject"
AT_ONCE = 40
"""Children that run side by side where AWS would take thousands."""

Child = Callable[[dict[str, Any], dict[str, Any], Any, dict[str, Any], Scope], Any]
"""Runs a processor for a child execution: processor, execution, input, context, scope."""


def run(
    state: dict[str, Any],
    data: Any,
    execution: dict[str, Any],
    ctx: dict[str, Any],
    scope: Scope,
    role: MachineRole,
    child: Child,
) -> list[Any]:
    """Run a Distributed Map and return what its children returned, in the order of the items.

    Raises:
        sf._ExecutionError: `States.ItemReaderFailed`, or `States.ExceedToleratedFailureThreshold`
            where more children failed than is tolerated.
    """
    machine, own = execution["stateMachineArn"], execution["executionArn"]
    role.require("states:StartExecution", machine, "StepFunctions.AccessDeniedException")
    items = _items(state, data, ctx, role)
    at_once = int(_number(state, "MaxConcurrency", data, ctx, 0)) or AT_ONCE
    label = state.get("Label") or ctx["State"]["Name"]
    prefix, name = machine.rsplit(":", 1)
    base = prefix.replace(":stateMachine", ":execution")
    history.add(
        execution, "MapStateStarted", {"mapStateStartedEventDetails": {"length": len(items)}}
    )
    record = _map_run(own, machine, f"{prefix.replace(':stateMachine', ':mapRun')}:{name}/{label}",
                      items, at_once)  # fmt: skip
    results: list[Any] = [None] * len(items)
    failures: list[Exception | None] = [None] * len(items)
    lock = threading.Lock()
    group = Scope(scope)

    def body(index: int) -> None:
        enter(group)
        given = _input(state, data, ctx, index, items[index])
        own_name = new_uuid()
        about = {
            "executionArn": f"{base}:{name}/{label}:{own_name}",
            "stateMachineArn": f"{machine}/{label}", "name": own_name, "status": "RUNNING",
            "startDate": now_iso(), "stopDate": None, "input": json.dumps(given),
            "inputDetails": {"included": True}, "output": None,
            "outputDetails": {"included": True}, "mapRunArn": record["mapRunArn"], "events": [],
            "mockAttempts": {},
        }  # fmt: skip
        sf._executions[about["executionArn"]] = about
        with lock:
            _count(record, "pending", "running")
        try:
            group.check()
            history.text_within_limit(given, ctx["State"]["Name"])
            inner = {
                "QueryLanguage": ctx["QueryLanguage"], "StateMachine": ctx["StateMachine"],
                "Execution": {
                    "Id": about["executionArn"], "Name": about["name"], "Input": given,
                    "RoleArn": ctx["Execution"]["RoleArn"], "StartTime": about["startDate"],
                    "RedriveCount": 0,
                },
                "variables": {},
            }  # fmt: skip
            results[index] = child(
                state["ItemProcessor"], about, copy.deepcopy(given), inner, group
            )
            about |= {"status": "SUCCEEDED", "output": json.dumps(results[index])}
            ended = "succeeded"
        except sf._ExecutionError as error:
            failures[index] = error
            about |= {"status": "FAILED", "error": error.error, "cause": error.cause}
            ended = "failed"
        except Cancelled:
            about["status"], ended = "ABORTED", "aborted"
        about["stopDate"] = now_iso()
        with lock:
            _count(record, "running", ended)

    with ThreadPoolExecutor(max_workers=max(1, min(at_once, AT_ONCE))) as pool:
        wait([pool.submit(copy_context().run, body, index) for index in range(len(items))])
    record["stopDate"] = now_iso()
    scope.check()
    failed = sum(failure is not None for failure in failures)
    if failed > _tolerated(state, data, ctx, len(items)):
        record["status"] = "FAILED"
        raise sf._ExecutionError(
            "States.ExceedToleratedFailureThreshold",
            "The specified tolerated failure threshold was exceeded",
        )
    record["status"] = "SUCCEEDED"
    history.add(execution, "MapStateSucceeded")
    return [result for result, failure in zip(results, failures, strict=True) if failure is None]


def _items(state: dict[str, Any], data: Any, ctx: dict[str, Any], role: MachineRole) -> list[Any]:
    reader = state.get("ItemReader")
    if reader is None:
        items = sf._jsonata_state_field(state, "Items", "array", data, ctx)
    else:
        items = _manifest(reader, data, ctx, role)
    if not isinstance(items, list):
        raise sf._ExecutionError("States.Runtime", "The items of a Map state must be an array.")
    return items


def _manifest(reader: dict[str, Any], data: Any, ctx: dict[str, Any], role: MachineRole) -> Any:
    if reader.get("Resource") != READER or (reader.get("ReaderConfig") or {}) != {
        "InputType": "JSON"
    }:
        raise sf._ExecutionError(
            "States.ItemReaderFailed", f"Only {READER} with InputType JSON is known here."
        )
    place = sf._apply_jsonata_template(reader["Arguments"], data, ctx)
    arn = f"arn:aws:s3:::{place['Bucket']}/{place['Key']}"
    role.require("s3:GetObject", arn, "States.ItemReaderFailed")
    return sf._parse_reader_items(
        sf._s3_object_text(place["Bucket"], place["Key"]), {"InputType": "JSON"}
    )


def _input(state: dict[str, Any], data: Any, ctx: dict[str, Any], index: int, item: Any) -> Any:
    if "ItemSelector" not in state:
        return item
    own = {**ctx, "Map": {"Item": {"Index": index, "Value": item}}}
    return sf._apply_jsonata_template(state["ItemSelector"], data, own)


def _number(
    state: dict[str, Any], field: str, data: Any, ctx: dict[str, Any], default: float
) -> float:
    if field not in state:
        return default
    value = state[field]
    if isinstance(value, str):
        value = sf._jsonata_state_field(state, field, "number", data, ctx)
    return float(value)


def _tolerated(state: dict[str, Any], data: Any, ctx: dict[str, Any], items: int) -> float:
    """Return how many children may fail: the stricter of the two limits, none by default."""
    limits = []
    if "ToleratedFailureCount" in state:
        limits.append(_number(state, "ToleratedFailureCount", data, ctx, 0))
    if "ToleratedFailurePercentage" in state:
        share = _number(state, "ToleratedFailurePercentage", data, ctx, 0)
        limits.append(share * items / 100)
    return min(limits, default=0)


def _map_run(
    execution: str, machine: str, arn: str, items: list[Any], at_once: int
) -> dict[str, Any]:
    zero = dict.fromkeys(
        ("pending", "running", "succeeded", "failed", "timedOut", "aborted", "total",
         "resultsWritten", "failuresNotRedrivable", "pendingRedrive"), 0,
    )  # fmt: skip
    counts = {**zero, "total": len(items), "pending": len(items)}
    record = {
        "mapRunArn": f"{arn}:{new_uuid()}", "executionArn": execution, "status": "RUNNING",
        "startDate": now_iso(), "maxConcurrency": at_once, "toleratedFailurePercentage": 0.0,
        "toleratedFailureCount": 0, "itemCounts": dict(counts), "executionCounts": dict(counts),
        "redriveCount": 0, "_stateMachineArn": machine,
    }  # fmt: skip
    sf._map_runs[record["mapRunArn"]] = record
    return record


def _count(record: dict[str, Any], before: str, after: str) -> None:
    for counts in (record["itemCounts"], record["executionCounts"]):
        counts[before] -= 1
        counts[after] += 1
