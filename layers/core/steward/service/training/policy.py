"""The policy that a run is pinned to, and work that it would judge otherwise by now."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from steward.domain.errors import InvalidProjectError
from steward.domain.runs import Head, RunStatus
from steward.ports import Item, StateStore
from steward.service.policy_in_force import pin_policy, waivers_of
from steward.service.training.ledger import run_of
from steward.service.training.triggers import Trigger

if TYPE_CHECKING:
    from steward.domain.project import Project


def policy_or_refusal(
    state: StateStore, project: Project
) -> tuple[Item | None, InvalidProjectError | None]:
    """Return what the policy in force requires, or why the project is refused by it by now."""
    try:
        return pin_policy(state, project).model_dump(mode="json"), None
    except InvalidProjectError as error:
        return None, error


def as_judged_now(
    head: Head | None, trigger: Trigger, policy: Item | None, *, state: StateStore, now: datetime
) -> Head | None:
    """Return the latest attempt, to be tried again where it would be judged otherwise by now.

    A candidate that the gate held is worth another attempt when the policy changed since, or a
    waiver was granted after it ended. A request that nothing be reused is worth one after any
    result. An event that comes again asks for no further attempt.
    """
    if head is None or head.status not in (RunStatus.HELD, RunStatus.SUCCEEDED):
        return head
    if head.status is RunStatus.SUCCEEDED and trigger.use_cache:
        return head
    held = run_of(state, trigger.project, head.run_id)
    if held is None or held["trigger"]["event_id"] == trigger.event_id:
        return head
    if not trigger.use_cache:
        return replace(head, status=RunStatus.FAILED)
    before = held.get("policy") or {}
    ended = str(held.get("ended_at") or held.get("started_at"))
    waived = any(
        waiver.is_as_granted and waiver.status(now) == "active" and waiver.granted_at > ended
        for waiver in waivers_of(state, trigger.project)
    )
    if waived or (policy or {}).get("digest") != before.get("digest"):
        return replace(head, status=RunStatus.FAILED)
    return head
