"""Releases: their ids, what an approval leads to, and how a route moves through one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from steward.domain.names import PROJECT_PATTERN, endpoint_name
from steward.domain.routes import Arm, Mirror, Route


class ReleaseStatus(StrEnum):
    """Where a release is."""

    WAITING = "waiting"
    RUNNING = "running"
    COMPLETED = "completed"
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"
    SUPERSEDED = "superseded"
    NOT_PROMOTED = "not_promoted"


GUARDRAIL_SIGNALS = ("candidate-errors", "candidate-latency")
"""The alarms of a project that may stop a release; see ``names.alarm_name``."""


def release_id(version: int, attempt: int) -> str:
    """Return the id of one attempt at releasing a version, in the order of versions."""
    return f"{version:08d}-{attempt}"


def version_of_release(release: str) -> int:
    """Return the version that a release id is of."""
    return int(release.split("-", 1)[0])


def releases_of(version: int) -> str:
    """Return the prefix that the ids of a version's releases share."""
    return f"{version:08d}-"


def execution_name(project: str, release: str) -> str:
    """Return the name of the execution that plays a release."""
    return f"{project}-{release}"


def rollback_name(project: str, release: str, attempt: int) -> str:
    """Return the name of the execution that rolls a release back.

    It is the same for every alarm and person, so that the second one starts nothing; only a
    rollback that failed makes room for another ``attempt``.
    """
    return f"{project}-{release}-rollback-{attempt}"


def applied_field(route_version: int) -> str:
    """Return the name of a release's attribute that says since when weights were as a route's.

    An attribute of its own for each: who notes it never rewrites the list of shifts, to which a
    rollback may be adding.
    """
    return f"applied_{route_version:06d}"


def staging_item(version: int) -> str:
    """Return the sort key of a version's staging record, beside the version's own item."""
    return f"staging#{version:08d}"


def staging_name(project: str, version: int, attempt: int) -> str:
    """Return the name of the execution that stages a version."""
    return f"{project}-v{version}-{attempt}"


_STAGING = re.compile(rf"^(?P<project>{PROJECT_PATTERN[1:-1]})-v(?P<version>\d+)-\d+$")
_RELEASE = re.compile(rf"^(?P<project>{PROJECT_PATTERN[1:-1]})-(?P<release>\d{{8}}-\d+)$")
_ROLLBACK = re.compile(
    rf"^(?P<project>{PROJECT_PATTERN[1:-1]})-(?P<release>\d{{8}}-\d+)-rollback-\d+$"
)


def staging_of_execution(name: str) -> tuple[str, int] | None:
    """Return project and version that an execution of the staging machine works for."""
    match = _STAGING.match(name)
    return (match["project"], int(match["version"])) if match else None


def release_of_execution(name: str) -> tuple[str, str] | None:
    """Return project and release id that an execution of either release machine works for."""
    match = _ROLLBACK.match(name) or _RELEASE.match(name)
    return (match["project"], match["release"]) if match else None


def project_of_alarm(environment: str, alarm: str) -> str | None:
    """Return the project whose guardrail an alarm is, or None for any other alarm."""
    prefix = f"steward-{environment}-"
    for signal in GUARDRAIL_SIGNALS:
        if alarm.startswith(prefix) and alarm.endswith(f"-{signal}"):
            return alarm[len(prefix) : -len(signal) - 1] or None
    return None


@dataclass(frozen=True)
class Existing:
    """The newest release of a version."""

    release_id: str
    attempt: int
    status: ReleaseStatus


@dataclass(frozen=True)
class ReleaseLease:
    """The release lock of a project as it is read."""

    owner: str
    expires_at: float
    waiting: str | None = None


@dataclass(frozen=True)
class Begin:
    """Start this release now; ``superseded`` waited and loses its place."""

    release_id: str
    superseded: str | None


@dataclass(frozen=True)
class Wait:
    """Let this release wait behind ``behind``; ``superseded`` waited and loses its place."""

    release_id: str
    behind: str
    superseded: str | None


@dataclass(frozen=True)
class Leave:
    """Do nothing: ``release_id`` is doing or has done the same."""

    release_id: str
    reason: str


def decide(
    version: int,
    newest: Existing | None,
    lease: ReleaseLease | None,
    now_s: float,
    *,
    requested: bool = False,
) -> Begin | Wait | Leave:
    """Return what an approval of ``version`` leads to, or a person who requests its release.

    A release that runs, waits or ended with a judgement is not begun again; one that failed or
    was superseded may be, and at a person's request one that ended without promotion. One
    release holds the lock, and the newest approval of all waits.
    """
    held = lease is not None and lease.expires_at >= now_s
    attempt = 1
    if newest is not None:
        again = newest.status in (ReleaseStatus.FAILED, ReleaseStatus.SUPERSEDED) or (
            requested and newest.status is ReleaseStatus.NOT_PROMOTED
        )
        in_vain = newest.status is ReleaseStatus.WAITING and not held
        if not again and not in_vain:
            return Leave(newest.release_id, f"version {version} is {newest.status} already")
        attempt = newest.attempt + (0 if in_vain else 1)
    wanted = release_id(version, attempt)
    waiting = lease.waiting if lease and lease.waiting != wanted else None
    if lease is not None and held:
        return Wait(wanted, lease.owner, waiting)
    return Begin(wanted, waiting)


