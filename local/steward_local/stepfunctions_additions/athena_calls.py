"""The optimised Athena integrations, with `.sync` for queries.

Source: https://docs.aws.amazon.com/step-functions/latest/dg/connect-athena.html
"""

from __future__ import annotations

import json
import threading
from typing import Any

from ministack.services import athena
from ministack.services import stepfunctions as sf

from steward_local.athena import queries, workgroup_arn
from steward_local.sagemaker import request_check
from steward_local.sagemaker.errors import ApiError
from steward_local.stepfunctions_additions.role import MachineRole
from steward_local.stepfunctions_additions.scope import Scope, Submitted

PREFIX = "arn:aws:states:::athena:"
PLAIN = ("startQueryExecution", "stopQueryExecution", "getQueryExecution", "getQueryResults")
SYNC = "startQueryExecution"
FAULT = "Athena.AmazonAthenaException"


def call(
    resource: str, params: dict[str, Any], role: MachineRole, scope: Scope, submitted: Submitted
) -> Any:
    """Make the call of a task; with `.sync`, wait for the query and stop it when cancelled."""
    action, _, pattern = resource.removeprefix(PREFIX).partition(".")
    if action not in PLAIN or pattern not in {"", "sync"} or (pattern and action != SYNC):
        raise sf._ExecutionError("States.Runtime", f"{resource} is not a supported integration.")
    operation = action[0].upper() + action[1:]
    shape = request_check.operation(operation, "athena").input_shape
    for name in params:
        if name not in shape.members:
            raise sf._ExecutionError(
                "States.Runtime", f"The field '{name}' is not supported by Step Functions."
            )
    arn = workgroup_arn(_workgroup(params))
    role.require(f"athena:{operation}", arn, FAULT)
    if action != SYNC:
        return _answer(operation, params)
    if pattern:
        role.require("athena:GetQueryExecution", arn, FAULT)
    try:
        query_id = queries.start(params, role.principal())
    except ApiError as error:
        raise sf._ExecutionError(
            f"Athena.{error.code}",
            f"{error.message} (Service: AmazonAthena; Status Code: {error.status}; Error Code: "
            f"{error.code})",
        ) from error
    started = {"QueryExecutionId": query_id}
    if not pattern:
        return started
    submitted(started)
    return _finished(query_id, arn, role, scope)


def _workgroup(params: dict[str, Any]) -> str:
    execution = athena._executions.get(params.get("QueryExecutionId"))
    if execution is not None:
        return str(execution["WorkGroup"])
    return str(params.get("WorkGroup", "primary"))


def _answer(operation: str, params: dict[str, Any]) -> Any:
    handlers = {
        "StopQueryExecution": athena._stop_query_execution,
        "GetQueryExecution": athena._get_query_execution,
        "GetQueryResults": athena._get_query_results,
    }
    status, _, body = handlers[operation](params)
    answer = json.loads(body)
    if status >= 400:
        name = answer.get("__type", "InvalidRequestException").rsplit("#", 1)[-1]
        raise sf._ExecutionError(f"Athena.{name}", answer.get("message", ""))
    return answer


def _finished(query_id: str, arn: str, role: MachineRole, scope: Scope) -> Any:
    wake = threading.Event()
    queries.when_ended(query_id, wake.set)
    scope.on_cancel(wake.set)
    wake.wait()
    if scope.is_cancelled:
        if role.principal().denial("athena:StopQueryExecution", arn) is None:
            queries.stop(query_id)
        scope.check()
    described = queries.described(query_id)
    if described["QueryExecution"]["Status"]["State"] == "SUCCEEDED":
        return described
    raise sf._ExecutionError("States.TaskFailed", json.dumps(described))
