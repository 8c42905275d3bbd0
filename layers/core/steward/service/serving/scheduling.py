"""Use cases: the scheduler looks at a release that is judged over time."""

from __future__ import annotations

from typing import Any

from steward.contracts.events import ScheduleRepaired
from steward.contracts.incoming import Received
from steward.contracts.steps.serving import ScheduleTicks, TicksScheduled
from steward.domain.errors import ConflictError, EvidenceIncompleteError
from steward.domain.experiments.ticks import RUNNING, schedule_name
from steward.domain.releases import ReleaseStatus
from steward.ports import (
    Clock,
    Equals,
    Ids,
    Schedules,
    StateStore,
    Table,
    Update,
)
from steward.service.emission import Cause, event
from steward.service.serving.experiments import head_key, head_of
from steward.service.serving.records import release_of, running


def schedule_ticks(
    command: ScheduleTicks, *, state: StateStore, schedules: Schedules
) -> TicksScheduled:
    """Record that the scheduler looks at a release, and let it.

    The record comes first: a firing that finds none ends its schedule. A repeated call finds
    the record and only looks after the schedule.

    Raises:
        ReleaseEndedError: Somebody ended the release.
        EvidenceIncompleteError: There is no version to compare with, or no plan.
        RejectedError: Scheduler does not take the interval.
    """
    release = running(state, command.project, command.release_id)
    head = head_of(state, command.project, command.release_id)
    if release["stable_version"] is None:
        raise EvidenceIncompleteError(
            f"release {command.release_id} has no stable version to compare with",
            field="stable_version", value=None, allowed="a release beside a stable version",
        )  # fmt: skip
    name, tick_s = schedule_name(command.project, command.release_id), int(head["tick_s"])
    if head.get("schedule") is None:
        _note(command, name, state)
    schedules.create(name, every_s=tick_s, payload=due(command.project, command.release_id))
    return TicksScheduled(schedule=name, tick_s=tick_s)


def _note(command: ScheduleTicks, name: str, state: StateStore) -> None:
    still = (Equals("status", ReleaseStatus.RUNNING.value), Equals("restored_at", None))
    key = {"project": command.project, "release_id": command.release_id}
    changes = [
        Update(
            Table.EXPERIMENTS,
            head_key(command.project, command.release_id),
            set={"schedule": name},
            expect=(Equals("status", RUNNING),),
        ),
        Update(Table.RELEASES, key, set={"schedule": name}, expect=still),
    ]
    try:
        state.commit(changes)
    except ConflictError:
        running(state, command.project, command.release_id)
        raise


def end_ticks(received: Received, *, state: StateStore, schedules: Schedules) -> dict[str, Any]:
    """Delete the schedule of a release that has ended, whoever ended it.

    Raises:
        ConflictError: The release is not recorded as ended yet.
    """
    project = received.own.project
    release = release_of(state, project, received.detail.release_id)
    if release["status"] in (ReleaseStatus.RUNNING, ReleaseStatus.WAITING):
        raise ConflictError(f"release {release['release_id']} of {project} is {release['status']}")
    if release.get("schedule") is None:
        return {"ended": None}
    schedules.delete(release["schedule"])
    return {"ended": release["schedule"]}


def due(project: str, release_id: str) -> dict[str, Any]:
    """Return what the schedule sends: an event as EventBridge words it, of this release."""
    return {
        "id": "<aws.scheduler.execution-id>",
        "source": "aws.scheduler",
        "detail-type": "Scheduled Event",
        "time": "<aws.scheduler.scheduled-time>",
        "detail": {"project": project, "release_id": release_id},
    }


def repair_schedules(
    received: Received, *, state: StateStore, schedules: Schedules, clock: Clock, ids: Ids
) -> dict[str, Any]:
    """Make schedules of running experiments anew that somebody deleted, and tell of it.

    One that a person disabled is left: so an experiment is paused. Who holds a release lock is
    who may be in an experiment.
    """
    repaired: list[str] = []
    for lock in state.scan(Table.LOCKS):
        project, _, kind = str(lock["lock"]).partition("/")
        if kind != "release":
            continue
        key = {"project": project, "release_id": lock["owner"]}
        release = state.get(Table.RELEASES, key)
        if release is None or release["status"] != ReleaseStatus.RUNNING:
            continue
        if release.get("schedule") is None:
            continue
        head = head_of(state, project, release["release_id"])
        if schedules.is_enabled(head["schedule"]) is not None:
            continue
        schedules.create(
            head["schedule"], every_s=int(head["tick_s"]),
            payload=due(project, release["release_id"]),
        )  # fmt: skip
        told = ScheduleRepaired(
            release_id=release["release_id"],
            version=release["version"],
            schedule=head["schedule"],
            ticks=int(head.get("tick", 0)),
        )
        cause = Cause(project, release["correlation_id"], received.id)
        state.commit([], [event(told, cause, clock, ids)])
        repaired.append(head["schedule"])
    return {"repaired": repaired}
