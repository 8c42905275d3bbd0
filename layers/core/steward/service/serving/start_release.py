"""Use case: an approval or a request starts the release of a version, or queues it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from steward.contracts.events import ReleaseQueued, ReleaseRequested, VersionApproved
from steward.contracts.incoming import Received
from steward.domain.errors import ConflictError
from steward.domain.locks import release_lock
from steward.domain.releases import (
    Begin,
    Existing,
    Leave,
    ReleaseStatus,
    Wait,
    decide,
    execution_name,
    releases_of,
)
from steward.domain.runs import execution_arn
from steward.domain.strategies import plan_for
from steward.ports import (
    Absent,
    AbsentOrBelow,
    Change,
    Clock,
    Condition,
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
from steward.service.serving.leasing import (
    ensure_started,
    lease_item,
    read_lease,
    started_event,
    superseded,
)
from steward.service.serving.records import project_of, release_of, route_of, version_of
from steward.service.serving.verification import check_allowed_strategy, check_approved

RACES = 4
SPARE_LEASE_S = 7200


def start_release(
    received: Received,
    *,
    state: StateStore,
    workflows: Workflows,
    clock: Clock,
    ids: Ids,
    machine: str,
) -> dict[str, Any]:
    """Begin or queue the release of an approved version.

    A person may ask for a version whose release promoted nothing, failed or was superseded; the
    registry's record of the approval is what counts. The same request begins one release.

    The release, the lease on the project and ``ReleaseStarted`` are one transaction; the
    execution is named after the release, so that a crash before it starts is healed by the
    next delivery of the event or the end of another release.

    Raises:
        ReleaseNotAllowedError: The registry's record does not bear out the event.
        ConflictError: The state changed again and again while this was decided.
    """
    project = received.own.project
    requested = isinstance(received.detail, ReleaseRequested)
    approved = _approval(received, state)
    cause = Cause(project, received.own.correlation_id, received.id, received.own.actor)
    result: dict[str, Any] = {}
    for race in range(RACES):
        try:
            result = _decide_and_record(approved, cause, requested=requested, state=state,
                                        clock=clock, ids=ids, machine=machine)  # fmt: skip
            break
        except ConflictError:
            if race == RACES - 1:
                raise
    started = ensure_started(project, state=state, workflows=workflows, machine=machine)
    return {**result, "started": started}


@dataclass(frozen=True)
class _Approval:
    """What was approved, by whom: as the event says, or as the registry's record does."""

    version: int
    evidence_digest: str
    approvers: list[str]
    only: str | None = None


def _approval(received: Received, state: StateStore) -> _Approval:
    told = received.detail
    if isinstance(told, VersionApproved):
        return _Approval(told.version, told.evidence_digest, list(told.approvers))
    assert isinstance(told, ReleaseRequested)
    record = version_of(state, received.own.project, told.version)
    check_approved(record)
    votes = [vote for vote in record["approvals"] if vote["decision"] == "approve"]
    names = [vote["identity"] for vote in votes]
    return _Approval(told.version, record["evidence_digest"], names, told.release_id)


