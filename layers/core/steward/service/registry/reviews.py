"""Reviews of models: recorded by a verified person, announced when they are due."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from steward.contracts.events import ReviewDue, ReviewRecorded
from steward.domain.errors import (
    ConflictError,
    NotAuthorizedError,
    ProjectNotFoundError,
    RejectedError,
)
from steward.domain.inventory import Entry, announced_item, entry_of, review_item
from steward.domain.principals import identity_of, is_person
from steward.domain.versions import alias_item
from steward.ports import Absent, Clock, Ids, Item, Put, StateStore, Table
from steward.service.emission import Cause, event
from steward.service.registry.records import versions_of

if TYPE_CHECKING:
    from steward.contracts.approval import RecordReview


def record_review(
    command: RecordReview,
    *,
    caller_arn: str,
    request_id: str,
    person_roles: frozenset[str],
    state: StateStore,
    clock: Clock,
    ids: Ids,
) -> Item:
    """Keep that a person reviewed a model; a review is never changed.

    Raises:
        ConflictError: Another review has the same millisecond.
        NotAuthorizedError: The caller does not prove which person it is.
        ProjectNotFoundError: There is no such project.
    """
    if not is_person(caller_arn, person_roles):
        raise NotAuthorizedError(
            "only a person reviews a model", field="caller", value=caller_arn,
            allowed="an IAM user, or a role whose trust fixes the session name",
        )  # fmt: skip
    if state.get(Table.PROJECTS, {"project": command.project}) is None:
        raise ProjectNotFoundError(
            f"no project {command.project!r}", field="project", value=command.project
        )
    at = clock.now().isoformat(timespec="milliseconds")
    by = identity_of(caller_arn, person_roles)
    item: Item = {
        "project": command.project, "item": review_item(at), "at": at, "by": by,
        "principal_arn": caller_arn, "note": command.note,
    }  # fmt: skip
    recorded = event(
        ReviewRecorded(by=by, note=command.note, at=at),
        Cause(command.project, request_id, request_id, actor=by),
        clock,
        ids,
    )
    state.commit([Put(Table.VERSIONS, item, expect=(Absent(),))], [recorded])
    return item


def inventory(state: StateStore, now: datetime) -> list[Entry]:
    """Return every project, those whose review is due first."""
    found = [_entry(state, item, now) for item in state.scan(Table.PROJECTS)]
    return sorted(found, key=lambda entry: (entry.next_review, entry.project))


def _entry(state: StateStore, project: Item, now: datetime) -> Entry:
    name = str(project["project"])
    alias = state.get(Table.VERSIONS, {"project": name, "item": alias_item("champion")})
    champion = int(alias["version"]) if alias and alias.get("version") is not None else None
    reviews = state.query(Table.VERSIONS, name, prefix="review#")
    return entry_of(project, versions_of(state, name), champion, reviews, now)


def announce_reviews(
    *, causation_id: str, state: StateStore, clock: Clock, ids: Ids
) -> dict[str, int]:
    """Tell of every review that is due, once for each due date.

    Projects without a version have nothing to review. One that cannot be told of, such as for
    an item that is broken, keeps no other back.

    Returns:
        How many were announced and how many failed.
    """
    now = clock.now()
    announced = failed = 0
    for project in state.scan(Table.PROJECTS):
        try:
            entry = _entry(state, project, now)
            if entry.versions and entry.due(now) != "in_time":
                announced += _announce(entry, now, causation_id, state, clock, ids)
        except (RejectedError, ValueError, KeyError):
            failed += 1
    return {"announced": announced, "failed": failed}


def _announce(
    entry: Entry, now: datetime, causation_id: str, state: StateStore, clock: Clock, ids: Ids
) -> int:
    told = ReviewDue(
        tier=entry.tier,
        owner=entry.owner,
        production=entry.production,
        last_review=entry.last_review.isoformat(timespec="seconds") if entry.reviewed_by else None,
        due=entry.next_review.isoformat(timespec="seconds"),
    )
    once: Item = {
        "project": entry.project, "item": announced_item(entry.next_review),
        "at": now.isoformat(timespec="milliseconds"),
    }  # fmt: skip
    cause = Cause(entry.project, causation_id, causation_id)
    try:
        state.commit(
            [Put(Table.VERSIONS, once, expect=(Absent(),))], [event(told, cause, clock, ids)]
        )
    except ConflictError:
        return 0
    return 1
