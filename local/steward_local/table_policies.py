"""Policies of DynamoDB tables, which MiniStack keeps and does not ask, and PartiQL's own actions.

A table's policy is asked for every item that a request touches: a batch and a transaction on each
of their tables, and a PartiQL statement as the select, insert, update or delete that it is. A
deny binds the account's root too, as on AWS.

Sources: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/access-control-resource-based.html
and https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-iam.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from ministack.core.responses import error_response_json, get_account_id, get_region

from steward_local import authority, judged_resources

JsonObject = dict[str, Any]
_PARTIQL = {"ExecuteStatement", "BatchExecuteStatement", "ExecuteTransaction"}
_STATEMENT = re.compile(
    r"^\s*(?:(?P<verb>INSERT)\s+INTO|(?P<verb2>UPDATE|DELETE\s+FROM)|(?P<verb3>SELECT)\b.*?\bFROM"
    r"|(?P<verb4>EXISTS)\s*\(\s*SELECT\b.*?\bFROM)\s+\"?(?P<table>[\w.-]+)\"?",
    re.IGNORECASE | re.DOTALL,
)
_ACTIONS = {
    "INSERT": "PartiQLInsert", "UPDATE": "PartiQLUpdate", "DELETE": "PartiQLDelete",
    "SELECT": "PartiQLSelect", "EXISTS": "PartiQLSelect",
}  # fmt: skip
_OF_TRANSACTIONS = {
    "ConditionCheck": "ConditionCheckItem", "Put": "PutItem", "Update": "UpdateItem",
    "Delete": "DeleteItem", "Get": "GetItem",
}  # fmt: skip


def install() -> None:
    """Ask the policies; call it before MiniStack serves.

    Raises:
        GroundMovedError: MiniStack is not the one that this was written against.
    """
    from ministack.core import iam_actions, iam_evaluator
    from ministack.services import dynamodb

    from steward_local.registrations import Ground

    why = "ask the policies of tables"
    for target, parameters in (
        ("services.dynamodb:handle_request", ("method", "path", "headers", "body", "query_params")),
        ("services.dynamodb:_resource_policies", ()),
        ("core.iam_evaluator:_RESOURCE_POLICY_LOOKUPS", ()),
        ("core.iam_actions:extract_iam_action",
         ("service", "method", "path", "headers", "body", "query_params")),
    ):  # fmt: skip
        Ground(target, parameters, why).locate()
    dynamodb.handle_request = _judged(dynamodb.handle_request)
    dynamodb.table_policy_for_arn = policy_of
    iam_evaluator._RESOURCE_POLICY_LOOKUPS["dynamodb"] = ("dynamodb", "table_policy_for_arn")
    iam_actions.extract_iam_action = _by_statement(iam_actions.extract_iam_action)
    judged_resources.judge("dynamodb", _table_of_statement)


def policy_of(resource_arn: str) -> tuple[Any, str] | None:
    """Return the policy of the table that an ARN names, with its owner; None without one."""
    from ministack.services import dynamodb

    table = re.sub(r"(:table/[^/]+)/(?:index|stream)/.*$", r"\1", resource_arn)
    entry = dynamodb._resource_policies.get(table)
    return (entry["Policy"], table.split(":")[4]) if entry else None


def touched(operation: str, data: JsonObject) -> Iterator[tuple[str, str]]:
    """Yield the action and table ARN of each item or statement of a request."""
    if operation in _PARTIQL:
        for statement in _statements(data):
            found = _STATEMENT.match(statement)
            if found:
                verb = next(v for k, v in found.groupdict().items() if k != "table" and v)
                yield _ACTIONS[verb.split()[0].upper()], _arn(found["table"])
    elif operation.startswith("Transact"):
        for item in data.get("TransactItems") or []:
            for member, action in _OF_TRANSACTIONS.items():
                if isinstance(item.get(member), dict):
                    yield action, _arn(str(item[member].get("TableName")))
    elif isinstance(data.get("RequestItems"), dict):
        for name in data["RequestItems"]:
            yield operation, _arn(str(name))
    elif data.get("TableName"):
        yield operation, _arn(str(data["TableName"]))


def _statements(data: JsonObject) -> list[str]:
    several = data.get("Statements") or data.get("TransactStatements") or [data]
    return [str(one.get("Statement") or "") for one in several if isinstance(one, dict)]


def _arn(table: str) -> str:
    if table.startswith("arn:"):
        return table
    return f"arn:aws:dynamodb:{get_region()}:{get_account_id()}:table/{table}"


def _parsed(body: bytes) -> JsonObject:
    try:
        data = json.loads(body or b"{}")
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}


def _judged(original: Callable[..., Any]) -> Callable[..., Any]:
    """Ask for every statement's own permission, and let a table's deny bind the root."""

    async def handle_request(
        method: str, path: str, headers: dict[str, str], body: bytes, query_params: JsonObject
    ) -> Any:
        operation = headers.get("x-amz-target", "").rsplit(".", 1)[-1]
        caller = authority.caller_of(headers, query_params)
        for action, arn in touched(operation, _parsed(body)):
            refused = _denied_by_table(caller, f"dynamodb:{action}", arn)
            if refused is None and operation in _PARTIQL:
                refused = caller.denial(f"dynamodb:{action}", arn)
            if refused:
                return error_response_json("AccessDeniedException", refused, 400)
        return await original(method, path, headers, body, query_params)

    return handle_request


def _denied_by_table(caller: authority.Principal, action: str, arn: str) -> str | None:
    from ministack.core import iam_evaluator

    found = policy_of(arn)
    if found is None:
        return None
    info = caller.info
    question = iam_evaluator.EvalContext(
        principal_arn=caller.arn,
        principal_type=info.type if info else "Root",
        principal_account=get_account_id(),
        action=action,
        resource_arn=arn,
        region=get_region(),
        service_context={"aws:tagkeys": None},
        principal_keys=info.keys if info else {},
    )
    if iam_evaluator.evaluate_resource_policy(found[0], question).decision != "Deny":
        return None
    return (
        f"User: {caller.arn} is not authorized to perform: {action} on resource: {arn} "
        "with an explicit deny in a resource-based policy"
    )


def _by_statement(original: Callable[..., str | None]) -> Callable[..., str | None]:
    """Judge a PartiQL request as what its first statement does; the others are judged later."""

    def extract_iam_action(
        service: str,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes,
        query_params: JsonObject,
    ) -> str | None:
        known = original(service, method, path, headers, body, query_params)
        operation = (known or "").partition(":")[2]
        if service == "dynamodb" and operation in _PARTIQL:
            first = next(touched(operation, _parsed(body)), None)
            if first:
                return f"dynamodb:{first[0]}"
        return known

    return extract_iam_action


def _table_of_statement(asked: judged_resources.Asked, known: str) -> str:
    if asked.operation not in _PARTIQL:
        return known
    first = next(touched(asked.operation, _parsed(asked.body)), None)
    return first[1] if first else known
