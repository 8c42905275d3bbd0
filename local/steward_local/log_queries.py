"""Saved queries of CloudWatch Logs Insights, which MiniStack does not have.

Source: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutQueryDefinition.html
They are kept and listed; MiniStack runs the part of the query language that it knows.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from typing import Any

from ministack.core.responses import AccountRegionScopedDict, error_response_json, json_response

JsonObject = dict[str, Any]
Handler = Callable[..., Any]
_MOST = 1000
_kept: Any = AccountRegionScopedDict()


class QueryDefinitionError(ValueError):
    """A saved query that CloudWatch Logs refuses."""


def install() -> None:
    """Serve the three operations; call it before MiniStack serves.

    Raises:
        GroundMovedError: MiniStack is not the one that this was written against.
    """
    from ministack.services import cloudwatch_logs

    from steward_local.registrations import Ground

    Ground(
        "services.cloudwatch_logs:handle_request",
        ("method", "path", "headers", "body", "query_params"),
        "keep saved log queries",
    ).locate()
    cloudwatch_logs.handle_request = _with_queries(cloudwatch_logs.handle_request)


def put(request: JsonObject) -> str:
    """Keep a query, new or by its id, and return the id.

    Raises:
        QueryDefinitionError: A name or query is missing or too long, the id is unknown, or a log
            group does not exist.
    """
    from ministack.services import cloudwatch_logs

    name, query = str(request.get("name") or ""), str(request.get("queryString") or "")
    if not 1 <= len(name) <= 255:
        raise QueryDefinitionError("name: 1 to 255 characters")
    if not 1 <= len(query) <= 10_000:
        raise QueryDefinitionError("queryString: 1 to 10000 characters")
    given = request.get("queryDefinitionId")
    if given and given not in _kept:
        raise QueryDefinitionError(f"no query definition {given}")
    groups = [str(group) for group in request.get("logGroupNames") or []]
    missing = [group for group in groups if group not in cloudwatch_logs._log_groups]
    if missing:
        raise QueryDefinitionError(f"log groups do not exist: {', '.join(missing)}")
    kept = str(given or uuid.uuid4())
    _kept[kept] = {
        "queryDefinitionId": kept,
        "name": name,
        "queryString": query,
        "logGroupNames": groups,
        "lastModified": int(time.time() * 1000),
        "queryLanguage": "CWLI",
    }
    return kept


def described(prefix: str = "") -> list[JsonObject]:
    """Return the queries whose names begin so, by name."""
    found = [kept for kept in _kept.values() if kept["name"].startswith(prefix)]
    return sorted(found, key=lambda kept: str(kept["name"]))


def forget(query_definition_id: str) -> bool:
    """Delete a query and tell whether there was one."""
    return _kept.pop(query_definition_id, None) is not None


def _with_queries(original: Handler) -> Handler:
    async def handle(
        method: str, path: str, headers: dict[str, str], body: bytes, query_params: JsonObject
    ) -> Any:
        action = headers.get("x-amz-target", "").rsplit(".", 1)[-1]
        served = _OPERATIONS.get(action)
        if served is None:
            return await original(method, path, headers, body, query_params)
        try:
            return json_response(served(json.loads(body or b"{}")))
        except QueryDefinitionError as problem:
            return error_response_json("InvalidParameterException", str(problem), 400)

    return handle


def _describe(request: JsonObject) -> JsonObject:
    most = int(request.get("maxResults") or _MOST)
    return {
        "queryDefinitions": described(str(request.get("queryDefinitionNamePrefix") or ""))[:most]
    }


def _delete(request: JsonObject) -> JsonObject:
    if not forget(str(request.get("queryDefinitionId") or "")):
        raise QueryDefinitionError("no such query definition")
    return {"success": True}


_OPERATIONS: dict[str, Callable[[JsonObject], JsonObject]] = {
    "PutQueryDefinition": lambda request: {"queryDefinitionId": put(request)},
    "DescribeQueryDefinitions": _describe,
    "DeleteQueryDefinition": _delete,
}
