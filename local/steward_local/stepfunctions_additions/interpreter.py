"""Executions: states one after the other, until an end, a failure, a timeout or an abort.

MiniStack evaluates paths, intrinsics, JSONata and choices; what surrounds a state (calls in the
machine's role, retries, timeouts, cancellation, history, limits) is done here as on AWS.
"""

from __future__ import annotations

import copy
import json
import threading
from typing import Any

from ministack.core.responses import now_iso
from ministack.services import stepfunctions as sf

from steward_local.stepfunctions_additions import (
    distributed,
    flow,
    history,
    live,
    status_events,
    tasks,
)
from steward_local.stepfunctions_additions.role import MachineRole
from steward_local.stepfunctions_additions.scope import Cancelled, Scope, enter

_SIMPLE = {
    "Pass": sf._execute_pass,
    "Choice": sf._execute_choice,
    "Wait": sf._execute_wait,
}


class Walk:
    """One execution's walk through its machine."""

    def __init__(self, execution: dict[str, Any], role: MachineRole) -> None:
        self._execution = execution
        self._role = role

    def states(
        self,
        machine: dict[str, Any],
        data: Any,
        ctx: dict[str, Any],
        scope: Scope,
        *,
        start: str | None = None,
        is_top: bool = False,
    ) -> Any:
        """Run the states of `machine` (or of a branch) and return the last output."""
        states = machine["States"]
        name = start or machine["StartAt"]
        while name is not None:
            scope.check()
            state = states.get(name)
            if state is None:
                raise sf._ExecutionError("States.Runtime", f"State '{name}' not found.")
            ctx["State"] = {"Name": name, "EnteredTime": now_iso(), "RetryCount": 0}
            if is_top:
                self._execution["resumeAt"] = {
                    "state": name,
                    "input": copy.deepcopy(data),
                    "variables": copy.deepcopy(ctx["variables"]),
                }
            data, name = self._state(name, state, data, ctx, scope)
        return data

    def _state(
        self, name: str, state: dict[str, Any], data: Any, ctx: dict[str, Any], scope: Scope
    ) -> tuple[Any, str | None]:
        kind = state.get("Type", "")
        history.add(
            self._execution,
            f"{kind}StateEntered",
            {
                "stateEnteredEventDetails": {
                    "name": name,
                    "input": history.text_within_limit(data, name),
                    "inputDetails": {"truncated": False},
                }
            },
        )
        following: str | None
        if kind == "Fail":
            raise sf._ExecutionError(*sf._fail_state_error(state, data, ctx))
        if kind == "Succeed":
            output, following = _succeed(state, data, ctx), None
        elif kind in _SIMPLE:
            output, following = _SIMPLE[kind](state, data, ctx)
        elif kind == "Task":
            output, following = tasks.run(state, data, self._execution, ctx, self._role, scope)
        elif kind in {"Parallel", "Map"}:
            output, following = self._flow(state, data, ctx, scope)
        else:
            raise sf._ExecutionError("States.Runtime", f"Unknown state type: {kind}")
        text = history.text_within_limit(output, name)
        scope.check()
        history.add(
            self._execution,
            f"{kind}StateExited",
            {
                "stateExitedEventDetails": {
                    "name": name,
                    "output": text,
                    "outputDetails": {"truncated": False},
                }
            },
        )
        return output, following

    def _flow(
        self, state: dict[str, Any], data: Any, ctx: dict[str, Any], scope: Scope
    ) -> tuple[Any, str | None]:
        processor = state.get("ItemProcessor") or state.get("Iterator") or {}
        is_distributed = (processor.get("ProcessorConfig") or {}).get("Mode") == "DISTRIBUTED"
        if is_distributed and sf._state_query_language(state, ctx) != "JSONata":
            outcome: tuple[Any, str | None] = sf._execute_map(state, data, self._execution, ctx)
            return outcome
        if is_distributed:
            return flow.run(state, data, self._execution, ctx, scope, self._distributed)
        return flow.run(
            state,
            data,
            self._execution,
            ctx,
            scope,
            self.states,
        )

    def _distributed(
        self, state: dict[str, Any], data: Any, ctx: dict[str, Any], scope: Scope
    ) -> list[Any]:
        def child(
            processor: dict[str, Any],
            execution: dict[str, Any],
            given: Any,
            own: dict[str, Any],
            inner: Scope,
        ) -> Any:
            return Walk(execution, self._role).states(processor, given, own, inner)

        return distributed.run(state, data, self._execution, ctx, scope, self._role, child)


