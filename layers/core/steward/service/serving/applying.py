"""Use case: traffic follows the route, looked at again and again until it does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from steward.contracts.steps.serving import ApplyRoute, RouteApplied
from steward.domain.errors import ConflictError, DependencyError
from steward.domain.releases import ReleaseStatus, applied_field
from steward.ports import Clock, Equals, StateStore, Table, TrafficRouter, Update
from steward.service.serving.leasing import read_lease
from steward.service.serving.records import route_of

LOOK_S = 2.0
MOST_LOOKS = 120
"""Four minutes: a change of weights takes one or two, another configuration up to ten. An event
that is not settled in that time is delivered again, and each sweep looks anew."""


def apply_route(
    command: ApplyRoute, *, state: StateStore, router: TrafficRouter, clock: Clock
) -> RouteApplied:
    """Look once; once traffic flows as the route says, note since when.

    Raises:
        EndpointFailedError: SageMaker cannot do it.
    """
    routed = router.apply(command.project)
    if routed.done:
        _note(command.project, command.release_id, routed.route_version, state, clock)
    return RouteApplied(
        applied=routed.done, route_version=routed.route_version, detail=routed.detail
    )


def settle(
    project: str,
    *,
    state: StateStore,
    router: TrafficRouter,
    clock: Clock,
    sleep: Callable[[float], object],
) -> dict[str, Any]:
    """Make traffic follow the route at the end of a release, and remove what it left.

    While another release runs nothing is removed: it has taken over the endpoint.

    Raises:
        DependencyError: It takes longer than a function may wait.
        EndpointFailedError: SageMaker cannot do it.
    """
    route = route_of(state, project)
    if route is None or route.router != "endpoint_variants":
        return {"ignored": f"{project} has no production variants"}
    for _ in range(MOST_LOOKS):
        routed = router.apply(project)
        if routed.done:
            break
        sleep(LOOK_S)
    else:
        raise DependencyError(f"traffic of {project} does not follow its route: {routed.detail}")
    if route.release_id is not None:
        _note(project, route.release_id, routed.route_version, state, clock)
    for _ in range(MOST_LOOKS):
        tidied = router.tidy(project, lambda: in_flight(state, project))
        if tidied.done or in_flight(state, project):
            return {"applied": routed.route_version, "tidy": tidied.done}
        sleep(LOOK_S)
    raise DependencyError(f"versions of {project} that no route names still run: {tidied.detail}")


def sweep(
    *, state: StateStore, router: TrafficRouter, clock: Clock, sleep: Callable[[float], object]
) -> dict[str, Any]:
    """Look at every project with production variants; once only where a release works on it.

    Raises:
        DependencyError: Some could not be settled; the others were.
    """
    done, failed = [], []
    for item in state.scan(Table.ROUTES):
        if item.get("router") != "endpoint_variants":
            continue
        project = str(item["project"])
        try:
            if in_flight(state, project):
                router.apply(project)
                continue
            settle(project, state=state, router=router, clock=clock, sleep=sleep)
            done.append(project)
        except Exception as error:  # noqa: BLE001 - one project must not keep the others waiting
            failed.append(f"{project}: {error}")
    if failed:
        raise DependencyError("; ".join(failed))
    return {"settled": done}


def in_flight(state: StateStore, project: str) -> bool:
    """Return whether a release of a project runs."""
    lease = read_lease(state, project)
    if lease is None:
        return False
    release = state.get(Table.RELEASES, {"project": project, "release_id": lease.owner})
    return release is not None and release["status"] == ReleaseStatus.RUNNING


def _note(
    project: str, release_id: str, route_version: int, state: StateStore, clock: Clock
) -> None:
    """Record since when a version of the route has been true, once."""
    name = applied_field(route_version)
    release = state.get(Table.RELEASES, {"project": project, "release_id": release_id})
    if release is None or release.get(name):
        return
    key = {"project": project, "release_id": release_id}
    now = clock.now().isoformat(timespec="milliseconds")
    try:
        state.commit([Update(Table.RELEASES, key, set={name: now}, expect=(Equals(name, None),))])
    except ConflictError:
        return
