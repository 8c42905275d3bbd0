"""Builders of our events with believable content."""

from __future__ import annotations

import itertools
from typing import Any

from steward.contracts.events import Event, Meta, OutcomesRecorded, Payload

_numbers = itertools.count(1)


def event_of(payload: Payload | None = None, **meta: Any) -> Event:
    """Return an event with a fresh id around a payload."""
    about = {
        "correlation_id": "3f9a1c0b7d2e-1",
        "causation_id": "6a7e8feb-b491-4cf7-a9f1-bf3703467718",
        "project": "diabetes",
        "actor": "steward",
    }
    return Event(
        event_id=f"00000000-0000-4000-8000-{next(_numbers):012d}",
        time="2026-01-05T09:00:00.123+00:00",
        meta=Meta(**{**about, **meta}),
        data=payload or OutcomesRecorded(count=3, uri="s3://capture/outcomes/diabetes/1.jsonl"),
    )
