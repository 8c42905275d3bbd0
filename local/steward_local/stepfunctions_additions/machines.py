"""Creating and changing state machines: definition, role, PassRole and managed rules."""

from __future__ import annotations

import contextvars
import json
from collections.abc import Callable
from typing import Any

from ministack import app
from ministack.core.responses import (
    error_response_json,
    get_account_id,
    get_region,
    json_response,
)
from ministack.services import stepfunctions as sf

from steward_local import authority
from steward_local.authority import Principal
from steward_local.stepfunctions_additions import definition_check, executions
from steward_local.stepfunctions_additions.role import SERVICE

Response = tuple[int, dict[str, str], bytes]
Handler = Callable[[dict[str, Any]], Response]
_RULE_ACTIONS = ("events:PutTargets", "events:PutRule", "events:DescribeRule")

_caller: contextvars.ContextVar[Principal | None] = contextvars.ContextVar(
    "steward_states_caller", default=None
)


def refusal(definition: str, role_arn: str) -> tuple[str, str] | None:
    """Code and message of what AWS refuses about a machine, or None."""
    caller = _caller.get()
    denied = _pass_role_denial(caller, role_arn)
    if denied:
        return "AccessDeniedException", denied
    if app.AUTH and not authority.trusts(role_arn, SERVICE):
        return (
            "AccessDeniedException",
            "Neither the global service principal states.amazonaws.com, nor the regional one is "
            "authorized to assume the provided role.",
        )
    flaws = definition_check.check(definition)
    if flaws:
        text = "; ".join(str(flaw) for flaw in flaws)
        return "InvalidDefinition", f"Invalid State Machine Definition: '{text}'"
    return _rule_refusal(definition, role_arn)


def _pass_role_denial(caller: Principal | None, role_arn: str) -> str | None:
    if caller is None:
        return None
    return caller.denial("iam:PassRole", role_arn, {"iam:PassedToService": SERVICE})


def _rule_refusal(definition: str, role_arn: str) -> tuple[str, str] | None:
    names = definition_check.managed_rules(definition)
    if not names or not app.AUTH:
        return None
    role = authority.principal_of(authority.assume_for_service(role_arn, SERVICE, "validation"))
    base = f"arn:aws:events:{get_region()}:{get_account_id()}:rule/"
    for name in sorted(names):
        for action in _RULE_ACTIONS:
            if role.denial(action, base + name):
                return (
                    "AccessDeniedException",
                    f"'{role_arn}' is not authorized to create managed-rule. (needs {action} on "
                    f"{base}{name})",
                )
    return None


def _error(refused: tuple[str, str]) -> Response:
    response: Response = error_response_json(*refused, 400)
    return response


def create(original: Handler) -> Handler:
    """CreateStateMachine."""

    def create_state_machine(data: dict[str, Any]) -> Response:
        for member in ("name", "definition", "roleArn"):
            if not data.get(member):
                return _error(
                    (
                        "ValidationException",
                        f"1 validation error detected: Value null at '{member}' failed to satisfy "
                        "constraint: Member must not be null",
                    )
                )
        refused = refusal(data["definition"], data["roleArn"])
        return _error(refused) if refused else original(data)

    return create_state_machine


def update(original: Handler) -> Handler:
    """UpdateStateMachine."""

    def update_state_machine(data: dict[str, Any]) -> Response:
        known = sf._state_machines.get(data.get("stateMachineArn"))
        if known is not None:
            refused = refusal(
                data.get("definition", known["definition"]), data.get("roleArn", known["roleArn"])
            )
            if refused:
                return _error(refused)
        return original(data)

    return update_state_machine


def provision(original: Callable[..., Any]) -> Callable[..., Any]:
    """Make CloudFormation's creation of a machine refuse what CreateStateMachine refuses."""

    def create_resource(logical_id: str, props: dict[str, Any], stack_name: str) -> Any:
        physical_id, attributes = original(logical_id, props, stack_name)
        made = sf._state_machines[physical_id]
        refused = refusal(made["definition"], made["roleArn"])
        if refused:
            sf._state_machines.pop(physical_id, None)
            raise ValueError(
                f"{refused[1]} (Service: AWSStepFunctions; Status Code: 400; Error Code: "
                f"{refused[0]})"
            )
        return physical_id, attributes

    return create_resource


def validate(_original: Handler) -> Handler:
    """ValidateStateMachineDefinition."""

    def validate_state_machine_definition(data: dict[str, Any]) -> Response:
        flaws = definition_check.check(data.get("definition", ""))
        diagnostics = [
            {
                "severity": "ERROR",
                "code": flaw.code,
                "message": flaw.message,
                "location": flaw.location,
            }
            for flaw in flaws
        ]
        response: Response = json_response(
            {"result": "FAIL" if flaws else "OK", "diagnostics": diagnostics, "truncated": False}
        )
        return response

    return validate_state_machine_definition


def handle_request(original: Callable[..., Any]) -> Callable[..., Any]:
    """Remember who calls, and serve RedriveExecution, which MiniStack lacks."""

    async def handle(
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes | str,
        query_params: dict[str, Any],
    ) -> Any:
        _caller.set(authority.caller_of(headers, query_params))
        if headers.get("x-amz-target", "").endswith(".RedriveExecution"):
            return sf._finalize_response(executions.redrive(json.loads(body or b"{}")))
        return await original(method, path, headers, body, query_params)

    return handle
