"""`InvokeEndpoint` of sagemaker-runtime."""

from __future__ import annotations

import contextvars
import http.client
import json
import random
import threading
import time
from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import cloudwatch

from steward_local.sagemaker import store
from steward_local.sagemaker.endpoints import Endpoint, Fleet
from steward_local.sagemaker.errors import ApiError
from steward_local.sagemaker.variant import Answer, Variant

MAX_BODY = 6 * 1024 * 1024
MAX_SERVERLESS_BODY = 4 * 1024 * 1024
_PREFIX = "x-amzn-sagemaker-"
_dice = random.Random()  # noqa: S311 - shares traffic, keeps no secret

Response = tuple[int, dict[str, str], bytes]


def invoke(name: str, headers: dict[str, str], body: bytes) -> Response:
    """Answer one invocation: choose the variant, call it, count it, capture it."""
    fleet = _entered(name)
    try:
        return _answer(name, fleet, headers, body)
    finally:
        fleet.leave()


def _entered(name: str) -> Fleet:
    """Return the fleet that answers now; it is not ended before it has."""
    at = store.current()
    with at.lock:
        endpoint: Endpoint | None = at.endpoints.get(name.lower())
        if endpoint is None or endpoint.fleet is None or endpoint.deleted.is_set():
            raise ApiError(
                "ValidationError", f"Endpoint {name} of account {get_account_id()} not found."
            )
        endpoint.fleet.enter()
        return endpoint.fleet


def _answer(name: str, fleet: Fleet, headers: dict[str, str], body: bytes) -> Response:
    variant = _choose(fleet, headers.get(f"{_PREFIX}target-variant"))
    _check_size(variant, body)
    passed = {
        key: value
        for key, value in headers.items()
        if key
        in {"content-type", "accept", f"{_PREFIX}custom-attributes", f"{_PREFIX}inference-id"}
    }
    passed.setdefault("content-type", "application/octet-stream")
    event_id = fleet.capture.draw() if fleet.capture is not None else None
    for shadow in fleet.shadows:
        # The part of requests that is copied is the shadow's weight by the variant's.
        if _dice.random() * variant.weight < shadow.weight:
            threading.Thread(
                target=contextvars.copy_context().run,
                args=(_mirror, name, fleet, shadow, body, passed, event_id),
                daemon=True,
                name="shadow",
            ).start()
    started = time.perf_counter()
    answer = _call(name, variant, body, passed)
    _count(name, variant, answer, time.perf_counter() - started)
    if answer.status >= 400:
        raise _model_error(name, answer.status, answer.body.decode("utf-8", "replace"))
    content_type = answer.headers.get("content-type", "application/octet-stream")
    if fleet.capture is not None and event_id is not None:
        fleet.capture.record(
            variant.name,
            (body, passed["content-type"]),
            (answer.body, content_type),
            passed.get(f"{_PREFIX}inference-id"),
            event_id,
        )
    out = {
        "Content-Type": content_type,
        "x-Amzn-Invoked-Production-Variant": variant.name,
    }
    attributes = answer.headers.get(f"{_PREFIX}custom-attributes")
    if attributes:
        out["X-Amzn-SageMaker-Custom-Attributes"] = attributes
    return 200, out, answer.body


def _choose(fleet: Fleet, wanted: str | None) -> Variant:
    if wanted:
        for variant in fleet.variants:
            if variant.name == wanted:
                return variant
        raise ApiError(
            "ValidationError",
            f"Variant {wanted} not found for Request "
            f"(variants: {', '.join(v.name for v in fleet.variants)}).",
        )
    weights = [variant.weight for variant in fleet.variants]
    if sum(weights) <= 0:
        raise ApiError("ValidationError", "All variants of the endpoint have a weight of zero.")
    return _dice.choices(fleet.variants, weights)[0]


def _check_size(variant: Variant, body: bytes) -> None:
    limit = MAX_SERVERLESS_BODY if variant.serverless else MAX_BODY
    if len(body) > limit:
        raise ApiError(
            "ValidationError",
            f"Request {len(body)} bytes is above the maximum payload of {limit} bytes.",
            413,
        )


