"""The release lock of a project: who holds it, who waits, and who is next."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from steward.contracts.events import Event, ReleaseStarted
from steward.domain.errors import ConflictError
from steward.domain.locks import release_lock
from steward.domain.releases import (
    ReleaseLease,
    ReleaseStatus,
    execution_name,
    serving_endpoints,
    version_of_release,
)
from steward.domain.runs import execution_arn
from steward.ports import (
    Change,
    Clock,
    Delete,
    Equals,
    Ids,
    Item,
    Put,
    StateStore,
    Table,
    Update,
    Workflows,
)
from steward.service.emission import Cause, event
from steward.service.serving.records import route_of


def read_lease(state: StateStore, project: str) -> ReleaseLease | None:
    """Return the release lock of a project, None where it is free."""
    item = state.get(Table.LOCKS, {"lock": release_lock(project)})
    if item is None:
        return None
    waiting = item.get("waiting") or {}
    return ReleaseLease(
        owner=item["owner"],
        expires_at=float(item["lease_expires_at"]),
        waiting=waiting.get("release_id"),
    )


def is_endpoint_needed(state: StateStore, release: Item, endpoint: str) -> bool:
    """Return whether a route needs an endpoint, or another attempt at the same version.

    What ends a release may be tried again long after it, while the next attempt has taken the
    endpoint over and has no traffic yet.

    Args:
        release: The release that has ended.
        endpoint: What would be deleted after it.
    """
    project = str(release["project"])
    if endpoint in serving_endpoints(route_of(state, project)):
        return True
    lease = read_lease(state, project)
    if lease is None or lease.owner == release["release_id"]:
        return False
    return bool(version_of_release(lease.owner) == release["version"])


def lease_item(release: Item, now: datetime) -> Item:
    """Return the lock as ``release`` holds it."""
    return {
        "lock": release_lock(release["project"]),
        "owner": release["release_id"],
        "lease_expires_at": int(now.timestamp()) + int(release["lease_s"]),
        "execution_arn": release["execution_arn"],
    }


def started_event(release: Item, cause: Cause, clock: Clock, ids: Ids) -> Event:
    """Return the event that says that a release has begun."""
    payload = ReleaseStarted(
        release_id=release["release_id"],
        version=release["version"],
        stable_version=release["stable_version"],
        strategy=release["strategy"],
        steps=release["steps"],
        execution_arn=release["execution_arn"],
    )
    return event(payload, cause.correlated(release["correlation_id"]), clock, ids)


def handing_over(
    state: StateStore, project: str, release: str, cause: Cause, clock: Clock, ids: Ids
) -> tuple[list[Change], list[Event]]:
    """Return what frees the lock of ``release``, or gives it to the release that waits.

    Nothing where another release holds it. The waiting release begins against what is stable
    once this transaction is done, so its plan is made anew by its machine.
    """
    key = {"lock": release_lock(project)}
    lock = state.get(Table.LOCKS, key)
    if lock is None or lock["owner"] != release:
        return [], []
    mine = Equals("owner", release)
    waiting = lock.get("waiting")
    if not waiting:
        return [Delete(Table.LOCKS, key, (mine, Equals("waiting", None)))], []
    next_key = {"project": project, "release_id": waiting["release_id"]}
    following = state.get(Table.RELEASES, next_key)
    if following is None or following["status"] != ReleaseStatus.WAITING:
        return [Delete(Table.LOCKS, key, (mine, Equals("waiting", waiting)))], []
    now = clock.now()
    changes: list[Change] = [
        Put(Table.LOCKS, lease_item(following, now), (mine, Equals("waiting", waiting))),
        Update(
            Table.RELEASES,
            next_key,
            set={
                "status": ReleaseStatus.RUNNING.value,
                "started_at": now.isoformat(timespec="milliseconds"),
            },
            expect=(Equals("status", ReleaseStatus.WAITING.value),),
        ),
    ]
    return changes, [started_event(following, cause, clock, ids)]


def ensure_started(
    project: str, *, state: StateStore, workflows: Workflows, machine: str
) -> str | None:
    """Start the execution of the release that holds the lock, unless it was started.

    Transactions decide who runs and this carries it out: a crash between the two is healed
    by whoever calls next.

    Returns:
        The ARN of an execution that was started here.
    """
    lease = read_lease(state, project)
    if lease is None:
        return None
    key = {"project": project, "release_id": lease.owner}
    release = state.get(Table.RELEASES, key)
    if release is None or release["status"] != ReleaseStatus.RUNNING or release["started"]:
        return None
    arn = execution_arn(machine, execution_name(project, lease.owner))
    payload = {
        "project": project,
        "version": release["version"],
        "release_id": lease.owner,
        "correlation_id": release["correlation_id"],
        "causation_id": release["causation_id"],
    }
    try:
        workflows.start(machine, execution_name(project, lease.owner), payload)
    except ConflictError:
        arn = ""
    state.commit([Update(Table.RELEASES, key, set={"started": True})])
    return arn or None


def superseded(project: str, release_ids: Sequence[str | None], now: str) -> list[Change]:
    """Return what marks waiting releases that lost their place."""
    return [
        Update(
            Table.RELEASES,
            {"project": project, "release_id": release_id},
            set={"status": ReleaseStatus.SUPERSEDED.value, "ended_at": now},
            expect=(Equals("status", ReleaseStatus.WAITING.value),),
        )
        for release_id in release_ids
        if release_id
    ]
