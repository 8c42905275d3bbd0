"""Execution history and the limits of payloads and of the history itself."""

from __future__ import annotations

import json
import threading
from typing import Any

from ministack.core.responses import now_iso
from ministack.services import stepfunctions as sf

MAX_EVENTS = 25_000
MAX_PAYLOAD_BYTES = 262_144

_lock = threading.Lock()


class HistoryFullError(Exception):
    """The execution has as many events as one may have."""


def add(
    execution: dict[str, Any], event_type: str, details: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Append an event; the last place is kept for the event that ends the execution.

    Raises:
        HistoryFullError: only the last place is left.
    """
    final = event_type.startswith("Execution")
    with _lock:
        events = execution["events"]
        if len(events) >= MAX_EVENTS - 1 and not final:
            raise HistoryFullError
        event = {
            "id": len(events) + 1,
            "previousEventId": len(events),
            "type": event_type,
            "timestamp": now_iso(),
            **(details or {}),
        }
        events.append(event)
    return event


def text_within_limit(value: Any, what: str) -> str:
    """`value` as JSON text; raises the terminal `States.DataLimitExceeded` when it is too long."""
    text = json.dumps(value)
    # ASCII text has as many bytes as characters; count the UTF-8 form only near the limit.
    if len(text) > MAX_PAYLOAD_BYTES:
        text = json.dumps(value, ensure_ascii=False)
        if len(text.encode()) > MAX_PAYLOAD_BYTES:
            raise sf._ExecutionError(
                "States.DataLimitExceeded",
                f"The state/task '{what}' returned a result with a size exceeding the maximum "
                "number of bytes service limit.",
            )
    return text