def _call(name: str, variant: Variant, body: bytes, headers: dict[str, str]) -> Answer:
    slots = variant.slots
    if slots is not None and not slots.acquire(blocking=False):
        raise ApiError(
            "ThrottlingException",
            f"Maximum concurrency of {variant.max_concurrency} reached for endpoint {name}.",
            429,
        )
    try:
        return variant.invoke(body, headers)
    except TimeoutError:
        _count_failure(name, variant)
        raise _model_error(
            name,
            0,
            "Your invocation timed out while waiting for a response from container primary. "
            "Review the latency metrics for each container in Amazon CloudWatch, resolve the "
            "issue, and try again.",
        ) from None
    except (OSError, http.client.HTTPException):
        _count_failure(name, variant)
        raise _model_error(
            name, 500, "The container closed the connection without an answer."
        ) from None
    finally:
        if slots is not None:
            slots.release()


def _mirror(
    name: str,
    fleet: Fleet,
    shadow: Variant,
    body: bytes,
    headers: dict[str, str],
    event_id: str | None,
) -> None:
    """Ask a shadow variant; what it says is counted and captured, and nobody gets it."""
    started = time.perf_counter()
    try:
        answer = shadow.invoke(body, headers)
    except (OSError, http.client.HTTPException):
        shadow.failures += 1
        _count_failure(name, shadow)
        return
    _count(name, shadow, answer, time.perf_counter() - started)
    if answer.status >= 400 or fleet.capture is None or event_id is None:
        return
    fleet.capture.record(
        shadow.name,
        (body, headers["content-type"]),
        (answer.body, answer.headers.get("content-type", "application/octet-stream")),
        headers.get(f"{_PREFIX}inference-id"),
        event_id,
    )


def _model_error(name: str, status: int, text: str) -> ApiError:
    region, account = get_region(), get_account_id()
    side = "client" if 400 <= status < 500 else "server"
    link = (
        f"https://{region}.console.aws.amazon.com/cloudwatch/home?region={region}"
        f"#logEventViewer:group=/aws/sagemaker/Endpoints/{name}"
    )
    return ApiError(
        "ModelError",
        f'Received {side} error ({status}) from primary with message "{text}". '
        f"See {link} in account {account} for more information.",
        424,
        ErrorCode=f"{side.upper()}_ERROR_FROM_MODEL",
        OriginalStatusCode=status,
        OriginalMessage=text,
        LogStreamArn=(f"arn:aws:logs:{region}:{account}:log-group:/aws/sagemaker/Endpoints/{name}"),
    )


def _count(name: str, variant: Variant, answer: Answer, seconds: float) -> None:
    failed = answer.status >= 500
    values = {
        "Invocations": 1.0,
        "Invocation4XXErrors": float(400 <= answer.status < 500),
        "Invocation5XXErrors": float(failed),
        "InvocationModelErrors": float(answer.status >= 400),
        "ModelLatency": answer.seconds * 1e6,
        "OverheadLatency": max(0.0, seconds - answer.seconds) * 1e6,
    }
    _store(name, variant, values)


def _count_failure(name: str, variant: Variant) -> None:
    _store(
        name,
        variant,
        {"Invocations": 1.0, "Invocation5XXErrors": 1.0, "InvocationModelErrors": 1.0},
    )


def _store(name: str, variant: Variant, values: dict[str, float]) -> None:
    dimensions = {"EndpointName": name, "VariantName": variant.name}
    moment = time.time()
    for metric, value in values.items():
        unit = "Microseconds" if metric.endswith("Latency") else "None"
        cloudwatch._store_datum(
            "AWS/SageMaker", metric, dimensions, moment, unit, value, None, None, None
        )


def error_body(error: ApiError) -> dict[str, Any]:
    """The JSON of an error of the runtime, whose members are in capitals there."""
    return {"Message": error.message, **error.members}


def error_response(error: ApiError) -> Response:
    """An error of the runtime as REST-JSON has it."""
    return (
        error.status,
        {"Content-Type": "application/json", "x-amzn-ErrorType": error.code},
        json.dumps(error_body(error)).encode(),
    )
