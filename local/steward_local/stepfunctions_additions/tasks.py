"""Task states: arguments, attempts with timeouts and heartbeats, retries, results."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

from ministack.core.responses import get_region, new_uuid
from ministack.services import stepfunctions as sf

from steward_local.stepfunctions_additions import calls, history, retry
from steward_local.stepfunctions_additions.role import MachineRole
from steward_local.stepfunctions_additions.scope import Scope, enter

Outcome = tuple[Any, str | None]


def run(
    state: dict[str, Any],
    data: Any,
    execution: dict[str, Any],
    ctx: dict[str, Any],
    role: MachineRole,
    scope: Scope,
) -> Outcome:
    """Run a Task state to its output and the name of the next state."""
    retries = retry.Retries(state.get("Retry", []))
    while True:
        ctx["State"]["RetryCount"] = retries.count
        try:
            result = _attempt(state, data, execution, ctx, role, scope)
            return _output(state, data, result, ctx), sf._next_or_end(state)
        except sf._ExecutionError as error:
            delay = retries.delay(error.error)
            if delay is not None:
                scope.sleep(delay)
                continue
            caught = retry.caught(state, error, data, ctx)
            if caught is None:
                raise
            return caught


def _output(state: dict[str, Any], data: Any, result: Any, ctx: dict[str, Any]) -> Any:
    if sf._state_query_language(state, ctx) == "JSONata":
        output = sf._apply_jsonata_output(state, data, ctx, result=result, default=result)
        sf._apply_state_assign(state, data, ctx, result=result)
        return output
    selected = sf._apply_result_selector(state, result)
    combined = sf._apply_result_path(state, data, selected)
    return sf._apply_output_path(state, combined, ctx)


def _arguments(state: dict[str, Any], data: Any, ctx: dict[str, Any]) -> Any:
    if sf._state_query_language(state, ctx) == "JSONata":
        return sf._apply_jsonata_arguments(state, data, ctx)
    return sf._apply_parameters(state, sf._apply_input_path(state, data, ctx), ctx)


def _seconds(state: dict[str, Any], field: str, data: Any, ctx: dict[str, Any]) -> float | None:
    path = state.get(f"{field}Path")
    if path is not None:
        value = sf._resolve_path_or_ctx(path, data, ctx)
    elif field not in state:
        return None
    elif sf._state_query_language(state, ctx) == "JSONata":
        value = sf._jsonata_state_field(state, field, "number", data, ctx)
    else:
        value = state[field]
    if not isinstance(value, int | float) or value <= 0:
        raise sf._ExecutionError("States.Runtime", f"{field} must be a positive number: {value!r}")
    return float(value)


def kind_of(resource: str) -> tuple[str, str]:
    """`resourceType` and `resource` of a task in the history."""
    if ":function:" in resource:
        return "lambda", resource
    parts = resource.split(":")
    if len(parts) > 7:
        return f"{parts[5]}:{parts[6]}", parts[7]
    return parts[5] if len(parts) > 5 else "states", parts[6] if len(parts) > 6 else resource


def _attempt(
    state: dict[str, Any],
    data: Any,
    execution: dict[str, Any],
    ctx: dict[str, Any],
    role: MachineRole,
    scope: Scope,
) -> Any:
    resource: str = state["Resource"]
    waits_for_token = resource.endswith(".waitForTaskToken")
    if waits_for_token:
        ctx["Task"] = {"Token": new_uuid()}
    arguments = _arguments(state, data, ctx)
    text = history.text_within_limit(arguments, resource)
    timeout = _seconds(state, "TimeoutSeconds", data, ctx)
    heartbeat = _seconds(state, "HeartbeatSeconds", data, ctx)
    kind, name = kind_of(resource)
    about = {"resourceType": kind, "resource": name}
    limits = {"timeoutInSeconds": int(timeout)} if timeout else {}
    history.add(
        execution,
        "TaskScheduled",
        {
            "taskScheduledEventDetails": {
                **about,
                "region": get_region(),
                "parameters": text,
                **limits,
                **({"heartbeatInSeconds": int(heartbeat)} if heartbeat else {}),
            }
        },
    )
    history.add(execution, "TaskStarted", {"taskStartedEventDetails": about})

    def submitted(answer: Any) -> None:
        taken = {**about, "output": json.dumps(answer)}
        history.add(execution, "TaskSubmitted", {"taskSubmittedEventDetails": taken})

    def work(inner: Scope) -> Any:
        enter(inner)
        if waits_for_token:
            token = ctx["Task"]["Token"]
            return _await_token(
                lambda: calls.call(resource, arguments, execution, role, inner, submitted),
                token,
                heartbeat,
                inner,
            )
        return calls.call(resource, arguments, execution, role, inner, submitted)

    try:
        result = scope.run(work, timeout)
        output = history.text_within_limit(result, resource)
    except TimeoutError:
        error = sf._ExecutionError("States.Timeout", f"Task timed out after {timeout:g} seconds.")
        history.add(
            execution,
            "TaskTimedOut",
            {"taskTimedOutEventDetails": {**about, "error": error.error, "cause": error.cause}},
        )
        raise error from None
    except sf._ExecutionError as error:
        scope.check()
        history.add(
            execution,
            "TaskFailed",
            {"taskFailedEventDetails": {**about, "error": error.error, "cause": error.cause}},
        )
        raise
    except (history.HistoryFullError, AssertionError):
        raise
    except Exception as error:
        sf.logger.exception("The call of %s failed", resource)
        raise sf._ExecutionError("States.TaskFailed", str(error)) from error
    history.add(
        execution, "TaskSucceeded", {"taskSucceededEventDetails": {**about, "output": output}}
    )
    return result


def _await_token(
    make_call: Callable[[], Any], token: str, heartbeat: float | None, scope: Scope
) -> Any:
    """Make the call, then wait for SendTaskSuccess or SendTaskFailure with the token."""
    answered = threading.Event()
    info: dict[str, Any] = {"event": answered, "result": None, "error": None, "heartbeat": None}
    sf._task_tokens[token] = info
    try:
        make_call()
        scope.on_cancel(answered.set)
        beat, since = None, time.monotonic()
        while not answered.wait(0.05 if heartbeat else None):
            if info["heartbeat"] != beat:
                beat, since = info["heartbeat"], time.monotonic()
            if heartbeat and time.monotonic() - since > heartbeat:
                raise sf._ExecutionError(
                    "States.HeartbeatTimeout", f"No heartbeat within {heartbeat:g} seconds."
                )
        scope.check()
    finally:
        sf._task_tokens.pop(token, None)
    if info["error"]:
        raise sf._ExecutionError(info["error"]["Error"], info["error"]["Cause"])
    return json.loads(info["result"])
