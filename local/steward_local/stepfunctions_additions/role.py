"""The role of a state machine: its session, and what it may do."""

from __future__ import annotations

import contextvars
import json
from typing import Any

from ministack.core import iam_actions
from ministack.core.responses import get_account_id, get_region, new_uuid
from ministack.services import stepfunctions as sf

from steward_local import authority
from steward_local.authority import Principal, RoleCredentials

SERVICE = "states.amazonaws.com"
_acting: contextvars.ContextVar[MachineRole | None] = contextvars.ContextVar(
    "steward_states_role", default=None
)


class MachineRole:
    """The role session in which one execution makes its calls."""

    def __init__(self, role_arn: str) -> None:
        self.role_arn = role_arn
        self._credentials: RoleCredentials | None = None

    def credentials(self) -> RoleCredentials:
        """The session's credentials, taken at the first call.

        Raises:
            sf._ExecutionError: `States.Permissions` when the role no longer trusts the service.
        """
        if self._credentials is None:
            try:
                self._credentials = authority.assume_for_service(
                    self.role_arn, SERVICE, new_uuid().replace("-", "")[:32]
                )
            except authority.AssumeRoleError as error:
                raise sf._ExecutionError("States.Permissions", str(error)) from error
        return self._credentials

    def principal(self) -> Principal:
        """The role as its policies are now."""
        return authority.principal_of(self.credentials())

    def require(
        self,
        action: str,
        resource: str,
        error_name: str,
        context: dict[str, Any] | None = None,
    ) -> None:
        """Fail the task with `error_name` unless the role may do `action` on `resource`."""
        message = self.principal().denial(action, resource, context)
        if message:
            raise denied(error_name, message)


def denied(error_name: str, message: str) -> Exception:
    """The error of a task whose call IAM refused."""
    service = error_name.partition(".")[0]
    error: Exception = sf._ExecutionError(
        error_name,
        f"{message} (Service: {service}; Status Code: 403; Error Code: AccessDeniedException; "
        f"Request ID: {new_uuid()})",
    )
    return error


def act_as(role: MachineRole | None) -> contextvars.Token[MachineRole | None]:
    """Make `role` the caller of the SDK integrations of this thread."""
    return _acting.set(role)


def stop_acting(token: contextvars.Token[MachineRole | None]) -> None:
    """Undo `act_as`."""
    _acting.reset(token)


def service_call(original: Any) -> Any:
    """Wrap `ministack.app.call_service_handler_sync` so that IAM judges a machine's SDK calls."""

    def call_service_handler_sync(
        handler: Any,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes | str,
        query_params: dict[str, Any],
        timeout: float | None = None,
    ) -> Any:
        role = _acting.get()
        if role is not None:
            _judge(role, method, path, headers, body, query_params)
            key = role.credentials().access_key
            headers = {
                **headers,
                "authorization": headers.get("authorization", "").replace(
                    "Credential=test/", f"Credential={key}/"
                ),
            }
        return original(handler, method, path, headers, body, query_params, timeout)

    return call_service_handler_sync


def _judge(
    role: MachineRole,
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes | str,
    query: dict[str, Any],
) -> None:
    service = headers.get("host", "").partition(".")[0]
    content = body.encode() if isinstance(body, str) else body
    region, account = get_region(), get_account_id()
    action = iam_actions.extract_iam_action(service, method, path, headers, content, query)
    if action is None:
        raise sf._ExecutionError(
            "States.Runtime", f"No IAM action is known for {service} {method} {path}."
        )
    prefix = _prefix_of(service)
    checks: list[tuple[str, str, dict[str, Any]]]
    if service == "dynamodb":
        base = iam_actions.dynamodb_service_context(content)
        transaction = iam_actions.dynamodb_transaction_checks(action, content, region, account)
        checks = [(item, arn, base) for item, arn in transaction] or [
            (action, arn, base)
            for arn in iam_actions.dynamodb_resource_arns(content, region, account) or ["*"]
        ]
    elif service == "events":
        checks = [(action, arn, context) for arn, context in event_targets(json.loads(content))]
    else:
        params = dict(query)
        arn = iam_actions.extract_resource_arn(
            service, method, path, headers, content, params, region, account
        )
        context = iam_actions.request_tag_context(service, action, content, params)
        if service == "s3":
            context |= iam_actions.s3_service_context(action, query, path, headers) or {}
        checks = [(action, arn, context)]
    for wanted, arn, context in checks:
        role.require(wanted, arn, f"{prefix}.{prefix}Exception", context)


def _prefix_of(service_key: str) -> str:
    for name, info in sf._AWS_SDK_SERVICE_MAP.items():
        if info.get("service_key", name) == service_key:
            return str(sf._AWS_SDK_ERROR_PREFIX.get(name, name.capitalize()))
    return service_key.capitalize()


def event_targets(data: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The bus of each entry of a PutEvents call, with the keys that policies may name."""
    region, account = get_region(), get_account_id()
    found = []
    for entry in data.get("Entries", []):
        bus = entry.get("EventBusName") or "default"
        arn = (
            bus if bus.startswith("arn:") else f"arn:aws:events:{region}:{account}:event-bus/{bus}"
        )
        context = {
            "events:source": entry.get("Source", ""),
            "events:detail-type": entry.get("DetailType", ""),
        }
        found.append((arn, context))
    return found or [("*", {})]
