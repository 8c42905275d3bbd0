"""Use cases: go back to the version that worked, at once and only once."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from steward.contracts.events import (
    ReleaseRolledBack,
    RollbackFailed,
    RollbackRequested,
)
from steward.contracts.incoming import AlarmStateChange, ExecutionStatusChange, Received
from steward.contracts.steps.serving import (
    ConcludeRollback,
    ReleaseConclusion,
    RemovedEndpoint,
    RemoveEndpoint,
    RestoredRoute,
    RestoreRoute,
)
from steward.domain import names
from steward.domain.errors import (
    ConflictError,
    ReleaseNotAllowedError,
    RouteConflictError,
    StewardError,
)
from steward.domain.releases import (
    ReleaseStatus,
    project_of_alarm,
    release_of_execution,
    restored,
    rollback_name,
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
    OneOf,
    StateStore,
    Table,
    TrafficRouter,
    Update,
    Workflows,
)
from steward.service.emission import Cause, event
from steward.service.serving.experiments import ending
from steward.service.serving.hosting import READY
from steward.service.serving.leasing import ensure_started, handing_over, read_lease
from steward.service.serving.records import readable, release_in_force, release_of, route_of
from steward.service.serving.shifts import shift_to
from steward.service.serving.staging import execution_failure

RACES = 6
CLOCKS_DIFFER = timedelta(seconds=1)
"""What the clocks of CloudWatch and of a function may be apart; some alarms say whole seconds."""

APPLYING = ("ApplyRoute", "GiveUpRoute")
"""States in which the route is restored and traffic does not follow it yet."""

BY_ITSELF = "monitoring"
"""Actor of a request that no person made: with nothing to go back to it is no fault."""

ROLLED_BACK_FROM = (ReleaseStatus.RUNNING.value, ReleaseStatus.COMPLETED.value)


def start_rollback(
    received: Received,
    *,
    state: StateStore,
    workflows: Workflows,
    machine: str,
    environment: str,
) -> dict[str, Any]:
    """Start ``roll_back`` for the release that an alarm or a person speaks of.

    An alarm concerns the release in flight, if it rang since that has traffic; anything else,
    such as the late event of an earlier release, is answered with why nothing was done. A
    person may also take back the release that was completed last. A request that names a version
    concerns the release of that version alone: by the time it comes another may be in flight.
    One release has one rollback: the execution's name says so.

    Raises:
        ReleaseNotAllowedError: A person asks, and there is nothing to go back to.
    """
    if isinstance(received.detail, AlarmStateChange):
        alarm = received.detail
        concerned = _concerned(state, alarm, environment)
        if isinstance(concerned, str):
            return {"ignored": concerned}
        release = concerned
        cause = f"alarm {alarm.alarm_name}: {alarm.state.reason}"[:1000]
        triggered_at, actor = alarm.state.timestamp or received.time, "steward"
    else:
        assert isinstance(received.detail, RollbackRequested)
        project, actor = received.own.project, received.own.actor
        wanted = _wanted(state, project, received.detail.version)
        if wanted is None and actor == BY_ITSELF:
            named = received.detail.version
            of = "" if named is None else f" of version {named}"
            return {"ignored": f"{project} has no release{of} that could be taken back"}
        if wanted is None:
            raise ReleaseNotAllowedError(
                f"{project} has no release to roll back, or no previous version is kept",
                field="project", value=project, allowed="a project with a release to take back",
            )  # fmt: skip
        release = wanted
        cause, triggered_at = f"asked by {actor}: {received.detail.reason}"[:1000], received.time
    return begin_rollback(
        release, cause, triggered_at, received.id, actor, workflows=workflows, machine=machine
    )


def begin_rollback(
    release: Item,
    cause: str,
    triggered_at: str,
    causation_id: str,
    actor: str = "steward",
    *,
    workflows: Workflows,
    machine: str,
) -> dict[str, Any]:
    """Start the one rollback of a release; where it is running or has ended, nothing starts."""
    project = release["project"]
    attempt = int(release.get("failed_rollbacks", 0)) + 1
    name = rollback_name(project, release["release_id"], attempt)
    payload = {
        "project": project,
        "version": release["version"],
        "release_id": release["release_id"],
        "cause": cause,
        "triggered_at": triggered_at,
        "correlation_id": release["correlation_id"],
        "causation_id": causation_id,
        "actor": actor,
    }
    try:
        return {"started": workflows.start(machine, name, payload)}
    except ConflictError:
        return {"ignored": f"{name} is running or has ended"}


def _concerned(state: StateStore, alarm: AlarmStateChange, environment: str) -> Item | str:
    """Return the release that an alarm is about, or why it is about none."""
    name = alarm.alarm_name
    project = project_of_alarm(environment, name)
    if project is None:
        return f"{name} is no guardrail of this stack"
    if alarm.state.value != "ALARM":
        return f"{name} is {alarm.state.value}"
    release = in_flight(state, project)
    if release is None:
        return f"{project} has no release in flight"
    if not release["shifts"]:
        return f"release {release['release_id']} has no traffic yet"
    if _before(alarm.state.timestamp, release["shifts"][0]["at"]):
        return f"{name} rang before release {release['release_id']} had traffic"
    return release


def _before(rang_at: str | None, shifted_at: str) -> bool:
    """Tell whether an alarm is surely older; in doubt it counts, since clocks differ."""
    return rang_at is not None and (
        datetime.fromisoformat(rang_at) < datetime.fromisoformat(shifted_at) - CLOCKS_DIFFER
    )


def in_flight(state: StateStore, project: str) -> Item | None:
    """Return the release of a project that runs and holds its lock."""
    lease = read_lease(state, project)
    if lease is None:
        return None
    release = state.get(Table.RELEASES, {"project": project, "release_id": lease.owner})
    if release is None or release["status"] != ReleaseStatus.RUNNING:
        return None
    return release


def _wanted(state: StateStore, project: str, version: int | None) -> Item | None:
    """Return the release that a request is about, of a named version or of any."""
    for release in (in_flight(state, project), _completed_last(state, project)):
        if release is not None and version in (None, int(release["version"])):
            return release
    return None


def _completed_last(state: StateStore, project: str) -> Item | None:
    route = route_of(state, project)
    if route is None or route.candidate is not None or route.previous is None:
        return None
    return release_in_force(state, route)


def restore_route(
    command: RestoreRoute,
    *,
    state: StateStore,
    environment: str,
    router: TrafficRouter,
    clock: Clock,
    ids: Ids,
) -> RestoredRoute:
    """Take all traffic from a version by one conditional write of the route.

    The same transaction marks the release, so that its machine can move no traffic any more,
    and tells ``TrafficShifted``. A repeated call finds the route restored and says so. The router
    is called at once; weights that cannot be set now are set by the machine's next states.

    Raises:
        ReleaseNotAllowedError: There is nothing to go back to.
        RouteConflictError: The route changed again and again meanwhile.
    """
    for _ in range(RACES):
        release = release_of(state, command.project, command.release_id)
        route = route_of(state, command.project)
        if route is None:
            raise ReleaseNotAllowedError(
                f"{command.project} has no route to restore", field="project",
                value=command.project, allowed="a project that serves",
            )  # fmt: skip
        if release.get("restored_at"):
            return _as_restored(environment, release, moved=False, router=route.router)
        back = restored(route, command.version, f"{command.release_id}-restored")
        if back is None and route.stable.version == command.version:
            raise ReleaseNotAllowedError(
                f"version {command.version} answers alone and no previous version is kept",
                field="version", value=command.version, allowed="a release with a version before",
            )  # fmt: skip
        try:
            done = _restore(command, release, route, back, environment, state, clock, ids)
        except ConflictError:
            continue
        with suppress(StewardError):
            router.apply(command.project)
        return done
    raise RouteConflictError(f"the route of {command.project} changes all the time")


def _restore(
    command: RestoreRoute,
    release: Item,
    route: Route,
    back: Route | None,
    environment: str,
    state: StateStore,
    clock: Clock,
    ids: Ids,
) -> RestoredRoute:
    at = clock.now()
    now = at.isoformat(timespec="milliseconds")
    serving = back or route
    marked: Item = {
        "restored_at": now, "triggered_at": command.triggered_at, "cause": command.cause,
        "restored_version": serving.stable.version,
        "restored_route_version": serving.route_version,
    }  # fmt: skip
    changes: list[Change] = []
    events = []
    if back is not None:
        cause = Cause(command.project, command.correlation_id, command.causation_id, command.actor)
        shift = shift_to(back, route, release, cause, at, clock=clock, ids=ids)
        marked["shifts"] = shift.noted
        events.append(shift.told)
        changes.append(shift.write)
    changes.append(
        Update(
            Table.RELEASES,
            {"project": command.project, "release_id": command.release_id},
            set=marked,
            expect=(Equals("restored_at", None), OneOf("status", ROLLED_BACK_FROM)),
        )
    )
    state.commit(changes, events)
    return _as_restored(
        environment, {**release, **marked}, moved=back is not None, router=route.router
    )


def _as_restored(
    environment: str, release: Item, *, moved: bool, router: str = "gateway"
) -> RestoredRoute:
    return RestoredRoute(
        stable_version=release["restored_version"],
        restored_at=release["restored_at"],
        route_version=release["restored_route_version"],
        moved=moved,
        endpoint=names.endpoint_name(environment, release["project"], release["version"], "prod"),
        router=router,
    )


def conclude_rollback(
    command: ConcludeRollback,
    *,
    state: StateStore,
    environment: str,
    endpoints: Endpoints,
    workflows: Workflows,
    clock: Clock,
    ids: Ids,
    release_machine: str,
) -> ReleaseConclusion:
    """Record how a rollback ended, once, and hand the lock on.

    A rollback that restored the route is one whatever failed afterwards, unless that was making
    traffic follow it. Where the candidate's endpoint has gone before anybody here removed it, the
    cause says so. A rollback that could not leaves the release as it is, makes room for another
    attempt and tells ``RollbackFailed``.
    """
    release = release_of(state, command.project, command.release_id)
    cause = Cause(command.project, command.correlation_id, command.causation_id, command.actor)
    key = {"project": command.project, "release_id": command.release_id}
    back = command.restored
    unapplied = command.failure is not None and command.failure.state in APPLYING
    if back is None and release.get("restored_at") and not unapplied:
        back = _as_restored(environment, release, moved=False)
    if back is None:
        failed = int(release.get("failed_rollbacks", 0))
        told = readable(command.failure) if command.failure else None
        expected_name = rollback_name(command.project, command.release_id, failed + 1)
        if not command.execution_arn.endswith(f":{expected_name}"):
            return ReleaseConclusion(status=release["status"])
        payload = RollbackFailed(
            release_id=command.release_id,
            error=told.error if told else "unknown",
            cause=told.cause if told else "the rollback gave no result",
            execution_arn=command.execution_arn,
        )
        expect = Equals("failed_rollbacks", failed or None)
        state.commit(
            [Update(Table.RELEASES, key, set={"failed_rollbacks": failed + 1}, expect=(expect,))],
            [event(payload, cause, clock, ids)],
        )
        return ReleaseConclusion(status=release["status"])
    why = command.cause
    if release["status"] in ROLLED_BACK_FROM:
        why += _removed(release, endpoints)
    for race in range(RACES):
        if release["status"] not in ROLLED_BACK_FROM:
            break
        changes, started = handing_over(
            state, command.project, command.release_id, cause, clock, ids
        )
        ended = Update(
            Table.RELEASES,
            key,
            set={
                "status": ReleaseStatus.ROLLED_BACK.value,
                "ended_at": clock.now().isoformat(timespec="milliseconds"),
                "cause": why,
            },
            expect=(Equals("status", release["status"]),),
        )
        payload_back = ReleaseRolledBack(
            release_id=command.release_id,
            version=command.version,
            stable_version=back.stable_version,
            cause=why,
            triggered_at=command.triggered_at,
            restored_at=back.restored_at,
            execution_arn=command.execution_arn,
        )
        experiment, over = ending(
            state, release, ReleaseStatus.ROLLED_BACK.value, cause, clock, ids
        )
        try:
            state.commit(
                [*changes, *experiment, ended],
                [event(payload_back, cause, clock, ids), *over, *started],
            )
            break
        except ConflictError:
            if race == RACES - 1:
                raise
            release = release_of(state, command.project, command.release_id)
    ensure_started(command.project, state=state, workflows=workflows, machine=release_machine)
    return ReleaseConclusion(
        status=release_of(state, command.project, command.release_id)["status"]
    )


def _removed(release: Item, endpoints: Endpoints) -> str:
    """Return what to add to the cause where the version's endpoint was deleted by others."""
    endpoint = release.get("endpoint")
    if not endpoint:
        return ""
    try:
        status = endpoints.status(endpoint)
    except StewardError:
        return ""
    if status is None:
        return f"; endpoint {endpoint} does not exist: somebody removed it"
    return f"; endpoint {endpoint} is {status}" if status not in READY else ""


