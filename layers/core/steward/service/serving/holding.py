"""The release lock, held for a moment so that no release begins while an endpoint is removed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from steward.domain.errors import ConflictError
from steward.domain.locks import release_lock
from steward.ports import Absent, Clock, Ids, Put, StateStore, Table, Workflows
from steward.service.emission import Cause
from steward.service.serving.leasing import ensure_started, handing_over, read_lease

HOLDER = "reaper-"
LEASE = timedelta(minutes=5)
RACES = 4


@contextmanager
def no_release_begins(
    cause: Cause, *, state: StateStore, workflows: Workflows, clock: Clock, ids: Ids, machine: str
) -> Iterator[bool]:
    """Hold the release lock of a project in the block; yield whether it was free.

    A release that is asked for meanwhile waits and begins when the block ends.
    """
    owner = f"{HOLDER}{ids.new()}"
    until = clock.now() + LEASE
    lock = {
        "lock": release_lock(cause.project), "owner": owner, "execution_arn": "",
        "lease_expires_at": int(until.timestamp()),
    }  # fmt: skip
    try:
        state.commit([Put(Table.LOCKS, lock, (Absent(),))])
    except ConflictError:
        yield False
        return
    try:
        yield True
    finally:
        hand_back(owner, cause, state=state, clock=clock, ids=ids)
        ensure_started(cause.project, state=state, workflows=workflows, machine=machine)


def hand_back(owner: str, cause: Cause, *, state: StateStore, clock: Clock, ids: Ids) -> None:
    """Free the lock of a project, or give it to the release that waits."""
    for race in range(RACES):
        changes, started = handing_over(state, cause.project, owner, cause, clock, ids)
        if not changes:
            return
        try:
            state.commit(changes, started)
            return
        except ConflictError:
            if race == RACES - 1:
                raise


def hand_back_abandoned(
    cause: Cause, *, state: StateStore, workflows: Workflows, clock: Clock, ids: Ids, machine: str
) -> None:
    """Free the lock that a holder left behind when it died, and start what waited."""
    lease = read_lease(state, cause.project)
    if lease is None or not lease.owner.startswith(HOLDER):
        return
    if lease.expires_at < clock.now().timestamp():
        hand_back(lease.owner, cause, state=state, clock=clock, ids=ids)
        ensure_started(cause.project, state=state, workflows=workflows, machine=machine)
