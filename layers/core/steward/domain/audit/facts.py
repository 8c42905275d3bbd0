"""What an event of ours says for the ledger: who did what to what, when, why, on what ground."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from steward.domain.audit.ledger import STACK, Fact

_PROJECT = re.compile(r"[a-z][a-z0-9-]{1,19}")
_HEX = re.compile(r"[0-9a-f]{64}")
_REASONS = ("reason", "comment", "why", "cause", "error")
_SUBJECTS = ("version", "release_id", "run_id", "delivery_id", "endpoint", "resource", "item")

UNRECORDED = ("FeatureRecordReceived", "LineageEventWritten", "OutcomeObserved")
"""Single rows and copies of other events: they decide and change nothing."""


def fact_of(
    *, source: str, detail_type: str, time: str, meta: Mapping[str, str], data: Mapping[str, Any]
) -> Fact:
    """Return the fact that an event tells.

    EventBridge gives an event that the outbox publishes twice two ids, so the fact's own id is
    a digest of what it says: source, type, time and content.
    """
    said = [source, detail_type, time, {"meta": dict(meta), "data": dict(data)}]
    text = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    project = meta["project"]
    return Fact(
        event_id=hashlib.sha256(text.encode()).hexdigest(),
        project=project if _PROJECT.fullmatch(project) else STACK,
        at=time,
        who=meta["actor"] or "unknown",
        what=detail_type,
        subject=_subject(data),
        why=_first_text(data),
        digests=digests_in(data),
        details={
            "source": source,
            "correlation_id": meta["correlation_id"],
            "causation_id": meta["causation_id"],
            "data": dict(data),
        },
    )


def digests_in(data: Mapping[str, Any]) -> dict[str, str]:
    """Return every SHA-256 that a payload names, by the path of its member."""
    found: dict[str, str] = {}

    def walk(value: object, path: str) -> None:
        if isinstance(value, Mapping):
            for name, part in value.items():
                walk(part, f"{path}.{name}" if path else str(name))
        elif isinstance(value, str) and _HEX.fullmatch(value):
            found[path] = value

    walk(data, "")
    return found


def _subject(data: Mapping[str, Any]) -> str:
    if data.get("group"):  # whose version is no model's
        return f"feature group {data['group']} v{data.get('version', '')}"[:500]
    for name in _SUBJECTS:
        if data.get(name) not in (None, ""):
            return f"{name.removesuffix('_id')} {data[name]}"[:500]
    return ""


def _first_text(data: Mapping[str, Any]) -> str:
    for name in _REASONS:
        if isinstance(data.get(name), str) and data[name]:
            return str(data[name])[:4000]
    return ""
