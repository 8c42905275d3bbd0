"""Parallel and inline Map states: branches that end with the first that fails."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextvars import copy_context
from typing import Any

from ministack.services import stepfunctions as sf

from steward_local.stepfunctions_additions import history, retry
from steward_local.stepfunctions_additions.scope import Cancelled, Scope, enter

Outcome = tuple[Any, str | None]
Branch = Callable[[dict[str, Any], Any, dict[str, Any], Scope], Any]
"""Runs a processor (with `StartAt` and `States`) on an input in a context and a scope."""


def run(
    state: dict[str, Any],
    data: Any,
    execution: dict[str, Any],
    ctx: dict[str, Any],
    scope: Scope,
    branch: Branch,
) -> Outcome:
    """Run a Parallel or Map state under its Retry and Catch rules."""
    retries = retry.Retries(state.get("Retry", []))
    own = dict(ctx["State"])
    while True:
        ctx["State"] = {**own, "RetryCount": retries.count}
        try:
            if _is_distributed(state):
                results = branch(state, data, ctx, scope)
            else:
                kind = _parallel if state["Type"] == "Parallel" else _map
                results = kind(state, data, execution, ctx, scope, branch)
            ctx["State"] = {**own, "RetryCount": retries.count}
            return _output(state, data, results, ctx), sf._next_or_end(state)
        except sf._ExecutionError as error:
            ctx["State"] = {**own, "RetryCount": retries.count}
            delay = retries.delay(error.error)
            if delay is not None:
                scope.sleep(delay)
                continue
            caught = retry.caught(state, error, data, ctx)
            if caught is None:
                raise
            return caught


def _is_distributed(state: dict[str, Any]) -> bool:
    processor = state.get("ItemProcessor") or {}
    return bool((processor.get("ProcessorConfig") or {}).get("Mode") == "DISTRIBUTED")


def _output(state: dict[str, Any], data: Any, results: Any, ctx: dict[str, Any]) -> Any:
    if sf._state_query_language(state, ctx) == "JSONata":
        output = sf._apply_jsonata_output(state, data, ctx, result=results, default=results)
        sf._apply_state_assign(state, data, ctx, result=results)
        return output
    selected = sf._apply_result_selector(state, results)
    combined = sf._apply_result_path(state, data, selected)
    return sf._apply_output_path(state, combined, ctx)


def _inner(ctx: dict[str, Any]) -> dict[str, Any]:
    """A branch's context: it reads the outer variables and keeps its own to itself."""
    return {**ctx, "variables": copy.deepcopy(ctx["variables"])}


def _together(works: list[Callable[[Scope], Any]], scope: Scope, at_once: int) -> list[Any]:
    """Run branches; the first error cancels the others and is raised."""
    group = Scope(scope)
    results: list[Any] = [None] * len(works)
    errors: list[BaseException] = []
    lock = threading.Lock()

    def body(index: int) -> None:
        enter(group)
        try:
            group.check()
            results[index] = works[index](group)
        except BaseException as error:  # noqa: BLE001 - raised again below, in the state's thread
            with lock:
                errors.append(error)
            group.cancel("a branch failed")

    with ThreadPoolExecutor(max_workers=max(1, at_once)) as pool:
        wait([pool.submit(copy_context().run, body, index) for index in range(len(works))])
    scope.check()
    real = [error for error in errors if not isinstance(error, Cancelled)]
    if real:
        raise real[0]
    return results


def _parallel(
    state: dict[str, Any],
    data: Any,
    execution: dict[str, Any],
    ctx: dict[str, Any],
    scope: Scope,
    branch: Branch,
) -> list[Any]:
    if sf._state_query_language(state, ctx) == "JSONata":
        given = sf._apply_jsonata_arguments(state, data, ctx)
    else:
        given = sf._apply_parameters(state, sf._apply_input_path(state, data, ctx), ctx)
    branches = state.get("Branches", [])
    history.add(execution, "ParallelStateStarted")

    def work(definition: dict[str, Any]) -> Callable[[Scope], Any]:
        return lambda inner: branch(definition, copy.deepcopy(given), _inner(ctx), inner)

    results = _together([work(item) for item in branches], scope, len(branches))
    history.add(execution, "ParallelStateSucceeded")
    return results


def _map(
    state: dict[str, Any],
    data: Any,
    execution: dict[str, Any],
    ctx: dict[str, Any],
    scope: Scope,
    branch: Branch,
) -> list[Any]:
    is_jsonata = sf._state_query_language(state, ctx) == "JSONata"
    given = data if is_jsonata else sf._apply_input_path(state, data, ctx)
    if is_jsonata and "Items" in state:
        items = sf._jsonata_state_field(state, "Items", "array", data, ctx)
    else:
        items = sf._resolve_path_or_ctx(state.get("ItemsPath", "$"), given, ctx)
    if not isinstance(items, list):
        raise sf._ExecutionError("States.Runtime", "The items of a Map state must be an array.")
    history.text_within_limit(items, ctx["State"]["Name"])
    at_once = state.get("MaxConcurrency", 0)
    if is_jsonata and "MaxConcurrency" in state:
        at_once = int(sf._jsonata_state_field(state, "MaxConcurrency", "number", data, ctx))
    selector = state.get("ItemSelector") or state.get("Parameters")
    processor = state.get("ItemProcessor") or state["Iterator"]
    name = ctx["State"]["Name"]
    history.add(
        execution, "MapStateStarted", {"mapStateStartedEventDetails": {"length": len(items)}}
    )

    def work(index: int) -> Callable[[Scope], Any]:
        def iteration(inner: Scope) -> Any:
            own = {**_inner(ctx), "Map": {"Item": {"Index": index, "Value": items[index]}}}
            if not selector:
                item = copy.deepcopy(items[index])
            elif is_jsonata:
                item = sf._apply_jsonata_template(selector, data, own)
            else:
                item = sf._resolve_params_obj(selector, given, own)
            about = {"name": name, "index": index}
            history.add(
                execution, "MapIterationStarted", {"mapIterationStartedEventDetails": about}
            )
            result = branch(processor, item, own, inner)
            history.add(
                execution, "MapIterationSucceeded", {"mapIterationSucceededEventDetails": about}
            )
            return result

        return iteration

    results = _together(
        [work(index) for index in range(len(items))], scope, min(at_once or 40, len(items) or 1)
    )
    history.add(execution, "MapStateSucceeded")
    return results
