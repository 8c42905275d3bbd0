"""Requests to what serves a project: the gateway's function URL, or its endpoint of variants."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from steward.adapters.endpoints import SageMakerEndpoints
from steward.domain.errors import AccessDeniedError, RejectedError, StewardError
from steward.domain.names import version_of_variant
from steward_cli.function_urls import call
from steward_cli.target import Target, TargetClients

TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Asked:
    """One request and what came back.

    Attributes:
        latency_ms: From here and back.
        status: Of HTTP; of an endpoint of variants, what the gateway would have answered.
        body: The answer, or the refusal with ``field``, ``value`` and ``allowed``.
    """

    entity_id: str
    sent_at: float
    latency_ms: float
    status: int
    version: int | None
    fallback: bool
    probability: float | None
    inference_id: str | None
    body: Any


def ask(target: Target, url: str, project: str, row: dict[str, Any]) -> Asked:
    """Ask the gateway for one prediction; ``row`` holds ``entity_id`` and ``features``."""

    def sent() -> tuple[int, Any]:
        reply = call(target, f"{url.rstrip('/')}/{project}", "POST", row, TIMEOUT_S)
        return reply.status, reply.body

    return _asked(row, sent)


def ask_all(
    target: Target, url: str, project: str, rows: Sequence[dict[str, Any]], workers: int = 4
) -> list[Asked]:
    """Ask for many predictions side by side, bounded by ``workers``."""
    with ThreadPoolExecutor(max_workers=workers) as pool:
        return list(pool.map(lambda row: ask(target, url, project, row), rows))


def endpoints_of(target: Target) -> SageMakerEndpoints:
    """Return what asks endpoints, with its client made: no request's time has that in it."""
    endpoints = SageMakerEndpoints(TargetClients(target))
    endpoints.prepare(TIMEOUT_S)
    return endpoints


def ask_variants(endpoints: SageMakerEndpoints, endpoint: str, row: dict[str, Any]) -> Asked:
    """Ask an endpoint of production variants, as docs/routers.md says that callers do.

    The request gets an inference id, so that its outcome can be reported.

    Args:
        endpoints: Of ``endpoints_of``; one for all rows.
        endpoint: Its name.
        row: ``entity_id`` and ``features``.
    """
    inference_id = str(uuid.uuid4())

    def sent() -> tuple[int, Any]:
        try:
            answer = endpoints.invoke(
                endpoint, json.dumps({"instances": [row["features"]]}).encode(),
                content_type="application/json", accept="application/json",
                timeout_s=TIMEOUT_S, inference_id=inference_id,
            )  # fmt: skip
            (prediction,) = json.loads(answer.body)["predictions"]
        except (ValueError, TypeError, KeyError) as error:
            message = f"the endpoint answered no prediction: {type(error).__name__}: {error}"
            return 503, {"error": "DependencyError", "message": message}
        except StewardError as error:
            return _status(error), refusal_of(error)
        version = version_of_variant(answer.variant) if answer.variant else None
        return 200, {"prediction": prediction, "version": version, "inference_id": inference_id,
                     "fallback": False}  # fmt: skip

    return _asked(row, sent)


def _asked(row: dict[str, Any], send: Callable[[], tuple[int, Any]]) -> Asked:
    sent, started = time.time(), time.perf_counter()
    status, told = send()
    latency_ms = (time.perf_counter() - started) * 1000
    body = told if isinstance(told, dict) else {}
    return Asked(
        entity_id=str(row.get("entity_id")),
        sent_at=sent,
        latency_ms=latency_ms,
        status=status,
        version=body.get("version"),
        fallback=bool(body.get("fallback", False)),
        probability=(body.get("prediction") or {}).get("probability"),
        inference_id=body.get("inference_id"),
        body=told,
    )


def _status(error: StewardError) -> int:
    if isinstance(error, AccessDeniedError):
        return 403
    return 400 if isinstance(error, RejectedError) else 503


def refusal_of(error: StewardError) -> dict[str, Any]:
    """Return an error as the gateway tells it."""
    known = error.as_dict() if isinstance(error, RejectedError) else {"message": str(error)}
    return {"error": type(error).__name__, **known}