def first_route(
    project: str, release: str, step_id: str, arm: Arm, slow_ms: int, route_version: int = 1
) -> Route:
    """Return the route of a project that has none: one stable version for everyone.

    Its number is above any that an earlier route of the project had.
    """
    return Route(
        project=project, route_version=route_version, step_id=step_id, release_id=release,
        salt=f"{project}/{release}", slow_ms=slow_ms,
        arms=[arm.model_copy(update={"role": "stable", "share": 100.0})],
    )  # fmt: skip


def shifted(
    route: Route,
    release: str,
    step_id: str,
    candidate: Arm,
    slow_ms: int,
    *,
    mirror_percent: float = 0,
    stored: bool = False,
) -> Route:
    """Return the route with the candidate at its new share and the stable version at the rest.

    A release has its own salt, so that the entities that see a candidate first are not the
    same in every release; within a release an entity keeps its arm while the share grows.

    Args:
        route: As it is.
        release: Id of the release.
        step_id: Id of the step (of a bandit's batch).
        candidate: With its share; 0 where it only answers copies.
        slow_ms: An answer above this is slow.
        mirror_percent: Share of the stable version's requests that the candidate gets copies of.
        stored: Whether an entity's first arm is kept in a table, as shares go down as well.
    """
    stable = route.stable
    rest = stable.model_copy(update={"share": 100.0 - candidate.share})
    mirror = None
    if mirror_percent:
        mirror = Mirror(
            version=candidate.version, endpoint=candidate.endpoint, percent=mirror_percent,
            served_features=candidate.served_features,
        )  # fmt: skip
    return route.model_copy(
        update={
            "route_version": route.route_version + 1,
            "step_id": step_id,
            "release_id": release,
            "salt": f"{route.project}/{release}",
            "slow_ms": slow_ms,
            "arms": [candidate.model_copy(update={"role": "candidate"}), rest],
            "mirror": mirror,
            "assignment": "stored" if stored else "hash",
        }
    )


_ALONE = {"mirror": None, "assignment": "hash"}
"""Of a route on which no release works."""


def completed(route: Route, step_id: str) -> Route:
    """Return the route once the candidate has proved itself: it is stable, the old one kept."""
    candidate = route.candidate
    if candidate is None:
        return route
    return route.model_copy(
        update={
            "route_version": route.route_version + 1,
            "step_id": step_id,
            "arms": [candidate.model_copy(update={"role": "stable", "share": 100.0})],
            "previous": route.stable.model_copy(update={"share": 0.0}),
            **_ALONE,
        }
    )


def restored(route: Route, version: int, step_id: str) -> Route | None:
    """Return the route without ``version``, or None where no traffic has to move.

    During a release everything goes to the stable version; after it, to the previous one if
    that is still kept.
    """
    back: Arm | None = None
    previous = route.previous
    if route.candidate is not None and route.candidate.version == version:
        back = route.stable
    elif route.candidate is None and route.stable.version == version and previous is not None:
        back, previous = previous, None
    if back is None:
        return None
    return route.model_copy(
        update={
            "route_version": route.route_version + 1,
            "step_id": step_id,
            "arms": [back.model_copy(update={"role": "stable", "share": 100.0})],
            "previous": previous,
            **_ALONE,
        }
    )


def serving_endpoints(route: Route | None) -> frozenset[str]:
    """Return the endpoints that a route needs, a mirror and the kept previous version included."""
    if route is None:
        return frozenset()
    kept: Sequence[Arm | Mirror | None] = [*route.arms, route.previous, route.mirror]
    return frozenset(served.endpoint for served in kept if served is not None)


def questioned(environment: str, project: str, router: str, version: int, endpoint: str) -> str:
    """Return the endpoint at which a version may be asked what moves its answers.

    On the one endpoint of the router ``endpoint_variants`` questions would be captured and counted
    as traffic, also by the guardrails of a release. There the staging endpoint of a version stays:
    it has the same artifact and image, is serverless, and costs nothing while nobody asks.
    """
    if router != "endpoint_variants":
        return endpoint
    return endpoint_name(environment, project, version, "staging")


def questioned_endpoints(environment: str, route: Route | None) -> frozenset[str]:
    """Return the endpoints at which the versions of a route may be asked."""
    if route is None:
        return frozenset()
    return frozenset(
        questioned(environment, route.project, route.router, arm.version, arm.endpoint)
        for arm in route.arms
    )


def shares(route: Route) -> dict[str, float]:
    """Return percent of entities by version, for events and reports."""
    return {str(arm.version): arm.share for arm in route.arms}