def _decide_and_record(
    approved: _Approval,
    cause: Cause,
    *,
    requested: bool,
    state: StateStore,
    clock: Clock,
    ids: Ids,
    machine: str,
) -> dict[str, Any]:
    project, now = cause.project, clock.now()
    lease = read_lease(state, project)
    if lease is not None and lease.expires_at < now.timestamp():
        _end_abandoned(project, lease.owner, cause, state=state, clock=clock, ids=ids)
        lease = read_lease(state, project)
    newest = _newest(state, project, approved.version)
    if newest is not None and requested and _asked_by(state, project, newest) == cause.causation_id:
        return {"suppressed": newest.release_id, "reason": "this request has begun it already"}
    decision = decide(approved.version, newest, lease, now.timestamp(), requested=requested)
    if isinstance(decision, Leave):
        return {"suppressed": decision.release_id, "reason": decision.reason}
    if approved.only not in (None, decision.release_id):
        return {"suppressed": decision.release_id, "reason": f"only {approved.only} was asked for"}
    check_approved(version_of(state, project, approved.version), approved.evidence_digest)
    release = _release_item(decision, approved, cause, state=state, clock=clock, machine=machine)
    stamp = now.isoformat(timespec="milliseconds")
    changes: list[Change] = superseded(project, [decision.superseded], stamp)
    anew = Put(Table.RELEASES, release, (Absent(),))
    if isinstance(decision, Begin):
        known = state.get(Table.RELEASES, {"project": project, "release_id": decision.release_id})
        release.update(status=ReleaseStatus.RUNNING.value, started_at=stamp)
        if known is not None:
            anew = Put(Table.RELEASES, release, (Equals("status", ReleaseStatus.WAITING.value),))
        free: Condition = AbsentOrBelow("lease_expires_at", now.timestamp())
        changes += [anew, Put(Table.LOCKS, lease_item(release, now), (free,))]
        state.commit(changes, [started_event(release, cause, clock, ids)])
        return {"release_id": decision.release_id}
    waiting = {"release_id": decision.release_id, "version": approved.version}
    lock = state.get(Table.LOCKS, {"lock": release_lock(project)}) or {}
    changes += [
        anew,
        Update(
            Table.LOCKS,
            {"lock": release_lock(project)},
            set={"waiting": waiting, "waiting_since": stamp},
            expect=(Equals("owner", decision.behind), Equals("waiting", lock.get("waiting"))),
        ),
    ]
    earlier = (lock.get("waiting") or {}).get("version")
    queued = ReleaseQueued(
        version=approved.version,
        behind=decision.behind,
        superseded=int(earlier) if earlier is not None and decision.superseded else None,
    )
    state.commit(changes, [event(queued, cause, clock, ids)])
    return {"release_id": decision.release_id, "behind": decision.behind}


def _end_abandoned(
    project: str, release_id: str, cause: Cause, *, state: StateStore, clock: Clock, ids: Ids
) -> None:
    """End a release whose lease ran out: its machine is gone and no event of its end came.

    A lock that no release holds is of a reaper that died: there is nothing to end.
    """
    release = state.get(Table.RELEASES, {"project": project, "release_id": release_id})
    if release is None or release["status"] != ReleaseStatus.RUNNING or release.get("restored_at"):
        return
    from steward.contracts.steps.serving import ConcludeRelease, Failure  # large, and seldom used
    from steward.service.serving.release_end import end_release

    end_release(
        ConcludeRelease(
            project=project,
            version=release["version"],
            release_id=release_id,
            correlation_id=release["correlation_id"],
            causation_id=cause.causation_id,
            execution_arn=release["execution_arn"],
            failure=Failure(
                state="(lease)", error="States.Timeout", cause="the lease of the release ran out"
            ),
        ),
        release,
        state=state,
        clock=clock,
        ids=ids,
        take_back=True,
    )


def _asked_by(state: StateStore, project: str, newest: Existing) -> str:
    return str(release_of(state, project, newest.release_id)["causation_id"])


def _newest(state: StateStore, project: str, version: int) -> Existing | None:
    found = state.query(Table.RELEASES, project, prefix=releases_of(version))
    if not found:
        return None
    newest = max(found, key=lambda item: int(item["attempt"]))
    return Existing(
        release_id=newest["release_id"],
        attempt=int(newest["attempt"]),
        status=ReleaseStatus(newest["status"]),
    )


def _release_item(
    decision: Begin | Wait,
    approved: _Approval,
    cause: Cause,
    *,
    state: StateStore,
    clock: Clock,
    machine: str,
) -> Item:
    project = project_of(state, cause.project)
    route = route_of(state, cause.project)
    features = [column.name for column in project.model_features]
    record = version_of(state, cause.project, approved.version)
    check_allowed_strategy(record, project, state=state, now=clock.now())
    plan = plan_for(project.release, project.serving.router, features, first=route is None)
    name = execution_name(cause.project, decision.release_id)
    return {
        "project": cause.project,
        "release_id": decision.release_id,
        "version": approved.version,
        "attempt": int(decision.release_id.rsplit("-", 1)[1]),
        "status": ReleaseStatus.WAITING.value,
        "strategy": plan.strategy,
        "steps": [int(step.share) for step in plan.steps],
        "stable_version": route.stable.version if route else None,
        "approvers": approved.approvers,
        "evidence_digest": approved.evidence_digest,
        "correlation_id": cause.correlation_id,
        "causation_id": cause.causation_id,
        "execution_arn": execution_arn(machine, name),
        "lease_s": plan.longest_s + SPARE_LEASE_S,
        "started": False,
        "shifts": [],
        "verdicts": [],
    }
