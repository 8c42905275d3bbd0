"""`sagemaker-featurestore-runtime`: a REST API of its own beside the control plane's port."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from steward_local import authority
from steward_local.authority import AccessDeniedError, Principal
from steward_local.sagemaker import request_check, store
from steward_local.sagemaker.errors import ApiError
from steward_local.sagemaker.feature_store import records

SERVICE = "sagemaker-featurestore-runtime"
Response = tuple[int, dict[str, str], bytes]
Operation = Callable[[dict[str, Any], Principal], dict[str, Any]]
_NAME = r"((?:arn:[^/]+/)?[^/]+)"
_LISTS = {"FeatureName": "FeatureNames", "TargetStores": "TargetStores"}
_OPERATIONS: tuple[tuple[str, re.Pattern[str], str, Operation], ...] = (
    ("PUT", re.compile(f"/FeatureGroup/{_NAME}/?"), "PutRecord", records.put),
    ("GET", re.compile(f"/FeatureGroup/{_NAME}/?"), "GetRecord", records.get),
    ("DELETE", re.compile(f"/FeatureGroup/{_NAME}/?"), "DeleteRecord", records.delete),
    ("POST", re.compile(f"/FeatureGroup/{_NAME}/Record/?"), "UpdateRecord", records.update),
    (
        "POST",
        re.compile(f"/FeatureGroup/{_NAME}/ListRecords/?"),
        "ListRecords",
        records.list_records,
    ),
    ("POST", re.compile("/BatchGetRecord/?"), "BatchGetRecord", records.batch_get),
    ("POST", re.compile("/BatchWriteRecord/?"), "BatchWriteRecord", records.batch_write),
)


@dataclass(frozen=True)
class Call:
    """What a request asks for; `group` is empty for a batch."""

    operation: str
    handler: Operation
    group: str


def call_of(method: str, path: str) -> Call | None:
    """The operation of this API that a request is for, if it is for one."""
    plain = unquote(path)
    for verb, pattern, name, handler in _OPERATIONS:
        found = pattern.fullmatch(plain) if verb == method else None
        if found:
            return Call(name, handler, found[1] if pattern.groups else "")
    return None


def resource_of(call: Call, body: bytes) -> str:
    """The ARN on which IAM judges a request; a batch is judged on its other groups later."""
    name = call.group or _first_of_batch(body)
    return store.current().arn("feature-group", name.rsplit("/", 1)[-1]) if name else "*"


def _first_of_batch(body: bytes) -> str:
    try:
        parsed = json.loads(body)
        name = (parsed.get("Identifiers") or parsed["Entries"])[0]["FeatureGroupName"]
    except (ValueError, LookupError, TypeError, AttributeError):
        return ""
    return name if isinstance(name, str) else ""


def answer(call: Call, headers: dict[str, str], body: bytes, query: dict[str, Any]) -> Response:
    """Do one operation of the runtime."""
    try:
        params: dict[str, Any] = {name: _member(name, given) for name, given in _named(query)}
        if body:
            params |= _parsed(body)
        if call.group:
            params["FeatureGroupName"] = call.group
        request_check.check(call.operation, params, SERVICE)
        result = call.handler(params, authority.caller_of(headers, query))
    except AccessDeniedError as error:
        return _refusal(ApiError("AccessDeniedException", str(error), 403))
    except ApiError as error:
        return _refusal(error)
    has_output = request_check.operation(call.operation, SERVICE).output_shape is not None
    content = json.dumps(result).encode() if has_output else b""
    return 200, {"Content-Type": "application/json"}, content


def _named(query: dict[str, Any]) -> list[tuple[str, Any]]:
    return [(_LISTS.get(name, name), given) for name, given in query.items()]


def _member(name: str, given: Any) -> Any:
    found = given if isinstance(given, list) else [given]
    return found if name in _LISTS.values() else found[0]


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(body)
    except ValueError:
        parsed = None
    if not isinstance(parsed, dict):
        raise ApiError("SerializationException", "Expected a JSON object")
    return parsed


def _refusal(error: ApiError) -> Response:
    code = "ValidationError" if error.code == "ValidationException" else error.code
    return (
        error.status,
        {"Content-Type": "application/json", "x-amzn-ErrorType": code},
        json.dumps({"Message": error.message}).encode(),
    )
