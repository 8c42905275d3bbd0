"""Reminders of approval requests: EventBridge Scheduler fires each of them once, at its moment."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from steward.contracts.events import ApprovalReminder
from steward.domain.approvals import is_expired
from steward.domain.errors import ConflictError
from steward.domain.versions import VersionState
from steward.ports import (
    AbsentOrBelow,
    Clock,
    Equals,
    Ids,
    Item,
    Schedules,
    StateStore,
    Table,
    Update,
)
from steward.service.emission import Cause, event
from steward.service.registry.decisions import superseded_by
from steward.service.registry.records import ballot_of, need_version, version_key, versions_of

if TYPE_CHECKING:
    from steward.contracts.incoming import ReminderDue


def reminder_name(project: str, version: int, number: int) -> str:
    """Return the name of a reminder's schedule."""
    return f"approval-{project}-v{version}-{number}"


def payload(item: Item, number: int) -> dict[str, object]:
    """Return what a schedule sends: an event as EventBridge words it, of this request."""
    return {
        "id": "<aws.scheduler.execution-id>",
        "source": "aws.scheduler",
        "detail-type": "Approval Reminder Due",
        "time": "<aws.scheduler.scheduled-time>",
        "detail": {
            "project": item["project"],
            "version": int(item["version"]),
            "evidence_digest": item["evidence_digest"],
            "number": number,
        },
    }


def schedule_reminders(
    project: str,
    version: int,
    causation_id: str,
    *,
    state: StateStore,
    schedules: Schedules,
    clock: Clock,
    ids: Ids,
) -> dict[str, int]:
    """Have a pending request reminded of, at each of its moments; what is decided is left alone.

    A repeated call only looks after the schedules. Moments that have passed, since the event came
    late or a schedule was lost, are made up for by one reminder at once.

    Returns:
        How many schedules were made, and how many reminders went out.

    Raises:
        AccessDeniedError: The function may not make schedules.
        ThrottledError: Scheduler asks to try again.
    """
    item = need_version(state, project, version)
    made = sent = 0
    outstanding, now = list(_outstanding(item, clock)), clock.now()
    missed = [number for number, at in outstanding if at <= now]
    if missed:
        sent += _send(item, missed[-1], causation_id, state, clock, ids)
    for number, at in outstanding:
        name = reminder_name(project, version, number)
        if at > now and schedules.is_enabled(name) is None:
            schedules.create_once(name, at=at, payload=payload(item, number))
            made += 1
    return {"scheduled": made, "reminded": sent}


def end_reminders(
    project: str, version: int, *, state: StateStore, schedules: Schedules
) -> dict[str, int]:
    """Delete the schedules of a request that was decided; one that is still pending keeps them."""
    item = need_version(state, project, version)
    if item["state"] == VersionState.PENDING:
        return {"deleted": 0}
    numbers = range(1, len(item.get("reminders") or []) + 1)
    for number in numbers:
        schedules.delete(reminder_name(project, version, number))
    return {"deleted": len(numbers)}


def remind(
    due: ReminderDue, causation_id: str, *, state: StateStore, clock: Clock, ids: Ids
) -> str:
    """Send one reminder, once, if the request that it was made for is still pending.

    Returns:
        ``reminded``, or why nothing was sent.
    """
    item = need_version(state, due.project, due.version)
    if item["state"] != VersionState.PENDING:
        return f"version {due.version} is {item['state']}"
    if item["evidence_digest"] != due.evidence_digest:
        return "the request is of other evidence"
    if is_expired(datetime.fromisoformat(str(item["expires_at"])), clock.now()):
        return "the request's time is up"
    if superseded_by(versions_of(state, due.project), due.version) is not None:
        return "a newer version was approved"
    sent = _send(item, due.number, causation_id, state, clock, ids)
    return "reminded" if sent else "reminded already, or decided"


def repair_reminders(
    causation_id: str, *, state: StateStore, schedules: Schedules, clock: Clock, ids: Ids
) -> dict[str, int]:
    """Look after the reminders of every pending request: an event or a schedule may be lost.

    A schedule that a person disabled is left.
    """
    made = sent = 0
    for configured in state.scan(Table.PROJECTS):
        project = str(configured["project"])
        for item in versions_of(state, project):
            if item["state"] != VersionState.PENDING:
                continue
            done = schedule_reminders(
                project, int(item["version"]), causation_id,
                state=state, schedules=schedules, clock=clock, ids=ids,
            )  # fmt: skip
            made, sent = made + done["scheduled"], sent + done["reminded"]
    return {"scheduled": made, "reminded": sent}


def _outstanding(item: Item, clock: Clock) -> Iterator[tuple[int, datetime]]:
    """Yield number and moment of the reminders of a pending request that are still to come."""
    if item["state"] != VersionState.PENDING:
        return
    if is_expired(datetime.fromisoformat(str(item["expires_at"])), clock.now()):
        return
    for number, at in enumerate(item.get("reminders") or [], start=1):
        if number > int(item.get("reminded") or 0):
            yield number, datetime.fromisoformat(at)


def _send(
    item: Item, number: int, causation_id: str, state: StateStore, clock: Clock, ids: Ids
) -> bool:
    ballot = ballot_of(item)
    reminder = ApprovalReminder(
        version=ballot.version, evidence_digest=ballot.evidence_digest or "",
        expires_at=str(item["expires_at"]),
        missing=max(0, ballot.needed - len(ballot.approvers)),
    )  # fmt: skip
    change = Update(
        Table.VERSIONS,
        version_key(ballot.project, ballot.version),
        set={"reminded": number, "reminded_at": clock.now().isoformat(timespec="seconds")},
        expect=(
            Equals("state", VersionState.PENDING.value),
            Equals("evidence_digest", ballot.evidence_digest),
            AbsentOrBelow("reminded", number),
        ),
    )
    cause = Cause(ballot.project, str(item["correlation_id"]), causation_id)
    try:
        state.commit([change], [event(reminder, cause, clock, ids)])
    except ConflictError:
        return False
    return True
