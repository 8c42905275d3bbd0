"""Reading what releases and stagings stand on, typed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steward.domain.causes import readable_cause
from steward.domain.errors import (
    EvidenceIncompleteError,
    MalformedEventError,
    ProjectNotFoundError,
    ReleaseEndedError,
    VersionNotFoundError,
)
from steward.domain.releases import ReleaseStatus, releases_of
from steward.domain.routes import Route
from steward.domain.versions import version_item
from steward.ports import Item, StateStore, Table

if TYPE_CHECKING:
    from steward.contracts.steps.serving import Failure
    from steward.domain.project import Project
    from steward.domain.strategies import Plan

MAX_CAUSE = 1000


def project_of(state: StateStore, name: str) -> Project:
    """Return the configuration of a project.

    Raises:
        ProjectNotFoundError: There is none.
    """
    item = state.get(Table.PROJECTS, {"project": name})
    if item is None:
        raise ProjectNotFoundError(
            f"no project {name!r}", field="project", value=name, allowed="a configured project"
        )
    from steward.domain.project import parse_project  # large, and few tasks need it

    return parse_project(item["config"])


def version_of(state: StateStore, project: str, version: int) -> Item:
    """Return the registry record of a version.

    Raises:
        VersionNotFoundError: There is none.
    """
    item = state.get(Table.VERSIONS, {"project": project, "item": version_item(version)})
    if item is None:
        raise VersionNotFoundError(
            f"project {project} has no version {version}", field="version", value=version,
            allowed="a registered version",
        )  # fmt: skip
    return item


def release_of(state: StateStore, project: str, release_id: str) -> Item:
    """Return a release.

    Raises:
        MalformedEventError: There is none, so the input of the task is wrong.
    """
    item = state.get(Table.RELEASES, {"project": project, "release_id": release_id})
    if item is None:
        raise MalformedEventError(
            f"project {project} has no release {release_id}", field="release_id",
            value=release_id, allowed="the id of a release",
        )  # fmt: skip
    return item


def running(state: StateStore, project: str, release_id: str) -> Item:
    """Return a release that still runs.

    Raises:
        ReleaseEndedError: Somebody ended it, or a rollback has taken its traffic.
    """
    release = release_of(state, project, release_id)
    if release["status"] != ReleaseStatus.RUNNING or release.get("restored_at"):
        raise ReleaseEndedError(f"release {release_id} of {project} is {release['status']}")
    return release


def route_of(state: StateStore, project: str) -> Route | None:
    """Return the route of a project, None before its first release."""
    item = state.get(Table.ROUTES, {"project": project})
    return Route.model_validate(item) if item else None


def release_in_force(state: StateStore, route: Route) -> Item | None:
    """Return the completed release that put a route's stable version there.

    The route itself names the release that moved it last, which may be one of a later version
    that was rolled back. None where the stable version is there by a rollback.
    """
    prefix = releases_of(route.stable.version)
    found = state.query(Table.RELEASES, route.project, prefix=prefix, newest_first=True)
    return next((r for r in found if r["status"] == ReleaseStatus.COMPLETED), None)


def plan_of(release: Item) -> Plan:
    """Return the steps that were fixed when the release began.

    Raises:
        EvidenceIncompleteError: The release was never planned.
    """
    if "plan" not in release:
        raise EvidenceIncompleteError(
            f"release {release['release_id']} has no plan", field="plan",
            value=release["release_id"], allowed="a release that PlanRelease has planned",
        )  # fmt: skip
    from steward.domain.strategies import Plan  # large, and few that read records need it

    return Plan.model_validate(release["plan"])


def readable(failure: Failure) -> Failure:
    """Return a failure whose cause is a sentence, cut to what an event and a mail can carry."""
    return failure.model_copy(update={"cause": readable_cause(failure.cause, MAX_CAUSE)})
