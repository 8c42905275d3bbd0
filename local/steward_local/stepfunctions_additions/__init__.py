"""Step Functions as AWS runs them: roles, `.sync` jobs, cancellation, limits, checks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def _assign_at_once(sf: Any) -> Callable[..., None]:
    """`Assign` evaluates all its expressions with the values from before the state."""

    def apply_state_assign(
        state_def: dict[str, Any],
        raw_input: Any,
        ctx: dict[str, Any] | None,
        result: Any = None,
        error_output: Any = None,
    ) -> None:
        assign = state_def.get("Assign")
        if ctx is None or not isinstance(assign, dict):
            return
        if sf._state_query_language(state_def, ctx) == "JSONata":
            values = {
                name: sf._apply_jsonata_template(
                    template, raw_input, ctx, result=result, error_output=error_output
                )
                for name, template in assign.items()
            }
        else:
            source = result if result is not None else raw_input
            values = sf._resolve_params_obj(assign, source, ctx)
        ctx["variables"].update(values)

    return apply_state_assign


def install() -> None:
    """Put the additions into MiniStack's Step Functions; call it before MiniStack serves.

    Raises:
        GroundMovedError: MiniStack is not the one that this was written against.
    """
    from ministack import app
    from ministack.services import stepfunctions as sf
    from ministack.services.cloudformation import provisioners

    from steward_local import lifecycle, pace
    from steward_local.stepfunctions_additions import (
        executions,
        history,
        interpreter,
        machines,
        role,
        sagemaker_calls,
        scope,
        status_events,
    )
    from steward_local.stepfunctions_additions.ground import GROUND

    def run_sub_machine(
        states: dict[str, Any], start_at: str, data: Any, execution: dict[str, Any], ctx: Any
    ) -> Any:
        parent = execution["stateMachineArn"].partition("/")[0]
        walk = interpreter.Walk(execution, role.MachineRole(sf._state_machines[parent]["roleArn"]))
        return walk.states({"States": states, "StartAt": start_at}, data, ctx, scope.Scope())

    replacements: dict[str, Callable[[Any], Any]] = {
        "_start_execution": executions.start,
        "_stop_execution": executions.stop,
        "_describe_execution": executions.describe,
        "_create_state_machine": machines.create,
        "_update_state_machine": machines.update,
        "_validate_state_machine_definition": machines.validate,
        "handle_request": machines.handle_request,
        "_run_execution": lambda _old: interpreter.run,
        "_run_sub_machine": lambda _old: run_sub_machine,
        "_add_event": lambda _old: history.add,
        "_emit_execution_status_event": lambda _old: status_events.emit,
        "_apply_state_assign": lambda _old: _assign_at_once(sf),
        "_scaled_sleep": lambda _old: lambda seconds: scope.sleep(pace.real_seconds(seconds)),
    }
    for ground in GROUND:
        ground.locate()
    for name, make in replacements.items():
        setattr(sf, name, make(getattr(sf, name)))
    resource = provisioners._RESOURCE_HANDLERS["AWS::StepFunctions::StateMachine"]
    resource["create"] = machines.provision(resource["create"])
    app.call_service_handler_sync = role.service_call(app.call_service_handler_sync)
    sagemaker_calls.register()
    lifecycle.on_stop(executions.forget)
