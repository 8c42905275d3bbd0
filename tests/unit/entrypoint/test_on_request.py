"""``@on_request``: verified callers only, errors become answers."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

from steward.domain.errors import (
    AccessDeniedError,
    ApprovalRefusedError,
    ConflictError,
    DependencyError,
    LockHeldError,
    MalformedEventError,
    NotAuthorizedError,
    ProjectNotFoundError,
    RejectedError,
    ThrottledError,
    VersionNotFoundError,
)
from steward.entrypoint import Handler, Request, Response, on_request
from support.doorways import request
from support.lambda_context import LambdaContext

CALLER = "arn:aws:iam::000000000000:user/anna"


class Answer(BaseModel):
    version: int


def answering(outcome: object) -> Handler:
    @on_request
    def handler(request: Request) -> Response:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome if isinstance(outcome, Response) else Response(200, outcome)

    return handler


def ask(handler: Handler, event: Any = None) -> tuple[int, Any]:
    answer = handler(request("GET", CALLER) if event is None else event, LambdaContext())
    return answer["statusCode"], json.loads(answer["body"])


def test_the_request_arrives_with_its_verified_caller() -> None:
    seen: list[Request] = []

    @on_request
    def handler(request: Request) -> Response:
        seen.append(request)
        return Response(200, request.json())

    event = {
        **request("post", CALLER, query={"version": "2"}, body='{"a": "ü"}'),
        "rawPath": "/diabetes",
        "headers": {"Content-Type": "application/json"},
    }

    assert ask(handler, event) == (200, {"a": "ü"})
    (found,) = seen
    assert (found.method, found.path, found.query) == ("POST", "/diabetes", {"version": "2"})
    assert (found.caller_arn, found.content_type) == (CALLER, "application/json")
    assert found.request_id


def test_a_body_in_base64_is_decoded() -> None:
    @on_request
    def handler(request: Request) -> Response:
        return Response(200, {"length": len(request.body)})

    event = request("POST", CALLER, body=base64.b64encode(b"\x00\xff").decode())

    assert ask(handler, {**event, "isBase64Encoded": True}) == (200, {"length": 2})


def test_models_leave_as_json_and_bytes_as_they_are() -> None:
    assert ask(answering(Answer(version=2))) == (200, {"version": 2})

    raw = answering(Response(201, b"1,2\n", {"content-type": "text/csv"}))
    answer = raw(request("GET", CALLER), LambdaContext())
    assert (answer["statusCode"], answer["headers"]["content-type"]) == (201, "text/csv")
    assert answer["isBase64Encoded"]
    assert base64.b64decode(answer["body"]) == b"1,2\n"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RejectedError("no", field="age", value=-3, allowed="0 to 120"), 400),
        (MalformedEventError("no"), 400),
        (ApprovalRefusedError("no"), 400),
        (NotAuthorizedError("no"), 403),
        (ProjectNotFoundError("no"), 404),
        (VersionNotFoundError("no"), 404),
        (ConflictError("no"), 409),
        (LockHeldError("no"), 409),
        (DependencyError("no"), 503),
        (ThrottledError("no"), 503),
        (AccessDeniedError("no"), 500),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_becomes_an_answer(error: Exception, status: int) -> None:
    found, body = ask(answering(error))

    assert found == status
    assert body["error"] == type(error).__name__


def test_a_rejection_names_field_value_and_what_is_allowed() -> None:
    _, body = ask(answering(RejectedError("age is -3", field="age", value=-3, allowed="0 to 120")))

    assert body == {
        "error": "RejectedError", "message": "age is -3",
        "field": "age", "value": -3, "allowed": "0 to 120",
    }  # fmt: skip


def test_a_bug_is_logged_and_not_told(log_lines: Callable[[], list[Any]]) -> None:
    status, body = ask(answering(KeyError("secret")))

    assert status == 500
    assert "secret" not in json.dumps(body)
    assert "secret" in log_lines()[-1]["exception"]


@pytest.mark.parametrize(
    "event",
    [
        {},
        [],
        {"requestContext": {"http": {"method": "GET"}}},
        {"requestContext": {"http": {"method": "GET"}, "authorizer": None}},
        {**request("GET", CALLER), "requestContext": {"authorizer": {"iam": {"userArn": CALLER}}}},
    ],
    ids=str,
)
def test_without_a_verified_caller_nothing_is_answered(event: Any) -> None:
    status, body = ask(answering({"secret": 1}), event)

    assert (status, body["error"]) == (403, "NotAuthorizedError")


def test_a_body_that_is_not_json_is_the_caller_s_fault() -> None:
    @on_request
    def handler(request: Request) -> Response:
        return Response(200, request.json())

    assert ask(handler, request("POST", CALLER, body="{nonsense"))[0] == 400
    assert ask(handler, request("POST", CALLER, body="")) == (200, None)
