"""What a project's endpoints cost and do: those that nothing names, and those that nobody asks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from steward.domain import names
from steward.domain.endpoint_drift import MOVING, config_variants
from steward.domain.errors import VersionNotFoundError
from steward.domain.idle_endpoints import Hosted, Idle, idle, orphan
from steward.domain.releases import questioned_endpoints, serving_endpoints
from steward.domain.versions import VersionState
from steward.ports import EndpointMetrics, Hosting, Item, ListedEndpoint, StateStore, Table
from steward.service.serving.endpoint_records import PREFIX
from steward.service.serving.leasing import read_lease
from steward.service.serving.records import route_of, version_of

if TYPE_CHECKING:
    from steward.domain.project import Idle as Declared

_UNSETTLED = MOVING | {"Deleting"}


@dataclass(frozen=True)
class Survey:
    """The endpoints of a project as they are.

    Attributes:
        found: Those that could go, or cost less.
        records: By endpoint, what is written down of it.
        listed: Names of all that SageMaker has.
    """

    found: tuple[Idle, ...]
    records: dict[str, Item]
    listed: frozenset[str]


def survey(
    project: str,
    declared: Declared,
    *,
    environment: str,
    state: StateStore,
    hosting: Hosting,
    metrics: EndpointMetrics,
    role_arn: str,
    now: datetime,
) -> Survey:
    """Return what of a project's endpoints could go or cost less.

    Whether an endpoint that nothing names is this stack's tells the role of its model, which no
    other stack has: a name is proof of nothing. While a release holds the lock, nothing of the
    route is idle.

    Args:
        project: The project.
        declared: What it declares of idle endpoints.
        environment: Whose endpoints, as an account may have several.
        state: Routes, releases, versions.
        hosting: SageMaker.
        metrics: What it has counted.
        role_arn: The role of this stack's endpoints.
        now: The time.
    """
    records = {
        str(item["endpoint"]): item for item in state.query(Table.VERSIONS, project, prefix=PREFIX)
    }
    listed = [
        (found, told) for found in hosting.listed(f"{environment}-{project}-v")
        if (told := names.stage_of(environment, found.name)) and told[0] == project
    ]  # fmt: skip
    named, stable = _named(environment, project, state)
    after = timedelta(seconds=declared.after_s)
    grown = timedelta(seconds=declared.orphan_after_s)
    found: list[Idle] = []
    for one, told in listed:
        if one.status in _UNSETTLED:
            continue
        if one.name == stable:
            hosted = _hosted(one, hosting, now)
            if one.status == "InService" and hosted.variants and hosted.age >= after:
                variants = [variant.name for variant in hosted.variants]
                asked = metrics.invocations(one.name, variants, now - after, now)
                hosted = Hosted(hosted.endpoint, hosted.age, hosted.variants, asked)
            found += filter(None, [idle(hosted, after, now)])
        elif one.name not in named:
            found += _orphan(told, one, named, state, hosting, role_arn, grown, now)
    return Survey(tuple(found), records, frozenset(one.name for one, _ in listed))


def _named(environment: str, project: str, state: StateStore) -> tuple[frozenset[str], str | None]:
    """Return the endpoints that something needs, and the stable one where it may be idle."""
    route, lease = route_of(state, project), read_lease(state, project)
    needed = {*serving_endpoints(route), *questioned_endpoints(environment, route)}
    for release in (lease.owner, lease.waiting) if lease else ():
        item = state.get(Table.RELEASES, {"project": project, "release_id": str(release)})
        if item is not None:
            version = int(item["version"])
            needed |= {
                names.endpoint_name(environment, project, version, s) for s in ("prod", "staging")
            }
    alone = route is not None and route.candidate is None and route.mirror is None
    releasing = lease is not None and state.get(
        Table.RELEASES, {"project": project, "release_id": lease.owner}
    )
    return frozenset(needed), route.stable.endpoint if route and alone and not releasing else None


def _hosted(listed: ListedEndpoint, hosting: Hosting, now: datetime) -> Hosted:
    described = hosting.describe(listed.name) or {}
    config = hosting.config(str(described.get("EndpointConfigName"))) or {}
    return Hosted(listed.name, now - listed.created_at, config_variants(config))


def _orphan(
    told: tuple[str, int, str],
    listed: ListedEndpoint,
    named: frozenset[str],
    state: StateStore,
    hosting: Hosting,
    role_arn: str,
    after: timedelta,
    now: datetime,
) -> Iterator[Idle]:
    project, number, stage = told
    try:
        version = VersionState(version_of(state, project, number)["state"])
    except VersionNotFoundError:
        version = None
    hosted = _hosted(listed, hosting, now)
    found = orphan(hosted, stage, named, version, after, now)
    if found is None:
        return
    models = [hosting.model(variant.model) for variant in hosted.variants if variant.model]
    roles = {str(model["ExecutionRoleArn"]) for model in models if model}
    if roles and roles != {role_arn}:
        return  # another stack's
    if not roles or None in models:
        reason = f"{found.reason}; who made it is not known, as its parts are gone"
        found = Idle(found.endpoint, found.kind, found.since, reason, "none", found.dollars_month)
    yield found
