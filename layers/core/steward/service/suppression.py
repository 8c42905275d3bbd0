"""Triggers that start nothing: recorded once, whatever they would have started."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from steward.domain.runs import suppressed_item
from steward.ports import Absent, Put, StateStore, Table

if TYPE_CHECKING:
    from steward.contracts.events import Event

_RECENT = 50
"""Records that are looked at for the same event come again."""


def record_suppressed(
    state: StateStore, now: str, project: str, trigger: Mapping[str, Any], *, run_key: str,
    existing_run_id: str, existing_status: str, reason: str, events: Sequence[Event] = (),
    **about: Any,
) -> None:  # fmt: skip
    """Record a trigger that starts nothing, with its events, unless its event is there already.

    Args:
        now: ISO 8601.
        trigger: With its ``event_id``, by which it is recognised.
        run_key: Of the work that it asks for.
        existing_run_id: What does it, did it, or outdates it.
        about: Further attributes of the record.

    Raises:
        ConflictError: The same trigger is being recorded.
    """
    event_id = trigger["event_id"]
    earlier = state.query(
        Table.RUNS, project, prefix="suppressed#", newest_first=True, limit=_RECENT
    )
    if any(item["event_id"] == event_id for item in earlier):
        return
    item = {
        "project": project, "run_id": suppressed_item(now, event_id), "event_id": event_id,
        "run_key": run_key, "status": "suppressed", "existing_run_id": existing_run_id,
        "existing_status": existing_status, "trigger": dict(trigger), "reason": reason, "at": now,
        **about,
    }  # fmt: skip
    state.commit([Put(Table.RUNS, item, expect=(Absent(),))], events)
