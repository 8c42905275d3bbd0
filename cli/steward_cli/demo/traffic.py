"""Patients' requests through the gateway, as a ward's application sends them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from steward_cli.function_urls import call
from steward_cli.target import Target


@dataclass(frozen=True)
class Asked:
    """One request and what came back."""

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
    """Ask for one prediction; ``row`` holds ``entity_id`` and ``features``."""
    sent = time.time()
    started = time.perf_counter()
    reply = call(target, f"{url.rstrip('/')}/{project}", "POST", row)
    latency = (time.perf_counter() - started) * 1000
    body = reply.body if isinstance(reply.body, dict) else {}
    return Asked(
        entity_id=str(row.get("entity_id")),
        sent_at=sent,
        latency_ms=latency,
        status=reply.status,
        version=body.get("version"),
        fallback=bool(body.get("fallback", False)),
        probability=(body.get("prediction") or {}).get("probability"),
        inference_id=body.get("inference_id"),
        body=reply.body,
    )


def ask_all(
    target: Target, url: str, project: str, rows: Sequence[dict[str, Any]], workers: int = 4
) -> list[Asked]:
    """Ask for many predictions side by side, bounded by ``workers``."""
    with ThreadPoolExecutor(max_workers=workers) as pool:
        return list(pool.map(lambda row: ask(target, url, project, row), rows))