def rollback_that_ended(received: Received, *, state: StateStore) -> ConcludeRollback | None:
    """Return how to conclude a rollback whose machine ended without doing so itself.

    None where it was concluded, or the execution was started by hand.
    """
    change = received.detail
    assert isinstance(change, ExecutionStatusChange)
    found = release_of_execution(change.name)
    if found is None:
        return None
    project, release_id = found
    release = state.get(Table.RELEASES, {"project": project, "release_id": release_id})
    if release is None or release["status"] not in ROLLED_BACK_FROM:
        return None
    return ConcludeRollback(
        project=project,
        version=release["version"],
        release_id=release_id,
        cause=release.get("cause", "the rollback ended early"),
        triggered_at=release.get("triggered_at", received.time),
        correlation_id=release["correlation_id"],
        causation_id=received.id,
        actor="steward",
        execution_arn=change.execution_arn,
        failure=execution_failure(change),
    )


def remove_endpoint(
    command: RemoveEndpoint, *, state: StateStore, endpoints: Endpoints
) -> RemovedEndpoint:
    """Delete an endpoint unless the project's route needs it."""
    if command.endpoint in serving_endpoints(route_of(state, command.project)):
        return RemovedEndpoint(removed=False)
    endpoints.delete(command.endpoint)
    return RemovedEndpoint(removed=True)
