"""Use cases: a release ends, well or badly, and the next one may begin."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from steward.contracts.events import Event, ReleaseCompleted, ReleaseFailed, ReleaseRolledBack
from steward.contracts.incoming import ExecutionStatusChange, Received
from steward.contracts.steps.serving import (
    CompletedRelease,
    CompleteRelease,
    ConcludeRelease,
    ReleaseConclusion,
)
from steward.domain import names
from steward.domain.errors import ConflictError, ReleaseEndedError, RouteConflictError
from steward.domain.releases import (
    ReleaseStatus,
    completed,
    questioned_endpoints,
    release_of_execution,
    serving_endpoints,
)
from steward.domain.routes import Route
from steward.ports import (
    Change,
    Clock,
    Endpoints,
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
from steward.service.serving import staging
from steward.service.serving.experiments import ending
from steward.service.serving.leasing import ensure_started, handing_over, is_endpoint_needed
from steward.service.serving.records import (
    project_of,
    readable,
    release_in_force,
    release_of,
    route_of,
    running,
)
from steward.service.serving.shifts import shift_back, shift_to

RACES = 4
DONE = "done"


def complete_release(
    command: CompleteRelease,
    *,
    state: StateStore,
    environment: str,
    endpoints: Endpoints,
    workflows: Workflows,
    clock: Clock,
    ids: Ids,
    machine: str,
) -> CompletedRelease:
    """Make the candidate stable, keep the old version as previous, hand the lock on.

    Route, release with its shift, lock and ``ReleaseCompleted`` are one transaction. What nobody
    needs any more is deleted afterwards: the staging endpoint, and the version before the
    previous one.

    Raises:
        ReleaseEndedError: The release was ended, or somebody else changed the route.
    """
    release = release_of(state, command.project, command.release_id)
    if release["status"] != ReleaseStatus.COMPLETED:
        release = _complete(command, state=state, clock=clock, ids=ids)
    ensure_started(command.project, state=state, workflows=workflows, machine=machine)
    route = route_of(state, command.project)
    needed = {*serving_endpoints(route), *questioned_endpoints(environment, route)}
    unwanted = [
        names.endpoint_name(environment, command.project, command.version, staging.STAGE),
        *([release["outdated_endpoint"]] if release.get("outdated_endpoint") else []),
    ]
    before = release["previous_version"]
    if before is not None and route is not None and route.router == "endpoint_variants":
        unwanted.append(
            names.endpoint_name(environment, command.project, int(before), staging.STAGE)
        )
    removed = [endpoint for endpoint in unwanted if endpoint not in needed]
    for endpoint in removed:
        endpoints.delete(endpoint)
    return CompletedRelease(
        version=command.version,
        previous_version=release["previous_version"],
        removed=removed,
    )


def _complete(command: CompleteRelease, *, state: StateStore, clock: Clock, ids: Ids) -> Item:
    release = running(state, command.project, command.release_id)
    route = route_of(state, command.project)
    left = release["shifts"][-1]["route_version"]
    if route is None or route.release_id != command.release_id or route.route_version != left:
        raise ReleaseEndedError(f"the route of {command.project} was changed by somebody else")
    now = clock.now()
    stamp = now.isoformat(timespec="milliseconds")
    cause = Cause(command.project, command.correlation_id, command.causation_id)
    final = completed(route, f"{release['step_id']}-{DONE}")
    previous = final.previous if route.candidate else None
    until = None
    if previous is not None:
        kept_s = project_of(state, command.project).release.previous_retention_s
        until = (now + timedelta(seconds=kept_s)).isoformat(timespec="milliseconds")
    changed: Item = {
        "status": ReleaseStatus.COMPLETED.value,
        "ended_at": stamp,
        "previous_version": previous.version if previous else None,
        "previous_until": until,
        "outdated_endpoint": _outdated(route, final),
    }
    shift = None
    if final is not route:
        shift = shift_to(final, route, release, cause, now, clock=clock, ids=ids)
        changed["shifts"] = shift.noted
    told = ReleaseCompleted(
        release_id=command.release_id,
        version=command.version,
        previous_version=previous.version if previous else None,
        previous_until=until,
    )
    for race in range(RACES):
        lock_changes, started = handing_over(
            state, command.project, command.release_id, cause, clock, ids
        )
        experiment, ended = ending(state, release, ReleaseStatus.COMPLETED.value, cause, clock, ids)
        changes: list[Change] = [
            Update(
                Table.RELEASES,
                _key(release),
                set=changed,
                expect=(
                    Equals("status", ReleaseStatus.RUNNING.value), Equals("restored_at", None),
                ),
            ),
            *experiment,
            *lock_changes,
        ]  # fmt: skip
        moved = [] if shift is None else [shift.told]
        if shift is not None:
            changes.append(shift.write)
        try:
            state.commit(changes, [*moved, event(told, cause, clock, ids), *ended, *started])
            return {**release, **changed}
        except ConflictError as lost:
            running(state, command.project, command.release_id)
            now_route = route_of(state, command.project)
            if now_route is None or now_route.route_version != route.route_version:
                raise ReleaseEndedError(f"the route of {command.project} has changed") from lost
            if race == RACES - 1:
                raise
    raise RouteConflictError(f"release {command.release_id} could not be completed")


def conclude_release(
    command: ConcludeRelease,
    *,
    state: StateStore,
    environment: str,
    endpoints: Endpoints,
    workflows: Workflows,
    clock: Clock,
    ids: Ids,
    machine: str,
) -> ReleaseConclusion:
    """Record that a release did not come to its end, once, and let the next one begin.

    Traffic that is still on the candidate goes back to the stable version; a first version is
    taken out of the route. Where somebody else has taken the route from a running release,
    it ends as rolled back and the route stays as it was put. A rollback that is under way
    concludes the release itself.
    """
    release = release_of(state, command.project, command.release_id)
    ended_by_others = command.failure.error in (
        ReleaseEndedError.__name__, RouteConflictError.__name__,
    )  # fmt: skip
    for race in range(RACES):
        if release["status"] != ReleaseStatus.RUNNING or release.get("restored_at"):
            break
        try:
            end_release(
                command, release, state=state, clock=clock, ids=ids, take_back=not ended_by_others
            )
            break
        except ConflictError:
            if race == RACES - 1:
                raise
            release = release_of(state, command.project, command.release_id)
    ensure_started(command.project, state=state, workflows=workflows, machine=machine)
    release = release_of(state, command.project, command.release_id)
    if release["status"] == ReleaseStatus.FAILED:
        own = names.endpoint_name(environment, command.project, command.version, "prod")
        endpoint = release.get("endpoint", own)
        if not is_endpoint_needed(state, release, endpoint):
            suffix = command.release_id.rsplit("-", 1)[1]
            endpoints.delete(
                endpoint,
                names.model_name(environment, command.project, command.version, "prod", suffix),
            )
    return ReleaseConclusion(status=release["status"])


def end_release(
    command: ConcludeRelease,
    release: Item,
    *,
    state: StateStore,
    clock: Clock,
    ids: Ids,
    take_back: bool,
) -> None:
    """End a running release in one transaction: status, event, route and lock.

    Args:
        command: What failed.
        release: The release as it was read.
        state: Where it is recorded.
        clock: The time of the end.
        ids: Ids of the events.
        take_back: Whether traffic goes back to the stable version; else somebody else has
            taken the route, and the release counts as rolled back.

    Raises:
        ConflictError: Release, route or lock changed meanwhile.
    """
    at = clock.now()
    now = at.isoformat(timespec="milliseconds")
    told = readable(command.failure)
    cause = Cause(command.project, command.correlation_id, command.causation_id)
    route = route_of(state, command.project)
    changes, started = handing_over(state, command.project, command.release_id, cause, clock, ids)
    told_of_end: Event
    shift = None
    if take_back:
        status = ReleaseStatus.FAILED
        shift = shift_back(route, release, cause, at, clock=clock, ids=ids)
        failed = ReleaseFailed(
            release_id=command.release_id,
            version=command.version,
            failed_state=told.state,
            error=told.error,
            cause=told.cause,
            execution_arn=command.execution_arn,
        )
        told_of_end = event(failed, cause, clock, ids)
    else:
        status = ReleaseStatus.ROLLED_BACK
        rolled_back = ReleaseRolledBack(
            release_id=command.release_id,
            version=command.version,
            stable_version=route.stable.version if route else release["stable_version"] or 0,
            cause=f"the route was changed by somebody else: {told.cause}",
            triggered_at=now,
            restored_at=now,
            execution_arn=command.execution_arn,
        )
        told_of_end = event(rolled_back, cause, clock, ids)
    changed: Item = {
        "status": status.value, "ended_at": now, "cause": f"{told.error}: {told.cause}",
        "failed_state": told.state,
    }  # fmt: skip
    moved = []
    if shift is not None:
        changed["shifts"] = shift.noted
        changes.append(shift.write)
        moved.append(shift.told)
    changes.append(
        Update(
            Table.RELEASES,
            _key(release),
            set=changed,
            expect=(Equals("status", ReleaseStatus.RUNNING.value), Equals("restored_at", None)),
        )
    )
    experiment, ended = ending(state, release, status.value, cause, clock, ids)
    state.commit([*changes, *experiment], [*moved, told_of_end, *ended, *started])


def release_that_ended(received: Received, *, state: StateStore) -> ConcludeRelease | None:
    """Return how to conclude a release whose machine ended without doing so itself.

    None where the release was concluded, or the execution was started by hand.
    """
    change = received.detail
    assert isinstance(change, ExecutionStatusChange)
    found = release_of_execution(change.name)
    if found is None:
        return None
    project, release_id = found
    release = state.get(Table.RELEASES, {"project": project, "release_id": release_id})
    if release is None or release["execution_arn"] != change.execution_arn:
        return None
    return ConcludeRelease(
        project=project,
        version=release["version"],
        release_id=release_id,
        correlation_id=release["correlation_id"],
        causation_id=received.id,
        execution_arn=change.execution_arn,
        failure=staging.execution_failure(change),
    )


def retire_previous(*, state: StateStore, endpoints: Endpoints, clock: Clock) -> dict[str, Any]:
    """Take previous versions whose retention is over out of their routes and delete them.

    Projects with a release in flight are left for the next sweep.
    """
    retired: list[str] = []
    now = clock.now().isoformat(timespec="milliseconds")
    for item in state.scan(Table.ROUTES):
        route = Route.model_validate(item)
        if route.previous is None or route.candidate is not None:
            continue
        release = release_in_force(state, route)
        if release is None or not release.get("previous_until"):
            continue
        if release["previous_until"] > now:
            continue
        without = route.model_copy(
            update={"previous": None, "route_version": route.route_version + 1}
        )
        try:
            state.commit([_write(without, route)])
        except ConflictError:
            continue
        if route.previous.endpoint not in serving_endpoints(without):
            endpoints.delete(route.previous.endpoint)
        retired.append(route.previous.endpoint)
    return {"retired": retired}


def _outdated(route: Route, final: Route) -> str | None:
    if route.previous is None or route.previous.endpoint in serving_endpoints(final):
        return None
    return route.previous.endpoint


def _write(wanted: Route, known: Route) -> Put:
    expect = (Equals("route_version", known.route_version),)
    return Put(Table.ROUTES, wanted.model_dump(mode="json"), expect)


def _key(release: Item) -> dict[str, str]:
    return {"project": release["project"], "release_id": release["release_id"]}
