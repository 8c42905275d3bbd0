"""`sagemaker-featurestore-runtime`: a REST API of its own beside the control plane's port."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
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
_GROUP = re.compile(r"/FeatureGroup/((?:arn:[^/]+/)?[^/]+)/?")
_BATCH = re.compile(r"/BatchGetRecord/?")
_LISTS = {"FeatureName": "FeatureNames", "TargetStores": "TargetStores"}
_OPERATIONS: dict[str, tuple[str, Operation]] = {
    "PUT": ("PutRecord", records.put),
    "GET": ("GetRecord", records.get),
    "DELETE": ("DeleteRecord", records.delete),
    "POST": ("BatchGetRecord", records.batch_get),
}


def serves(method: str, path: str) -> bool:
    """Whether a request is one of this API."""
    if method == "POST":
        return _BATCH.fullmatch(path) is not None
    return method in _OPERATIONS and _GROUP.fullmatch(unquote(path)) is not None


def resource_of(path: str, body: bytes) -> str:
    """The ARN on which IAM judges a request; a batch is judged on its other groups later."""
    found = _GROUP.fullmatch(unquote(path))
    name = found[1] if found else _first_of_batch(body)
    return store.current().arn("feature-group", name.rsplit("/", 1)[-1]) if name else "*"


def _first_of_batch(body: bytes) -> str:
    try:
        name = json.loads(body)["Identifiers"][0]["FeatureGroupName"]
    except (ValueError, LookupError, TypeError):
        return ""
    return name if isinstance(name, str) else ""


def answer(
    method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
) -> Response:
    """Do one operation of the runtime."""
    found = _GROUP.fullmatch(unquote(path))
    try:
        params: dict[str, Any] = {name: _member(name, given) for name, given in _named(query)}
        if body:
            params |= _parsed(body)
        name, handler = _OPERATIONS[method]
        if found:
            params["FeatureGroupName"] = found[1]
        request_check.check(name, params, SERVICE)
        result = handler(params, authority.caller_of(headers, query))
    except AccessDeniedError as error:
        return _refusal(ApiError("AccessDeniedException", str(error), 403))
    except ApiError as error:
        return _refusal(error)
    content = json.dumps(result).encode() if result or method in {"GET", "POST"} else b""
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