def _succeed(state: dict[str, Any], data: Any, ctx: dict[str, Any]) -> Any:
    if sf._state_query_language(state, ctx) == "JSONata":
        return sf._apply_jsonata_output(state, data, ctx, default=data)
    return sf._apply_output_path(state, sf._apply_input_path(state, data, ctx), ctx)


def run(arn: str) -> None:
    """Run an execution that MiniStack has recorded, in its own thread, to its end."""
    execution = sf._executions.get(arn)
    if execution is None:
        return
    scope = live.begin(arn)
    enter(scope)
    timer: threading.Timer | None = None
    try:
        machine_record = sf._state_machines[execution["stateMachineArn"]]
        machine = json.loads(machine_record["definition"])
        if "TimeoutSeconds" in machine:
            timer = threading.Timer(machine["TimeoutSeconds"], scope.cancel, ["timed out"])
            timer.daemon = True
            timer.start()
        _walk(execution, machine_record, machine, scope)
    except Cancelled:
        if scope.reason == "timed out":
            _end(execution, "TIMED_OUT", "ExecutionTimedOut", "States.Timeout", None)
    except history.HistoryFullError:
        cause = (
            f"The execution reached the maximum number of history events ({history.MAX_EVENTS})."
        )
        _end(execution, "FAILED", "ExecutionFailed", "States.Runtime", cause)
    except sf._ExecutionError as error:
        _end(execution, "FAILED", "ExecutionFailed", error.error, error.cause)
    except Exception as error:  # noqa: BLE001 - whatever broke ends the execution
        sf.logger.exception("Execution %s broke", arn)
        _end(execution, "FAILED", "ExecutionFailed", "States.Runtime", str(error))
    finally:
        if timer is not None:
            timer.cancel()
        scope.cancel("ended")
        live.end(arn)


def _walk(
    execution: dict[str, Any],
    machine_record: dict[str, Any],
    machine: dict[str, Any],
    scope: Scope,
) -> None:
    resumed = execution.pop("resumeFrom", None)
    given = json.loads(execution["input"])
    context = {
        "Id": execution["executionArn"],
        "Input": given,
        "Name": execution["name"],
        "RoleArn": machine_record["roleArn"],
        "StartTime": execution["startDate"],
        "RedriveCount": execution.get("redriveCount", 0),
    }
    if execution.get("redriveDate"):
        context["RedriveTime"] = execution["redriveDate"]
    ctx: dict[str, Any] = {
        "QueryLanguage": machine.get("QueryLanguage", "JSONPath"),
        "Execution": context,
        "StateMachine": {"Id": machine_record["stateMachineArn"], "Name": machine_record["name"]},
        "variables": resumed["variables"] if resumed else {},
    }
    walk = Walk(execution, MachineRole(machine_record["roleArn"]))
    output = walk.states(
        machine,
        resumed["input"] if resumed else given,
        ctx,
        scope,
        start=resumed["state"] if resumed else None,
        is_top=True,
    )
    text = history.text_within_limit(output, machine_record["name"])
    scope.check()
    if execution["status"] != "RUNNING":
        return
    execution["output"] = text
    execution["stopDate"] = now_iso()
    execution["status"] = "SUCCEEDED"
    execution.pop("resumeAt", None)
    history.add(
        execution,
        "ExecutionSucceeded",
        {
            "executionSucceededEventDetails": {
                "output": text,
                "outputDetails": {"truncated": False},
            }
        },
    )
    status_events.emit(execution)


def _end(execution: dict[str, Any], status: str, event: str, error: str, cause: str | None) -> None:
    if execution["status"] != "RUNNING":
        return
    execution["error"] = error
    if cause is not None:
        execution["cause"] = cause
    execution["stopDate"] = now_iso()
    execution["status"] = status
    member = f"{event[0].lower()}{event[1:]}EventDetails"
    details = {"error": error, **({"cause": cause} if cause is not None else {})}
    history.add(execution, event, {member: details})
    status_events.emit(execution)
